"""What a count adds up to, brought up to date frame by frame."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np

from edge.base import FailedFrame
from edge.classify import Decision
from edge.count.concentration import in_field
from edge.count.counted_frame import CountedFrame
from edge.count.tally import Tally, tally_decisions
from edge.model import Manifest
from edge.track import TrackedCells


@dataclass(frozen=True)
class Spread:
    """How a measure ran over the frames."""

    median: float
    low: float
    high: float


class Totals:
    """What was counted so far; memory grows by some bytes a frame, and a cell where each is counted once.

    Parameters
    ----------
    manifest : of the bundle that counts
    each_once : cells are followed, and each gets one label from all its detections
    field_px : width and height of the frames, if the cells whose middle lies in a frame are to be counted

    Attributes
    ----------
    hashes : SHA-256 of each frame read
    failed : files and pages that could not be read
    out : name of each frame that is beyond a limit of quality, and the limits, in words
    detections : cells found in all frames, those seen before too
    inside : label → cells whose middle lies in their frame
    """

    def __init__(
        self, manifest: Manifest, *, each_once: bool = False, field_px: tuple[int, int] | None = None
    ) -> None:
        self._manifest = manifest
        self._seen = TrackedCells(manifest.labels, manifest.reject_below) if each_once else None
        self._field_px = field_px
        self._decisions: Counter[Decision] = Counter()
        self._quality: dict[str, list[float]] = {}
        self.hashes: list[str] = []
        self.failed: list[FailedFrame] = []
        self.out: list[tuple[str, tuple[str, ...]]] = []
        self.detections = 0
        self.inside: Counter[str] = Counter()

    def add(self, result: CountedFrame | FailedFrame) -> None:
        """Add a frame."""
        if isinstance(result, FailedFrame):
            self.failed.append(result)
            return
        self.hashes.append(result.sha256)
        self.detections += len(result.cells)
        if self._seen is not None and result.track_ids is not None:
            border = [cell.border for cell in result.cells]
            in_distribution = [one.rejected_by != "out_of_distribution" for one in result.decisions]
            self._seen.add(result.track_ids, result.probabilities, border, in_distribution)
        else:
            self._decisions.update(result.decisions)
        if self._field_px is not None:
            middles = in_field(result.cells, *self._field_px)
            self.inside.update(one.label for one, here in zip(result.decisions, middles, strict=True) if here)
        if result.breaches:
            self.out.append((result.frame.name, result.breaches))
        for measure, value in asdict(result.quality).items() if result.quality else ():
            if value is not None:
                self._quality.setdefault(measure, []).append(value)

    @property
    def dropped(self) -> int:
        """Frames that a camera gave and nobody could count in time."""
        return int(sum(self._quality.get("dropped_before", ())))

    def spreads(self) -> dict[str, Spread]:
        """Tell how each measure of quality ran over the frames."""
        return {
            name: Spread(float(np.median(values)), min(values), max(values))
            for name, values in self._quality.items()
        }

    def tally(self) -> Tally:
        """State what was counted."""
        decisions = self._decisions if self._seen is None else self._seen.counts
        manifest = self._manifest
        return tally_decisions(manifest.labels, manifest.counted, decisions, len(self.hashes), self.failed)
