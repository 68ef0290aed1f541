"""What a count adds up to, frame by frame."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np

from edge.base import FailedFrame, StatedPixel
from edge.classify import Decision
from edge.count.concentration import in_field
from edge.count.counted_frame import CountedFrame
from edge.count.dispersion import FieldCounts
from edge.count.doubt import Doubt
from edge.count.per_field import PerField
from edge.count.tally import Tally, tally_decisions
from edge.find import largest_first
from edge.model import Manifest
from edge.track import Agreement, Constellations, LaidOut, TrackedCells

NEAR = {"near_below": "just_below", "near_above": "too_large"}
"""Reason of a body beside a size gate → the reason that it is one of."""


@dataclass(frozen=True)
class Spread:
    """Median and range of a quality measure over the frames."""

    median: float
    low: float
    high: float


class Totals:
    """What was counted so far; takes some bytes of memory per frame, and per cell where cells are tracked.

    Parameters
    ----------
    tracked : bool
        Each cell gets one label from all its detections.
    field_px : (width, height) or None
        Size of the frames in which cells are counted whose middle lies in the frame.

    Attributes
    ----------
    hashes : list of str
        SHA-256 of each frame read.
    out : list of (str, tuple of str)
        Name of each frame beyond a quality limit, and the limits in words.
    detections : int
        Cells found in all frames, those seen before included.
    laid_out : LaidOut or None
        How much of a slide the fields of a scan cover.
    notes : Counter
        What the reader chose → frames for which it did; see `edge.base.Frame.notes`.
    sizes : Counter
        Width and height of a frame, px → frames.
    pixels : Counter
        What the file of a frame states of a pixel, None for nothing → frames.
    lost : Counter
        Reason → bodies that were found and are no cells; `near` ones are among those just below the smallest
        diameter, and those too large.
    near : Counter
        ``near_below``, ``near_above`` → bodies that a size gate moved by `edge.find.NEAR_GATE` would count.
    diameters_px : Counter
        Diameter of the disc of a cell's area, to a tenth of a pixel → cells. A cell that the frame's edge
        cuts is taken with its mirror image.
    counted_diameters_px : Counter
        The same for those with a counted label.
    constellations : Constellations
        How many cells are counted though earlier frames show them.
    bundle_rejects_below : float
        Best probability below which the bundle itself rejects a cell.
    agreement : Agreement
        How the detections of tracked cells agree.
    doubt : Doubt
        How sure the bundle is of the label of each detection.
    """

    def __init__(
        self,
        manifest: Manifest,
        reject_below: float,
        *,
        tracked: bool = False,
        field_px: tuple[int, int] | None = None,
    ) -> None:
        self._labels, self._counted = manifest.labels, manifest.counted
        self._tracks = TrackedCells(manifest.labels, reject_below) if tracked else None
        self._field_px = field_px
        self.bundle_rejects_below = manifest.reject_below
        self._decisions: Counter[Decision] = Counter()
        self._quality: dict[str, list[float]] = {}
        self.hashes: list[str] = []
        self.failed: list[FailedFrame] = []
        self.out: list[tuple[str, tuple[str, ...]]] = []
        self.detections = 0
        self.laid_out: LaidOut | None = None
        self._inside: Counter[Decision] = Counter()
        self._tracks_inside: set[int] = set()
        self.notes: Counter[str] = Counter()
        self.sizes: Counter[tuple[int, int]] = Counter()
        self.pixels: Counter[StatedPixel | None] = Counter()
        self.lost: Counter[str] = Counter()
        self.near: Counter[str] = Counter()
        self.diameters_px: Counter[float] = Counter()
        self.counted_diameters_px: Counter[float] = Counter()
        self.constellations = Constellations()
        self._track_ids = 0
        self.agreement = Agreement()
        self.doubt = Doubt()
        self._per_field = PerField(manifest.counted)
        self._unlisted: Counter[str] = Counter()
        self._unlisted_now: Counter[str] = Counter()

    def add(self, result: CountedFrame | FailedFrame) -> None:
        """Add a frame."""
        if isinstance(result, FailedFrame):
            if result.listed:
                self.failed.append(result)
            else:
                self._unlisted_now[result.kind] += 1
            return
        self._unlisted_now.clear()  # the frame says how many they were
        self._unlisted.update(result.unlisted_before)
        self._add_places(result)
        self.hashes.append(result.sha256)
        self.notes.update(result.frame.notes)
        height, width = result.frame.image.shape
        if width and height:  # a record may lack it
            self.sizes[width, height] += 1
        self.pixels[result.frame.pixel] += 1
        for reason, bodies in result.lost.items():
            self.lost[NEAR.get(reason, reason)] += bodies
            if reason in NEAR:
                self.near[reason] += bodies
        self.detections += len(result.cells)
        self.doubt.add(result.decisions, result.probabilities)
        diameters = [
            round(2 * (cell.area_px * (2 if cell.border else 1) / math.pi) ** 0.5, 1) for cell in result.cells
        ]
        self.diameters_px.update(diameters)
        self.counted_diameters_px.update(
            px
            for px, decision in zip(diameters, result.decisions, strict=True)
            if decision.label in self._counted
        )
        if self._tracks is not None and result.track_ids is not None:
            border = [cell.border for cell in result.cells]
            in_distribution = [one.answered for one in result.decisions]
            self._tracks.add(result.track_ids, result.probabilities, border, in_distribution)
            likeliest = [one.likeliest for one in result.decisions]
            self.agreement.add(result.cells, likeliest, result.track_ids)
        else:
            self._decisions.update(result.decisions)
        middles = None if self._field_px is None else in_field(result.cells, *self._field_px)
        self._per_field.add(result, middles)
        if middles is not None:
            if result.track_ids is None:
                self._inside.update(one for one, here in zip(result.decisions, middles, strict=True) if here)
            else:
                self._tracks_inside.update(result.track_ids[middles].tolist())
        self.laid_out = result.laid_out
        if result.breaches:
            self.out.append((result.frame.name, result.breaches))
        for measure, value in asdict(result.quality).items() if result.quality else ():
            if value is not None:
                self._quality.setdefault(measure, []).append(value)

    def _add_places(self, result: CountedFrame) -> None:
        """Remember where the cells lie, and which of them no earlier frame counts."""
        new = None
        if result.track_ids is not None:
            largest = largest_first(result.cells)
            new = np.asarray(result.track_ids[largest] >= self._track_ids, np.bool_)
            self._track_ids = max(self._track_ids, int(result.track_ids.max(initial=-1)) + 1)
        known_by = result.fingerprint
        if known_by is not None:  # of a flow it has no places
            new = None if new is None else new[: len(known_by.places)]
            self.constellations.add(
                known_by,
                cells=len(result.cells),
                name=result.frame.name,
                shared=result.shared,
                repeats=result.repeats,
                new=new,
            )

    @property
    def dropped(self) -> int:
        """Frames that a camera gave and nobody could count in time."""
        return int(sum(self._quality.get("dropped_before", ())))

    @property
    def inside(self) -> Counter[Decision]:
        """Decision → cells whose middle lies in a frame."""
        decided = self._tracks.decisions if self._tracks else {}
        return self._inside + Counter(decided[track_id] for track_id in self._tracks_inside)

    @property
    def fields(self) -> float:
        """Frames read, without the shares of them in which no cell could be found."""
        return len(self.hashes) - sum(self._quality.get("hidden_share", ()))

    def per_field(self) -> FieldCounts:
        """Return the counted cells of each field."""
        decided = self._tracks.decisions if self._tracks else {}
        return self._per_field.counts(decided, self._tracks_inside)

    def spreads(self) -> dict[str, Spread]:
        """Return the median and the range of each quality measure."""
        return {
            name: Spread(float(np.median(values)), min(values), max(values))
            for name, values in self._quality.items()
        }

    def tally(self) -> Tally:
        """Return what was counted."""
        decisions = self._decisions if self._tracks is None else self._tracks.counts
        unlisted = self._unlisted + self._unlisted_now
        return tally_decisions(
            self._labels, self._counted, decisions, len(self.hashes), self.failed, unlisted
        )
