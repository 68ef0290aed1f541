"""Is each cell counted once? In simulated scans and flows, and in a folder of real frames.

``python -m benchmarks.once simulated [--seeds 3] [--first 31] [--json]``
``python -m benchmarks.once frames FRAMES [--mode scan] [--boxes BOXES] [--pixel-um P] [--min-diameter-um D]``

A simulated particle is to be counted if segmentation finds it (intersection over union of at least 0.3) in at
least one frame, be it cell or debris; whatever the tracker takes for one cell is counted. An track_id is that
of the particle that it was given to most often: `extra` are others of the same particle, and those of none;
`lost` are particles that no track_id is left for. With the truth's own boxes as input the tracker is judged
by itself: leukocytes and erythrocytes of which 4 µm are visible.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.detection import match_boxes, read_boxes
from edge.base import Cell, Frame
from edge.capture import read_frames
from edge.find import DEFAULT_PIXEL_UM, segment
from edge.simulate import Flow, Optics, Scan, SimulatedFrame, Truth, moving_frames
from edge.track import Tracker

MOTIONS: dict[str, tuple[Scan | Flow, int]] = {
    "scan, overlap 0.2": (Scan(5, 4, overlap=0.2), 20),
    "scan, overlap 0.3": (Scan(5, 4, overlap=0.3), 20),
    "flow, 100 µm/s": (Flow(100.0), 40),
    "flow, 200 µm/s": (Flow(200.0), 40),
    "flow, 400 µm/s": (Flow(400.0), 40),
}
"""What is simulated, and how many frames of it; flows at 10 frames a second."""

VISIBLE_UM = 4.0
IOU = 0.3


@dataclass(frozen=True)
class Count:
    """Detections; cells that there are; of them counted more than once, and not at all."""

    detections: int
    true: int
    extra: int
    lost: int

    @property
    def counted(self) -> int:
        """Identities given."""
        return self.true + self.extra - self.lost

    @property
    def error(self) -> float:
        """In per cent of the true cells."""
        return 100 * (self.counted - self.true) / self.true


class Ledger:
    """Which track_id was given to which particle, detection by detection."""

    def __init__(self) -> None:
        self.given: dict[int, Counter[int | None]] = defaultdict(Counter)
        self.particles: set[int | None] = set()
        self.detections = 0

    def add(self, track_ids: Sequence[int], particles: Sequence[int | None]) -> None:
        """Take in a frame; None stands for a cell of no particle."""
        for track_id, particle in zip(track_ids, particles, strict=True):
            self.given[track_id][particle] += particle is not None
        self.particles |= set(particles) - {None}
        self.detections += len(track_ids)

    def count(self) -> Count:
        """Settle whose each track_id is."""
        owners = Counter(seen.most_common(1)[0][0] for seen in self.given.values())
        none = owners.pop(None, 0)
        extra = none + owners.total() - len(owners)
        return Count(self.detections, len(self.particles), extra, len(self.particles) - len(owners))


def box_array(boxes: Iterable[Sequence[float]]) -> NDArray[np.float64]:
    return np.array(list(boxes), np.float64).reshape(-1, 4)


def corners(cell: Cell) -> tuple[int, int, int, int]:
    return cell.x, cell.y, cell.x + cell.width, cell.y + cell.height


def visible_cells(truth: Sequence[Truth], pixel_um: float) -> list[tuple[Cell, int | None]]:
    """Cells with the truth's boxes, and their particles."""
    cells = []
    for t in truth:
        width, height = t.xmax - t.xmin, t.ymax - t.ymin
        if t.label != "debris" and min(width, height) * pixel_um >= VISIBLE_UM:
            cell = Cell(t.xmin, t.ymin, width, height, float(width * height), t.border, t.touching)
            cells.append((cell, t.particle))
    return cells


def particles_of(cells: Sequence[Cell], truth: Sequence[Truth]) -> list[int | None]:
    """Particle that each cell was found for, or None."""
    pairs = match_boxes(
        box_array(corners(cell) for cell in cells),
        box_array((t.xmin, t.ymin, t.xmax, t.ymax) for t in truth),
        IOU,
    )
    found = {cell: truth[k].particle for cell, k in pairs}
    return [found.get(k) for k in range(len(cells))]


