"""How long does segmenting a decoded frame take, on one thread?

``python -m benchmarks.segment_speed FRAMES [--frames 10] [--repeats 3] [--json]``
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from statistics import median

import cv2

from edge.base import Frame, board
from edge.capture import read_frames
from edge.find import DEFAULT_PIXEL_UM, segment


def measure(frame: Frame, repeats: int, pixel_um: float) -> tuple[float, float]:
    """Return the best wall-clock and processor time of the repeats, in ms."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        segment(frame.image, pixel_um=pixel_um)
        walls.append(1e3 * (time.perf_counter() - wall))
        cpus.append(1e3 * (time.process_time() - cpu))
    return min(walls), min(cpus)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.segment_speed", description=__doc__)
    parser.add_argument("frames", type=Path, help="frame or folder of frames")
    parser.add_argument("--frames", dest="count", type=int, default=10, help="number of frames")
    parser.add_argument("--repeats", type=int, default=3, help="repeats per frame; the fastest counts")
    parser.add_argument("--pixel-um", type=float, default=DEFAULT_PIXEL_UM)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    # all decoded first: the reader decodes ahead in a thread of its own
    frames = [
        frame for frame in islice(read_frames([options.frames]), options.count) if isinstance(frame, Frame)
    ]
    if not frames:
        raise SystemExit(f"{options.frames}: no readable frames")
    walls, cpus = zip(*(measure(frame, options.repeats, options.pixel_um) for frame in frames), strict=True)
    megapixels = median(frame.image.size for frame in frames) / 1e6
    versions = f"Python {platform.python_version()}, OpenCV {cv2.__version__}"
    result = {
        "frames": len(walls),
        "megapixels": round(megapixels, 2),
        "wall_ms": {"median": round(median(walls), 1), "max": round(max(walls), 1)},
        "processor_ms": {"median": round(median(cpus), 1), "max": round(max(cpus), 1)},
        "machine": f"{board.processor()}, {platform.machine()}, {versions}",
    }
    if options.json:
        print(json.dumps(result))
        return
    print(result["machine"])
    print(f"{len(walls)} frames of {megapixels:.1f} megapixels, one thread, best of {options.repeats}")
    for name, values in (("wall clock", walls), ("processor", cpus)):
        print(f"{name:10}  median {median(values):6.1f} ms   max {max(values):6.1f} ms")


if __name__ == "__main__":
    main()
