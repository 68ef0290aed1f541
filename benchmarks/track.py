"""How many cells does the tracker count twice or lose? On simulated scans and flows, and on real frames.

``python -m benchmarks.track simulated [--seeds 3] [--first 31] [--json]``
``python -m benchmarks.track frames FRAMES [--mode scan] [--boxes BOXES] [--pixel-um P] [...]``

A simulated particle, cell or debris, should be counted if segmentation finds it in at least one frame
(intersection over union of at least 0.3). Each track belongs to the particle that received its id most often.
`extra` counts further tracks of the same particle and tracks of no particle; `lost` counts particles without
a track. With the truth's boxes as input the tracker is judged alone, on leukocytes and erythrocytes that
show at least 4 µm.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Literal

import cv2

from edge.base import Cell, Frame
from edge.capture import read_frames
from edge.find import DEFAULT_PIXEL_UM, Gates, segment
from edge.simulate import Flow, Optics, Scan, SimulatedFrame, Truth, moving_frames
from edge.track import Tracker
from train.boxes import corners, match_boxes, of_frames, read_boxes
from train.table import Box

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
    """Detections, true cells, and the tracks in excess and the cells without one."""

    detections: int
    true: int
    extra: int
    lost: int

    @property
    def counted(self) -> int:
        """Tracks."""
        return self.true + self.extra - self.lost

    @property
    def error(self) -> float:
        """Error of the count as a percentage of the true cells."""
        return 100 * (self.counted - self.true) / self.true


class Matches:
    """How often each particle received each track id."""

    def __init__(self) -> None:
        self.by_track: dict[int, Counter[int | None]] = defaultdict(Counter)
        self.particles: set[int | None] = set()
        self.detections = 0

    def add(self, track_ids: Sequence[int], particles: Sequence[int | None]) -> None:
        """Add the cells of one frame; None stands for a cell that matches no particle."""
        for track_id, particle in zip(track_ids, particles, strict=True):
            self.by_track[track_id][particle] += particle is not None
        self.particles |= set(particles) - {None}
        self.detections += len(track_ids)

    def count(self) -> Count:
        """Assign each track to its particle and count."""
        owners = Counter(particles.most_common(1)[0][0] for particles in self.by_track.values())
        none = owners.pop(None, 0)
        extra = none + owners.total() - len(owners)
        return Count(self.detections, len(self.particles), extra, len(self.particles) - len(owners))


def visible_cells(truth: Sequence[Truth], pixel_um: float) -> list[Truth]:
    """Return the cells that show at least `VISIBLE_UM`."""
    return [
        t for t in truth if t.label != "debris" and min(t.cell.width, t.cell.height) * pixel_um >= VISIBLE_UM
    ]


def particles_of(cells: Sequence[Cell], truth: Sequence[Truth]) -> list[int | None]:
    """Return the particle that each cell matches, or None."""
    pairs = match_boxes(corners(cells), corners(t.cell for t in truth), IOU)
    found = {cell: truth[k].particle for cell, k in pairs}
    return [found.get(k) for k in range(len(cells))]


def simulated_count(
    frames: Iterable[SimulatedFrame], mode: Literal["scan", "flow"], fps: float, pixel_um: float
) -> tuple[Count, Count]:
    """Count once with segmented cells and once with the truth's boxes."""
    trackers = [Tracker(mode, pixel_um=pixel_um) for _ in range(2)]
    matches = [Matches(), Matches()]
    for index, frame in enumerate(frames):
        segmented = segment(frame.image, pixel_um=pixel_um)
        visible = visible_cells(frame.truth, pixel_um)
        inputs = [
            (segmented, particles_of(segmented, frame.truth)),
            ([t.cell for t in visible], [t.particle for t in visible]),
        ]
        for tracker, one, (cells, particles) in zip(trackers, matches, inputs, strict=True):
            track_ids = tracker.update(frame.image, cells, round((1 + index / fps) * 1e9))
            one.add(track_ids.tolist(), particles)
    return matches[0].count(), matches[1].count()


def simulated(seeds: Sequence[int]) -> Iterator[tuple[str, int, Count, Count]]:
    for name, (motion, frames) in MOTIONS.items():
        for seed in seeds:
            shown = islice(moving_frames(seed, motion), frames)
            if isinstance(motion, Flow):
                counts = simulated_count(shown, "flow", motion.fps, Optics().pixel_um)
            else:
                counts = simulated_count(shown, "scan", 1.0, Optics().pixel_um)
            yield name, seed, *counts


def with_border(box: Box, shape: tuple[int, ...]) -> Cell:
    """Return an annotated box as a cell that knows whether the edge of its frame [h, w] cuts it."""
    low, high = corners([box.cell])[0].reshape(2, 2)
    return replace(box.cell, border=bool((low <= 0).any() or (high >= shape[1::-1]).any()))


def real(
    frames: Path, boxes: Path | None, mode: Literal["scan", "flow"], pixel_um: float, min_diameter_um: float
) -> dict[str, object]:
    """Return detections and distinct cells, found and annotated, and the tracker's CPU time per frame."""
    annotated = of_frames(read_boxes(boxes), [frames]) if boxes else {}
    trackers = {
        name: Tracker(mode, pixel_um=pixel_um) for name in ("found", *(["annotated"] if boxes else []))
    }
    detections = dict.fromkeys(trackers, 0)
    distinct = dict.fromkeys(trackers, 0)
    milliseconds, largest = [], 0
    for index, frame in enumerate(read_frames([frames])):
        if not isinstance(frame, Frame):
            raise SystemExit(f"{frame.name}: {frame.reason}")
        cells = {
            "found": segment(frame.image, pixel_um=pixel_um, gates=Gates(min_diameter_um=min_diameter_um))
        }
        if boxes:
            in_frame = annotated.get(frame.name, [])
            cells["annotated"] = [with_border(box, frame.image.shape) for box in in_frame]
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
    parser = argparse.ArgumentParser(prog="python -m benchmarks.track", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("simulated")
    one.add_argument("--seeds", type=int, default=3, help="number of seeds")
    one.add_argument("--first", type=int, default=31, help="first seed")
    two = commands.add_parser("frames")
    two.add_argument("frames", type=Path, help="folder of frames")
    two.add_argument("--mode", choices=("scan", "flow"), default="scan")
    two.add_argument("--boxes", type=Path, help="CSV that leuko crops reads")
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
        print(f"{'':24}{'segmented cells':>43}   {'boxes of the truth':>39}")
        columns = f"{'cells':>8}{'counted':>9}{'extra':>7}{'lost':>6}{'error':>9}"
        print(f"{'':18}{'seed':>5} detections{columns}   {columns}")
    for name, seed, found, given in simulated(range(options.first, options.first + options.seeds)):
        rows.append({"motion": name, "seed": seed, "found": asdict(found), "given": asdict(given)})
        if not options.json:
            results = "   ".join(
                f"{c.true:8}{c.counted:9}{c.extra:7}{c.lost:6}{c.error:+7.2f} %" for c in (found, given)
            )
            print(f"{name:18}{seed:5}{found.detections:10}{results}", flush=True)
    if options.json:
        print(json.dumps(rows))


if __name__ == "__main__":
    main()
