"""How long does a frame's quality take, compared with finding its cells, on one thread?

``python -m benchmarks.quality_speed FRAMES [--frames 10] [--repeats 5] [--json]``
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from edge.base import Frame, board
from edge.capture import read_frames
from edge.find import DEFAULT_PIXEL_UM, divide_flat_field, measure_quality, segment


def best_ms(job: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Return the best wall-clock and processor time of the repeats, in ms."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        job()
        walls.append(1e3 * (time.perf_counter() - wall))
        cpus.append(1e3 * (time.process_time() - cpu))
    return min(walls), min(cpus)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.quality_speed", description=__doc__)
    parser.add_argument("frames", type=Path, help="frame or folder of frames")
    parser.add_argument("--frames", dest="count", type=int, default=10, help="number of frames")
    parser.add_argument("--repeats", type=int, default=5, help="repeats per frame; the fastest counts")
    parser.add_argument("--pixel-um", type=float, default=DEFAULT_PIXEL_UM)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    read = islice(read_frames([options.frames]), options.count)
    frames = [frame for frame in read if isinstance(frame, Frame)]
    if not frames:
        raise SystemExit(f"{options.frames}: no readable frames")
    rows: dict[str, list[tuple[float, float]]] = {"segment": [], "quality": [], "flat field": []}
    for frame in frames:
        find = partial(segment, frame.image, pixel_um=options.pixel_um)
        gain = np.full(frame.image.shape, 1.01, np.float32)
        jobs: dict[str, Callable[[], object]] = {
            "segment": find,
            "quality": partial(measure_quality, frame, find(), pixel_um=options.pixel_um),
            "flat field": partial(divide_flat_field, frame.image, gain),
        }
        for name, job in jobs.items():
            rows[name].append(best_ms(job, options.repeats))
    result = {
        "frames": len(frames),
        "megapixels": round(median(frame.image.size for frame in frames) / 1e6, 2),
        "ms": {
            name: {
                "wall_median": round(median(wall for wall, _ in found), 2),
                "processor_median": round(median(cpu for _, cpu in found), 2),
                "processor_max": round(max(cpu for _, cpu in found), 2),
            }
            for name, found in rows.items()
        },
        "machine": board.processor(),
    }
    if options.json:
        print(json.dumps(result))
        return
    print(f"{result['machine']}, one thread, {len(frames)} frames of {result['megapixels']} megapixels")
    for name, row in result["ms"].items():  # type: ignore[attr-defined]
        print(
            f"{name:10}  wall {row['wall_median']:6.2f} ms   processor {row['processor_median']:6.2f} ms"
            f" (at most {row['processor_max']:.2f})"
        )


if __name__ == "__main__":
    main()