def simulated_count(
    frames: Iterable[SimulatedFrame], mode: Literal["scan", "flow"], fps: float, pixel_um: float
) -> tuple[Count, Count]:
    """Count with what segmentation finds, and with the truth's boxes."""
    trackers = [Tracker(mode, pixel_um=pixel_um) for _ in range(2)]
    ledgers = [Ledger(), Ledger()]
    for index, frame in enumerate(frames):
        segmented = segment(frame.image, pixel_um=pixel_um)
        visible = visible_cells(frame.truth, pixel_um)
        inputs = [
            (segmented, particles_of(segmented, frame.truth)),
            ([cell for cell, _ in visible], [particle for _, particle in visible]),
        ]
        for tracker, ledger, (cells, particles) in zip(trackers, ledgers, inputs, strict=True):
            track_ids = tracker.update(frame.image, cells, round((1 + index / fps) * 1e9))
            ledger.add(track_ids.tolist(), particles)
    return ledgers[0].count(), ledgers[1].count()


def simulated(seeds: Sequence[int]) -> Iterator[tuple[str, int, Count, Count]]:
    for name, (motion, frames) in MOTIONS.items():
        for seed in seeds:
            shown = islice(moving_frames(seed, motion), frames)
            if isinstance(motion, Flow):
                counts = simulated_count(shown, "flow", motion.fps, Optics().pixel_um)
            else:
                counts = simulated_count(shown, "scan", 1.0, Optics().pixel_um)
            yield name, seed, *counts


def real(
    frames: Path, boxes: Path | None, mode: Literal["scan", "flow"], pixel_um: float, min_diameter_um: float
) -> dict[str, object]:
    """Detections and distinct cells, found and annotated, and the tracker's processor time a frame."""
    annotated = read_boxes(boxes) if boxes else {}
    trackers = {
        name: Tracker(mode, pixel_um=pixel_um) for name in ("found", *(["annotated"] if boxes else []))
    }
    detections = dict.fromkeys(trackers, 0)
    distinct = dict.fromkeys(trackers, 0)
    milliseconds, largest = [], 0
    for index, frame in enumerate(read_frames([frames])):
        if not isinstance(frame, Frame):
            raise SystemExit(f"{frame.name}: {frame.reason}")
        height, width = frame.image.shape
        cells = {"found": segment(frame.image, pixel_um=pixel_um, min_diameter_um=min_diameter_um)}
        if boxes:
            cells["annotated"] = [
                Cell(
                    x,
                    y,
                    r - x,
                    b - y,
                    float((r - x) * (b - y)),
                    x <= 0 or y <= 0 or r >= width or b >= height,
                    False,
                )
                for _, box in annotated.get(Path(frame.name).name, [])
                for x, y, r, b in [tuple(map(round, box))]
            ]
        for name, tracker in trackers.items():
            started = time.process_time()
            track_ids = tracker.update(frame.image, cells[name], (1 + index) * 10**9)
            if name == "found":
                milliseconds.append(1e3 * (time.process_time() - started))
            detections[name] += len(track_ids)
            distinct[name] = max(distinct[name], int(track_ids.max(initial=-1)) + 1)
        largest = max(largest, len(trackers["found"].state()))
    return {
        "frames": len(milliseconds),
        "detections": detections,
        "distinct": distinct,
        "tracker_ms": {"median": round(median(milliseconds), 1), "max": round(max(milliseconds), 1)},
        "state_bytes": largest,
    }


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.once", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("simulated")
    one.add_argument("--seeds", type=int, default=3, help="how many")
    one.add_argument("--first", type=int, default=31, help="the first of them")
    two = commands.add_parser("frames")
    two.add_argument("frames", type=Path, help="folder of frames")
    two.add_argument("--mode", choices=("scan", "flow"), default="scan")
    two.add_argument("--boxes", type=Path, help="CSV: frame,label,xmin,ymin,xmax,ymax")
    two.add_argument("--pixel-um", type=float, default=DEFAULT_PIXEL_UM)
    two.add_argument("--min-diameter-um", type=float, default=7.5)
    for command in (one, two):
        command.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    if options.command == "frames":
        result = real(options.frames, options.boxes, options.mode, options.pixel_um, options.min_diameter_um)
        print(json.dumps(result) if options.json else "\n".join(f"{k}: {v}" for k, v in result.items()))
        return
    rows = []
    if not options.json:
        print(f"{'':24}{'what segmentation finds':>43}   {'the truth itself':>39}")
        columns = f"{'cells':>8}{'counted':>9}{'extra':>7}{'lost':>6}{'error':>9}"
        print(f"{'':18}{'seed':>5} detections{columns}   {columns}")
    for name, seed, found, given in simulated(range(options.first, options.first + options.seeds)):
        rows.append({"motion": name, "seed": seed, "found": asdict(found), "given": asdict(given)})
        if not options.json:
            said = [f"{c.true:8}{c.counted:9}{c.extra:7}{c.lost:6}{c.error:+7.2f} %" for c in (found, given)]
            print(f"{name:18}{seed:5}{found.detections:10}{said[0]}   {said[1]}", flush=True)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
