"""How long does counting take, compared with decoding alone, and how much memory?

``python -m benchmarks.pipeline FRAMES [--bundle B] [--rounds 3] [--threads N] [--times 10] [--json]``

Each round decodes every file with OpenCV in one thread, counts them all without a report, and counts them
with one, in turn, so that a slow moment of the machine affects all three; the median of each counts.
Counting is the whole command, in a process of its own. Memory is the largest resident set of such a process,
also with every file counted several times (``--times``).
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import cv2

from edge.base import cores
from edge.capture import list_files

_COUNT = """
import resource, sys
from edge.cli import main
try:
    main()
finally:
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def decode(files: Sequence[Path], flag: int) -> float:
    """Return the seconds to decode them one by one."""
    cv2.setNumThreads(1)
    started = time.perf_counter()
    for file in files:
        cv2.imread(str(file), flag)
    return time.perf_counter() - started


def count(*words: str) -> tuple[float, float, float]:
    """Return the seconds of ``leuko count`` by the clock and by its own report, and its peak memory in MB."""
    started = time.perf_counter()
    command = [sys.executable, "-c", _COUNT, "count", "--json", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr)
    return seconds, json.loads(done.stdout)["seconds"], int(done.stderr.splitlines()[-1]) / 1024


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pipeline", description=__doc__)
    parser.add_argument("frames", type=Path, help="folder of JPEG frames")
    parser.add_argument("--bundle", default="hemocytometer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--times", type=int, default=1, help="counts of each file for the memory")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    files = list(map(Path, list_files([options.frames])))
    words = ("--bundle", options.bundle, "--threads", str(options.threads))
    grey, colour, plain, reported = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        out = f"{folder}/result"
        for _ in range(options.rounds):
            grey.append(decode(files, cv2.IMREAD_GRAYSCALE))
            colour.append(decode(files, cv2.IMREAD_COLOR))
            plain.append(count(str(options.frames), *words))
            reported.append(count(str(options.frames), *words, "--out", out, "--force"))
        many_mb = None
        if options.times > 1:
            many = Path(folder) / "many"
            many.mkdir()
            for turn in range(options.times):
                for file in files:
                    # links to one file count once, so these are files; they cost no more than their names
                    (many / f"{turn}-{file.name}").hardlink_to(file)
            many_mb = count(str(many), *words, "--out", out, "--force")[2]
    result = {
        "files": len(files),
        "threads": options.threads,
        "decode_s": round(median(grey), 2),
        "decode_colour_s": round(median(colour), 2),
        "count_s": round(median(seconds for _, seconds, _ in plain), 2),
        "command_s": round(median(seconds for seconds, _, _ in plain), 2),
        "count_with_report_s": round(median(seconds for _, seconds, _ in reported), 2),
        "peak_mb": round(max(mb for *_, mb in plain)),
        "peak_with_report_mb": round(max(mb for *_, mb in reported)),
        "peak_many_mb": many_mb and round(many_mb),
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{len(files)} files, {options.threads} threads, median of {options.rounds} rounds")
    print(f"decoding alone, grey, one thread {result['decode_s']:6.2f} s")
    for name, key in (
        ("decoding alone, in colour", "decode_colour_s"),
        ("counting", "count_s"),
        ("counting, the whole command", "command_s"),
        ("counting with a report", "count_with_report_s"),
    ):
        print(f"{name:32} {result[key]:6.2f} s  {result[key] / result['decode_s']:.2f} times")
    print(f"largest memory: {result['peak_mb']} MB, with a report {result['peak_with_report_mb']} MB")
    if many_mb is not None:
        print(f"every file {options.times} times: {many_mb:.0f} MB")


if __name__ == "__main__":
    main()
