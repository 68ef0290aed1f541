"""What a session is made of: its header, a record a frame with its cells, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import cv2

from edge.base import Cell, FailedFrame
from edge.classify import Decision
from edge.count import CountedFrame

PNG_LEVEL = 1
"""Compression of stored crops: level 6 makes them 2 % smaller and takes five times as long (measured)."""


@dataclass(frozen=True)
class Header:
    """What a session says of itself before its first frame.

    Attributes
    ----------
    sample_id, operator : as the operator gave them; may be empty
    bundle, bundle_sha256 : name and version of the bundle that counts, and the hash of its whole file
    labels : of the bundle, in output order
    counted : the labels that make the differential
    calibration_sha256 : of the calibration calibration, or None without one
    parameters : every setting that the count depends on, as JSON can hold it
    plan : when to stop, as JSON can hold it
    sources : what the operator named
    software : name and version
    started : when, with its time zone
    """

    sample_id: str
    operator: str
    bundle: str
    bundle_sha256: str
    labels: tuple[str, ...]
    counted: tuple[str, ...]
    calibration_sha256: str | None
    parameters: Mapping[str, Any]
    plan: Mapping[str, Any]
    sources: tuple[str, ...]
    software: str
    started: datetime


@dataclass(frozen=True)
class CellRecord:
    """One cell of a frame.

    Attributes
    ----------
    cell : where it is
    decision : its label, or why it is rejected
    probabilities : of each label, in the bundle's order
    track_id : the same for all detections of one cell; None where cells are not tracked
    crop_png : grey, what the network saw; None if it was not kept
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
    index : position in reading order; grows from record to record
    name : as in `edge.base.frame.Frame`
    time_ns : when it was taken; 0 if that is not known
    sha256 : of the frame, as in `edge.count.counted_frame.CountedFrame`; None if it could not be read
    failed : why it could not be read; None if it could
    settings : sensor settings, as JSON can hold them
    quality : measured quality, likewise; None for what could not be measured
    breaches : quality limits that were out, in words
    dropped_before : frames dropped between the one before and this one
    cells : found in it
    tracker_state : what following cells needs to go on after this frame. None: as before this frame.
        A session keeps the last one only, so records read back have None
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
    ended : when, with its time zone
    frames : records there were
    last_hash : of the last record, or of the header without any, as hexadecimal digits
    result : the final count, as JSON can hold it; None if none was given
    """

    reason: str
    ended: datetime
    frames: int
    last_hash: str
    result: Mapping[str, Any] | None


@dataclass(frozen=True)
class SessionTotals:
    """What a session's records add up to.

    Attributes
    ----------
    counts : label → cells, for every label of the bundle
    rejected_by : reason → cells, for every reason
    frames_read, frames_failed, frames_dropped : frames counted, not readable, and dropped unseen
    frames_out : frames of which a quality limit was out
    track_ids : different cells among them; None where cells were not followed. `counts` and
        `rejected_by` are detections then
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
        """All cells found, the rejected ones too."""
        return sum(self.counts.values()) + self.rejected


def frame_record(
    result: CountedFrame | FailedFrame,
    *,
    settings: Mapping[str, Any] | None = None,
    quality: Mapping[str, Any] | None = None,
    breaches: Sequence[str] = (),
    dropped_before: int = 0,
    track_ids: Sequence[int] | None = None,
    keep_crops: bool = False,
    tracker_state: bytes | None = None,
) -> FrameRecord:
    """Make the record of a frame that was counted, or that could not be read.

    Parameters
    ----------
    result : from `edge.run.pipeline.count_frames`
    settings, quality, breaches, dropped_before, tracker_state : as in `FrameRecord`
    track_ids : of its cells, where cells are followed
    keep_crops : store what the network saw
    """
    beside: dict[str, Any] = {
        "settings": settings or {},
        "quality": quality or {},
        "breaches": tuple(breaches),
        "dropped_before": dropped_before,
        "tracker_state": tracker_state,
    }
    if isinstance(result, FailedFrame):
        return FrameRecord(result.index, result.name, 0, failed=result.reason, **beside)
    cells = tuple(
        CellRecord(
            cell,
            decision,
            tuple(map(float, row)),
            None if track_ids is None else int(track_ids[k]),
            _png(result.crops[k]) if keep_crops else None,
        )
        for k, (cell, decision, row) in enumerate(
            zip(result.cells, result.decisions, result.probabilities, strict=True)
        )
    )
    frame = result.frame
    return FrameRecord(frame.index, frame.name, frame.time_ns, result.sha256, cells=cells, **beside)


def _png(crop: Any) -> bytes:

    return cv2.imencode(".png", crop, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1].tobytes()
