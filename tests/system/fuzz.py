"""What the fuzzers share: mutations one after the other, commands in processes of their own, and limits.

Each fuzzer is ``python -m tests.system.fuzz_NAME FOLDER [--files N] [--first 0] [--seed 0]``: it writes sound
files to FOLDER, tries that many mutations of them, prints each finding as it comes, and then what became of
each kind. A finding gives exit code 1, and what caused it is kept in FOLDER. Every fuzzer finds a crash, a
traceback, more CPU time than `LIMIT_S`, and more memory than `LIMIT_MB`.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import resource
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from random import Random

from edge.cli import main

LIMIT_S, LONGEST_S = 10, 90.0
"""CPU seconds of one command, and seconds that it may take on a busy machine."""

LIMIT_MB = 600
"""Peak memory of one command; that of the process it is forked from counts."""

ADDRESS_SPACE = 6 << 30
"""What a command may reserve beyond what it is forked with: the machine outlives a mistake."""

EXIT_CODES = (0, 1, 2, 3)

Mutation = Callable[[Random, bytes], bytes]
Trial = Callable[[int, Random], tuple[str, list[str]]]
"""Tries the mutation of a number; returns its kind with what became of it, and what is wrong."""


def run_trials(trial: Trial, files: int, seed: int, first: int = 0) -> tuple[Counter[str], list[str]]:
    """Try mutations; return what became of each kind, and one line per finding."""
    outcomes: Counter[str] = Counter()
    findings = []
    for number in range(first, first + files):
        kind, wrong = trial(number, Random(f"{seed} {number}"))
        outcomes[f"{kind}: {wrong[0].partition(':')[0]}" if wrong else kind] += 1
        for one in wrong:
            findings.append(f"{number} {kind}: {one}")
            print(findings[-1], flush=True)
    return outcomes, findings


def fuzz_from_command_line(description: str | None, prepare: Callable[[Path], Trial], files: int) -> None:
    """Run a fuzzer as its command line says; `files` is how many mutations it tries by default."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("folder", type=Path)
    for name, default in (("files", files), ("first", 0), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    trial = prepare(options.folder.resolve())
    outcomes, findings = run_trials(trial, options.files, options.seed, options.first)
    for kind, number in sorted(outcomes.items()):
        print(f"{number:5}  {kind}")
    print(f"{outcomes.total()} tried, {len(findings)} findings")
    sys.exit(bool(findings))


def attempt(
    words: Sequence[str], output: Path, codes: Sequence[int] = EXIT_CODES, megabytes: int = LIMIT_MB
) -> str:
    """Run a command in a process of its own; return what is wrong with how it ended, or nothing."""
    return run(words, output, codes, megabytes)[1]


def run(
    words: Sequence[str], output: Path, codes: Sequence[int] = EXIT_CODES, megabytes: int = LIMIT_MB
) -> tuple[int, str]:
    """Run a command in a process of its own; return its exit code, and what is wrong with how it ended."""
    code, wrong = in_child(lambda: _become(words, output), output, megabytes)
    return code, wrong or ("" if code in codes else f"exit code {code}")


def in_child(work: Callable[[], None], output: Path, megabytes: int = LIMIT_MB) -> tuple[int, str]:
    """Run something that ends its process; return the exit code, and what is wrong with how it ended."""
    output.write_text("")
    child = os.fork()
    if child == 0:
        reserved = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (reserved + ADDRESS_SPACE,) * 2)
        resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_S, LIMIT_S))
        os.setpgid(0, 0)
        work()
    limit = time.monotonic() + LONGEST_S
    while time.monotonic() < limit:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.002)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return -1, "hang"
    text = output.read_text(errors="replace")
    if os.WIFSIGNALED(status) and used.ru_utime + used.ru_stime >= LIMIT_S - 0.5:
        return -1, "hang"
    if os.WIFSIGNALED(status):
        return -1, f"signal {os.WTERMSIG(status)}"
    code = os.WEXITSTATUS(status)
    if "Traceback" in text:
        return code, "traceback"
    if used.ru_maxrss > megabytes << 10:
        return code, f"{used.ru_maxrss >> 10} MB"
    return code, "nothing said" if code and not text.strip() else ""


def _become(words: Sequence[str], output: Path) -> None:
    """Become the command; never return."""
    code = 70
    try:
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        main(list(words))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:  # whatever escapes the command is the finding: its traceback is printed
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):  # the stream may be what broke; the exit code tells
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
