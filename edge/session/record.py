"""The contents of a session: its header, one record per frame with the frame's cells, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, FailedFrame
from edge.classify import Decision
from edge.count import CountedFrame

PNG_LEVEL = 1
"""Compression of stored crops: level 6 makes them 2 % smaller and takes five times as long (measured)."""


@dataclass(frozen=True)
class Header:
    """What is known of a count before its first frame.

    Attributes
    ----------
    sample_id, operator : str
        As the operator gave them; may be empty.
    bundle, bundle_sha256 : str
        Name and version of the bundle, and the hash of its whole file.
    labels : of the bundle, in output order
    counted : the labels of the differential
    calibration_sha256 : str or None
        None without a calibration.
    parameters : mapping
        Every setting that the count depends on, as JSON can hold it.
    stop_rule : mapping
        When to stop, as JSON can hold it.
    sources : what the operator named
    software : name and version
    started : with its time zone
    """

    sample_id: str
    operator: str
    bundle: str
    bundle_sha256: str
    labels: tuple[str, ...]
    counted: tuple[str, ...]
    calibration_sha256: str | None
    parameters: Mapping[str, Any]
    stop_rule: Mapping[str, Any]
    sources: tuple[str, ...]
    software: str
    started: datetime


@dataclass(frozen=True)
class CellRecord:
    """One cell of a frame.

    Attributes
    ----------
    probabilities : of each label, in the bundle's order
    track_id : int or None
        The same for all detections of one cell; None where cells are not tracked.
    crop_png : bytes or None
        The grey crop that was classified; None if it was not kept.
    """

    cell: Cell
    decision: Decision
    probabilities: tuple[float, ...]
    track_id: int | None = None
    crop_png: bytes | None = None


@dataclass(frozen=True)
class FrameRecord:
    """One frame, counted or not readable.

    Attributes
    ----------
    index : int
        Position in reading order; grows from record to record.
    name : as in `edge.base.Frame`
    time_ns : int
        When it was taken; 0 if that is not known.
    sha256 : str or None
        As in `edge.count.CountedFrame`; None if the frame could not be read.
    failed : str or None
        Why it could not be read; None if it could.
    settings : mapping
        Sensor settings, as JSON can hold them.
    quality : mapping
        Quality measures, as JSON can hold them; None for what could not be measured.
    breaches : the quality limits that it exceeds, in words
    dropped_before : int
        Frames dropped between the frame before and this one.
    cells : tuple of CellRecord
    tracker_state : bytes or None
        What the tracker needs to resume after this frame; None if that has not changed. A session keeps only
        the last one, so records that are read back have None.
    """

    index: int
    name: str
    time_ns: int
    sha256: str | None = None
    failed: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    quality: Mapping[str, Any] = field(default_factory=dict)
    breaches: tuple[str, ...] = ()
    dropped_before: int = 0
    cells: tuple[CellRecord, ...] = ()
    tracker_state: bytes | None = None


@dataclass(frozen=True)
class Finish:
    """How a session ended.

    Attributes
    ----------
    reason : in words
    ended : with its time zone
    frames : number of records
    last_hash : of the last record, or of the header if there is none; 64 hexadecimal digits
    result : mapping or None
        The final count, as JSON can hold it; None if none was given.
    """

    reason: str
    ended: datetime
    frames: int
    last_hash: str
    result: Mapping[str, Any] | None


@dataclass(frozen=True)
class SessionTotals:
    """Sums over a session's records.

    Attributes
    ----------
    counts : label → cells, for every label of the bundle
    rejected_by : reason → cells, for every reason
    frames_read, frames_failed, frames_dropped : frames counted, not readable, and dropped by the camera
    frames_out : frames beyond a quality limit
    track_ids : int or None
        Number of different cells; None where cells were not tracked. The other numbers are then detections.
    """

    counts: Mapping[str, int]
    rejected_by: Mapping[str, int]
    frames_read: int
    frames_failed: int
    frames_dropped: int
    frames_out: int
    track_ids: int | None

    @property
    def rejected(self) -> int:
        """Rejected cells, whatever the reason."""
        return sum(self.rejected_by.values())

    @property
    def cells(self) -> int:
        """All cells found, the rejected ones included."""
        return sum(self.counts.values()) + self.rejected


def frame_record(result: CountedFrame | FailedFrame, *, keep_crops: bool = False) -> FrameRecord:
    """Return the record of a frame that was counted, or that could not be read."""
    if isinstance(result, FailedFrame):
        return FrameRecord(result.index, result.name, 0, failed=result.reason)
    rows = zip(result.cells, result.decisions, result.probabilities, result.crops, strict=True)
    frame, track_ids = result.frame, result.track_ids
    return FrameRecord(
        frame.index,
        frame.name,
        frame.time_ns,
        result.sha256,
        settings=frame.settings,
        quality=asdict(result.quality) if result.quality else {},
        breaches=result.breaches,
        dropped_before=frame.dropped_before,
        cells=tuple(
            CellRecord(
                cell,
                decision,
                tuple(map(float, row)),
                None if track_ids is None else int(track_ids[k]),
                _png(crop) if keep_crops else None,
            )
            for k, (cell, decision, row, crop) in enumerate(rows)
        ),
        tracker_state=result.tracker_state,
    )


def _png(crop: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", crop, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1].tobytes()
