"""How long does it take to store a frame durably?

``python -m benchmarks.session_writes FOLDER [--frames 200] [--cells 50] [--json]``

FOLDER lies on the disk in question: an SD card is not an SSD. The crops are simulated cells.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from edge.base import Frame
from edge.classify import Decision
from edge.count import CountedFrame
from edge.find import crop_cells, segment
from edge.session import Header, create_session, frame_record
from edge.simulate import Optics, simulate_frame

LABELS = ("granulocyte", "lymphocyte", "monocyte", "erythrocyte", "debris")
STATE_BYTES = 1 << 20
"""A reduced frame of one megapixel, which following cells may need."""


def counted_frame(cells: int) -> CountedFrame:
    image = simulate_frame(1).image
    found = segment(image, pixel_um=Optics().pixel_um)
    found = (found * (cells // len(found) + 1))[:cells]
    probabilities = np.random.default_rng(1).dirichlet(np.ones(len(LABELS)), cells).astype(np.float32)
    frame = Frame(image, "camera#0", 0, 0)
    return CountedFrame(
        frame, "ab" * 32, found, crop_cells(image, found), probabilities, [Decision(LABELS[0])] * cells
    )


def seconds_per_frame(folder: Path, counted: CountedFrame, frames: int, keep_crops: bool) -> list[float]:
    """Return the seconds that each record takes to make and to add; the session is removed afterwards."""
    header = Header(
        *("", "", "none", "", LABELS, LABELS[:3], None, {}, {}, (), "benchmark", datetime.now(UTC))
    )
    taken = []
    with create_session(header, folder) as session:
        for k in range(frames):
            start = time.perf_counter()
            session.add(replace(frame_record(counted, keep_crops=keep_crops), index=k))
            taken.append(time.perf_counter() - start)
        session.finish("measured")
    session.path.unlink()
    return taken


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.session_writes", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--frames", type=int, default=200)
    parser.add_argument("--cells", type=int, default=50, help="cells per frame")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    counted = counted_frame(options.cells)
    state = os.urandom(STATE_BYTES)
    measured = {}
    for name, frame, keep_crops in (
        ("cells", counted, False),
        ("cells and 1 MB of state", replace(counted, tracker_state=state), False),
        ("cells and crops", counted, True),
    ):
        taken = seconds_per_frame(options.folder, frame, options.frames, keep_crops)
        measured[name] = {"median_ms": 1e3 * float(np.median(taken)), "most_ms": 1e3 * max(taken)}
    if options.json:
        print(json.dumps(measured))
        return
    for name, row in measured.items():
        print(f"{name:24} median {row['median_ms']:6.1f} ms, at most {row['most_ms']:6.1f} ms per frame")


if __name__ == "__main__":
    main()
