"""Does an interrupted and resumed ``leuko count`` end with the result of an uninterrupted one?

``python -m benchmarks.interrupted_counts [--cuts 100] [--kills 200] [--frames 300] [--json]``

Each round counts the same frames into a session and ends the process, or cuts the power of its disk, at a
random moment (`benchmarks.power_cuts`). Then every frame that the log reported must be in the session, its
chain must be intact, and ``leuko sessions resume`` must end with the result of an uninterrupted count.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks.power_cuts import ROOT, kill, make_frames, power_cut

LEUKO = f"{shlex.quote(sys.executable)} -m edge.cli"
COUNT = f'{LEUKO} count "$FRAMES" --bundle phantom3 --count-repeats --log json'
WRITER = f'LEUKO_HOME="$PLACE" exec {COUNT} --session 2>&1 >/dev/null'
CHECK = f"exec {shlex.quote(sys.executable)} -m benchmarks.interrupted_counts --examine"
UNBROKEN = "unbroken.json"
VOLATILE = ("seconds", "finished", "session")


def prepare(work: Path, frames: int) -> float:
    """Make the frames, count them without interruption, and return the seconds that this took."""
    make_frames(work / "frames")
    folder = work / "frames" / "frames"
    originals = sorted(folder.iterdir())
    for k in range(frames):
        (folder / f"again_{k}.png").hardlink_to(originals[k % len(originals)])
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as home:
        environment = os.environ | {"FRAMES": str(folder), "LEUKO_HOME": home}
        done = subprocess.run(
            ["sh", "-c", f"{COUNT} --session --json"],
            env=environment,
            cwd=ROOT,
            capture_output=True,
            check=True,
        )
    seconds = time.perf_counter() - started
    (work / "frames" / UNBROKEN).write_bytes(done.stdout)
    return seconds


def rounds(work: Path, cuts: int, kills: int, seed: int, longest_s: float) -> dict[str, list[str | None]]:
    """Interrupt counts; return None for each that survived, or what is wrong."""
    moments = random.Random(seed)

    def interrupted(how: Callable[[str, str, Path, float], str | None]) -> str | None:
        while True:
            try:
                return how(WRITER, CHECK, work, moments.uniform(0, longest_s))
            except (RuntimeError, ChildProcessError):  # it had ended by itself: no interruption
                continue

    return {
        how.__name__: [interrupted(how) for _ in range(number)]
        for how, number in ((power_cut, cuts), (kill, kills))
    }


def examine(home: Path, lines: Sequence[str], unbroken: Path) -> list[str]:
    """Compare a session, interrupted and resumed, with what was reported and with the unbroken count."""
    from edge.session import list_sessions, read_session

    events = [json.loads(line) for line in lines]
    reported = [event["name"] for event in events if event["event"] == "frame"]
    ended = any(event["event"] == "session" for event in events) and reported
    found = list_sessions(home / "sessions")
    if not found:
        return ["the session is missing"] if ended else []
    with read_session(found[0].path) as session:
        held = [record.name for record in session.frames()]
        missed = session.verify()
        finished = session.finished
    # one more frame may have been stored than was reported
    if held[: len(reported)] != reported or len(held) > len(reported) + 1:
        missed.append(f"reported {len(reported)} frames, found {len(held)}")
    if finished is None:
        environment = os.environ | {"LEUKO_HOME": str(home)}
        done = subprocess.run(
            ["sh", "-c", f"{LEUKO} sessions resume --json"], env=environment, cwd=ROOT, capture_output=True
        )
        if done.returncode:
            return [*missed, done.stderr.decode()]
        result: dict[str, Any] = json.loads(done.stdout)
    else:
        result = dict(finished.result or {})
    expected = json.loads(unbroken.read_text())
    missed += [
        f"{name}: {result.get(name)} instead of {expected[name]}"
        for name in expected
        if name not in VOLATILE and result.get(name) != expected[name]
    ]
    with read_session(found[0].path) as session:
        return missed + [f"resumed: {problem}" for problem in session.verify()]


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.interrupted_counts", description=__doc__)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1, help="seed of the moments")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--examine", action="store_true", help="run as the check")
    options = parser.parse_args(arguments)
    if options.examine:
        reported = Path(os.environ["REPORTED"])
        lines, unbroken = reported.read_text().splitlines(), reported.parent / "frames" / UNBROKEN
        sys.exit("\n".join(examine(Path(os.environ["PLACE"]), lines, unbroken)) or 0)
    with tempfile.TemporaryDirectory() as folder:
        longest_s = prepare(Path(folder), options.frames)
        missed = rounds(Path(folder), options.cuts, options.kills, options.seed, longest_s)
    for name, results in missed.items():
        for number, problem in enumerate(results):
            if problem is not None:
                print(f"{name} {number}: {problem}", file=sys.stderr)
    survived = {
        name: {"rounds": len(results), "survived": results.count(None)} for name, results in missed.items()
    }
    if options.json:
        print(json.dumps(survived))
    else:
        for name, row in survived.items():
            print(f"{name}: {row['survived']} of {row['rounds']} survived")
    if any(row["survived"] != row["rounds"] for row in survived.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
