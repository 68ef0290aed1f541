"""How much memory does a count of a camera take under the limit that each board's profile sets?

``python -m benchmarks.board_memory [--cells 200] [--frames 6] [--bundle phantom3] [--json]``

A stand-in for the camera gives simulated frames of a sensor's mode as a camera does: each a new array, as
fast as they are taken. ``leuko count`` runs with the options of the profile that ``leuko firmware init``
prints, in a control group with its limit and without swap. What ``leuko firmware check`` expects is printed,
its largest resident set, the group's largest memory, and the cells that it counted. One more row has 12
megapixels in one thread. It needs systemd, or root and control groups of version 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from edge.run import count_bytes
from edge.simulate import Scene, simulate
from firmware_config.hardware import BOARDS, CORES
from firmware_config.start import USUAL_FRAMES, initial_values

PIXEL_UM = 0.125
"""Of the simulated frames: coarser than a profile's, so that less is reduced."""

_GROUPS = Path("/sys/fs/cgroup/memory")

_COUNT = """
import sys, time
from pathlib import Path
import numpy as np
from edge.base import Frame
from edge.capture import CameraSettings
from edge.cli import main
from edge.run import count_run

class StandIn:
    paced, name = False, "camera"
    files = sorted(Path(sys.argv.pop(1)).glob("*.raw"))
    height, width = int(sys.argv.pop(1)), int(sys.argv.pop(1))
    grabbed = 0
    def settle(self, timeout_s): return CameraSettings()
    def apply(self, settings, timeout_s): pass
    def close(self): pass
    def grab(self, timeout_s):
        if self.grabbed == len(self.files): return None
        image = np.fromfile(self.files[self.grabbed], np.uint8).reshape(self.height, self.width)
        self.grabbed += 1
        return Frame(image, f"{self.name}#{self.grabbed}", self.grabbed, time.time_ns())

count_run.open_camera = lambda *words, **options: StandIn()
try:
    main()
finally:
    # ru_maxrss would be the parent's at least
    status = Path("/proc/self/status").read_text()
    print(status.split("VmHWM:")[1].split()[0], file=sys.stderr)
"""


@dataclass(frozen=True)
class Row:
    """What is counted with: a board's smallest version, frame size, threads, frames that may wait, limit."""

    board: str
    width_px: int
    height_px: int
    threads: int
    buffer_frames: int
    limit_mib: int


def rows() -> Iterator[Row]:
    """Yield each board's new profile for the HQ camera, and 12 megapixels in one thread."""
    for board in BOARDS:
        values = initial_values(board, "imx477", "trixie")
        keys = ("camera.width_px", "camera.height_px", "service.threads", "camera.buffer_frames")
        defaults = (0, 0, CORES, USUAL_FRAMES)
        width, height, threads, frames = (
            int(values.get(key, default)) for key, default in zip(keys, defaults, strict=True)
        )
        yield Row(board, width, height, threads, frames, int(values["service.memory_mb"]))
    yield Row("12 MP, one thread", 4056, 3040, 1, 2, 210)


@contextmanager
def limited(mib: int) -> Iterator[tuple[list[str], Path | None]]:
    """Give the words that start a program with so much memory, and the file of the peak, if there is one."""
    if Path("/run/systemd/system").exists():
        limits = ("-p", f"MemoryMax={mib}M", "-p", "MemorySwapMax=0")
        yield ["systemd-run", "--scope", "--quiet", *limits], None
        return
    group = _GROUPS / f"leuko-{os.getpid()}"
    try:
        group.mkdir()
        (group / "memory.swappiness").write_text("0")
        (group / "memory.limit_in_bytes").write_text(str(mib << 20))
    except OSError as error:
        raise SystemExit(f"{group}: {error.strerror}; it needs systemd, or root and control groups") from None
    try:
        yield (
            ["sh", "-c", f'echo $$ > {group}/cgroup.procs; exec "$@"', "sh"],
            group / "memory.max_usage_in_bytes",
        )
    finally:
        group.rmdir()


def measure(row: Row, frames: Path, bundle: str, home: Path) -> dict[str, object]:
    """Count the frames under a row's limit."""
    words = ["--camera", "video:frames", "--bundle", bundle, "--pixel-um", f"{PIXEL_UM}", "--json"]
    words += ["--threads", f"{row.threads}", "--buffer-frames", f"{row.buffer_frames}"]
    size = (f"{row.height_px}", f"{row.width_px}")
    environment = {**os.environ, "LEUKO_HOME": str(home)}
    with limited(row.limit_mib) as (before, peak):
        command = [*before, sys.executable, "-c", _COUNT, str(frames), *size, "count", *words]
        command += ["--until-cells", "1000000"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        group_mib = None if peak is None else round(int(peak.read_text()) / (1 << 20))
    expected, _ = count_bytes(row.width_px * row.height_px, PIXEL_UM, row.threads, row.buffer_frames)
    found: dict[str, object] = {
        **vars(row),
        "expected_mib": round(expected / (1 << 20)),
        "group_mib": group_mib,
    }
    if done.returncode:
        return found | {"resident_mib": None, "cells": None, "why": done.stderr[-200:] or done.returncode}
    result = json.loads(done.stdout)
    cells = round(result["cells"] / result["frames"]["read"])
    return found | {"resident_mib": round(int(done.stderr.splitlines()[-1]) / 1024), "cells": cells}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.board_memory", description=__doc__)
    parser.add_argument("--cells", type=float, default=200, help="mean cells per frame")
    parser.add_argument("--frames", type=int, default=6)
    parser.add_argument("--bundle", default="phantom3")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    results = []
    with tempfile.TemporaryDirectory() as folder:
        for row in rows():
            frames = Path(folder) / f"{row.width_px}"
            if not frames.exists():
                scene = Scene(
                    width_px=row.width_px,
                    height_px=row.height_px,
                    leukocytes=0.75 * options.cells,
                    erythrocytes=0.25 * options.cells,
                    debris=0,
                )
                write_raw(frames, scene, options.frames)
            results.append(measure(row, frames, options.bundle, Path(folder)))
    if options.json:
        print(json.dumps(results))
        return
    print(
        "| board | frames | threads | waiting | limit, MiB | expected | resident | group | cells per frame |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    for r in results:
        size = f"{r['width_px']} x {r['height_px']}"
        cells = r["cells"] if r["cells"] is not None else f"none: {r['why']}"
        numbers = (r["limit_mib"], r["expected_mib"], r["resident_mib"], r["group_mib"], cells)
        print("|", " | ".join(map(str, (r["board"], size, r["threads"], r["buffer_frames"], *numbers))), "|")


def write_raw(folder: Path, scene: Scene, frames: int) -> None:
    """Write simulated frames without a header, as they are in a camera's memory."""
    import cv2

    folder.mkdir()
    for path in simulate(folder / "simulated", frames=frames, scene=scene):
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE).tofile(folder / f"{path.stem}.raw")
        path.unlink()


if __name__ == "__main__":
    main()
