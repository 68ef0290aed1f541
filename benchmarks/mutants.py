"""Would the tests notice a fault? Sampled mutants of the rooms that decide a count, and how many live.

``python -m benchmarks.mutants [--sample 40] [--seed 1] [--jobs 2]`` (needs ``pip install cosmic-ray``)

Sites are drawn at random per room, and one of cosmic-ray's operators that apply there. Left out are
annotations, which nothing evaluates, and guards against mistakes of the program itself. Each mutant meets the
tests that reach its line, those that reach least first, and if it outlives them, all tests of the room and of
the rooms that use it.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "find": ("find", "track/test_fields.py", "calibration", "run/test_pipeline.py"),
    "classify": ("classify", "run/test_pipeline.py", "run/test_count_run.py"),
    "count": ("count", "report", "run/test_count_run.py"),
    "session": ("session", "report", "cli/test_sessions_cli.py", "run/test_count_run.py"),
}
"""Room → what of tests/edge its mutants meet, the nearest first."""
CPU_S, TIMEOUT_S = 300, 3600
"""What a test run may take: of a processor, and by the clock, which a busy machine does not shorten."""

GUARDS = ("strict", "frozen", "kw_only")
"""Keywords that change nothing where the program makes no mistake."""

Reach = dict[tuple[str, int], list[str]]
"""File and line → the tests that run it."""


@dataclass(frozen=True)
class Mutant:
    """One change of one file.

    Attributes
    ----------
    path : file, from the project's root
    line : where
    code : the whole file, changed
    """

    room: str
    path: str
    line: int
    code: str


def annotated(source: str) -> set[int]:
    """Return the offsets, (line, column) as one number, at which annotations and guards lie."""
    places = set()
    for node in ast.walk(ast.parse(source)):
        parts = [getattr(node, "annotation", None), getattr(node, "returns", None)]
        if isinstance(node, ast.keyword) and node.arg in GUARDS:
            parts.append(node.value)
        for part in filter(None, parts):
            for line in range(part.lineno, part.end_lineno + 1):
                first = part.col_offset if line == part.lineno else 0
                last = part.end_col_offset if line == part.end_lineno else 1000
                places |= {line * 1000 + column for column in range(first, last)}
    return places


def drawn(room: str, count: int, rng: random.Random) -> list[Mutant]:
    """Draw mutants of a room: a site, then an operator."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator, operator_names

    sites: dict[tuple[Path, tuple[int, int]], list[tuple[Any, int]]] = defaultdict(list)
    for path in sorted((ROOT / "edge" / room).glob("*.py")):
        source = path.read_text(encoding="utf-8")
        tree, typed = get_ast(source), annotated(source)
        for name in operator_names():
            kind = get_operator(name)
            if kind.arguments():
                continue
            operator = kind()
            positions = [place for node in ast_nodes(tree) for place in operator.mutation_positions(node)]
            for occurrence, (start, _) in enumerate(positions):
                if start[0] * 1000 + start[1] not in typed:
                    sites[path, start].append((operator, occurrence))
    mutants = []
    for path, start in rng.sample(sorted(sites), min(count, len(sites))):
        operator, occurrence = rng.choice(sites[path, start])
        code = mutate_code(path.read_text(encoding="utf-8"), operator, occurrence)
        if code is not None:
            mutants.append(Mutant(room, str(path.relative_to(ROOT)), start[0], code))
    return mutants


def passes(tree: Path, *words: str) -> bool:
    """Say whether pytest passes in a copy of the project."""
    pytest = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *words]
    environment = {"PYTHONPATH": str(tree), "PATH": "/usr/bin:/bin", "HOME": str(tree)}
    limited = ["sh", "-c", f'ulimit -t {CPU_S}; exec "$@"', "pytest", *pytest]
    try:
        done = subprocess.run(
            limited, cwd=tree, env=environment, capture_output=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def reach(tree: Path, room: str) -> Reach:
    """Run a room's tests once and return which of them reach each of its lines."""
    from coverage import CoverageData

    record = ["--cov", f"edge.{room}", "--cov-context", "test", "--cov-report", ""]
    if not passes(tree, *record, *tests_of(room)):
        raise SystemExit(f"the tests of {room} fail without a mutant")
    data = CoverageData(str(tree / ".coverage"))
    data.read()
    found: Reach = {}
    breadth: Counter[str] = Counter()
    for path in data.measured_files():
        for line, contexts in data.contexts_by_lineno(path).items():
            tests = sorted({context.rpartition("|")[0] for context in contexts} - {""})
            found[str(Path(path).relative_to(tree)), line] = tests
            breadth.update(tests)
    named = tree / "named"
    named.write_text("\n".join(breadth), encoding="utf-8")
    if not passes(tree, "--collect-only", f"@{named}"):
        raise SystemExit("pytest does not find every test by its name")
    return {place: sorted(tests, key=breadth.__getitem__) for place, tests in found.items()}


def tests_of(room: str) -> list[str]:
    """Return what a room's mutants meet."""
    return [f"tests/edge/{name}" for name in ROOMS[room]]


def lives(mutant: Mutant, tree: Path, reached: Reach) -> bool:
    """Say whether all tests pass with the mutant in a copy of the project."""
    path = tree / mutant.path
    original = path.read_text(encoding="utf-8")
    path.write_text(mutant.code, encoding="utf-8")
    near = tree / "near"
    near.write_text("\n".join(reached.get((mutant.path, mutant.line), [])), encoding="utf-8")
    try:
        if near.read_text(encoding="utf-8") and not passes(tree, "-x", f"@{near}"):
            return False
        return passes(tree, "-x", *tests_of(mutant.room))
    finally:
        path.write_text(original, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sample", type=int, default=40, help="mutants per room")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=list(ROOMS))
    options = parser.parse_args()
    rng = random.Random(options.seed)
    mutants = [mutant for room in options.rooms for mutant in drawn(room, options.sample, rng)]
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\0")[:-1]
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for job in range(options.jobs):
            tree = Path(folder) / str(job) / "project"
            for name in tracked:
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, tree / name)
            (tree.parent / "shared").symlink_to(ROOT.parent / "shared")
            trees.put(tree)
        reached = {room: reach(tree, room) for room in options.rooms}

        def tried(mutant: Mutant) -> bool:
            tree = trees.get()
            try:
                return lives(mutant, tree, reached[mutant.room])
            finally:
                trees.put(tree)

        living: Counter[str] = Counter()
        with ThreadPoolExecutor(options.jobs) as pool:
            for mutant, lived in zip(mutants, pool.map(tried, mutants), strict=True):
                if not lived:
                    continue
                living[mutant.room] += 1
                before = (ROOT / mutant.path).read_text(encoding="utf-8").splitlines()
                change = difflib.unified_diff(before, mutant.code.splitlines(), n=0, lineterm="")
                print(f"lives: {mutant.path}:{mutant.line}", *list(change)[3:], sep="\n", flush=True)
    for room in options.rooms:
        total = sum(mutant.room == room for mutant in mutants)
        print(f"{room}: {living[room]} of {total} mutants live")
    print(f"all: {sum(living.values())} of {len(mutants)}, {sum(living.values()) / len(mutants):.1%}")


if __name__ == "__main__":
    main()
