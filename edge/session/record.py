"""The contents of a session: its header, one record per frame with the frame's cells, and how it ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import ANY_CHARACTER, Cell, FailedFrame, declare
from edge.classify import Decision
from edge.count import CountedFrame, Tally

PNG_LEVEL = 1
"""Compression of stored crops: level 6 makes them 2 % smaller and takes five times as long (measured)."""


_TEXT: dict[str, Any] = {"characters": ANY_CHARACTER, "max_length": 1_000_000, "blank": True}


@dataclass(frozen=True)
class Header:
    """What is known of a count before its first frame.

    Attributes
    ----------
    bundle : str
        Name and version; `bundle_sha256` is the hash of its whole file.
    counted : tuple of str
        The labels of the differential.
    parameters : mapping
        Every setting that the count depends on, as JSON can hold it.
    sources : tuple of str
        What the operator named.
    crop_pixel_um : float or None
        Side of a crop's pixel in the specimen; None if not recorded, as by release 0.1.
    """

    sample_id: str = declare("Name of the sample", **_TEXT)
    operator: str = declare("Name of the operator", **_TEXT)
    bundle: str = declare("Name and version of the bundle", **_TEXT)
    bundle_sha256: str = declare("Hash of its file", **_TEXT)
    labels: tuple[str, ...] = declare("Labels of the bundle", max_length=1000)
    counted: tuple[str, ...] = declare("Labels of the differential")
    calibration_sha256: str | None = declare("Hash of the calibration's file", **_TEXT)
    parameters: Mapping[str, Any] = declare("Settings")
    stop_rule: Mapping[str, Any] = declare("What ends the count")
    sources: tuple[str, ...] = declare("What the operator named", **_TEXT)
    software: str = declare("What counted", **_TEXT)
    started: datetime = declare("Start")
    crop_pixel_um: float | None = declare("Side of a crop's pixel", 0, low_open=True, default=None)


@dataclass(frozen=True)
class CellRecord:
    """One cell of a frame, with its track id where cells are tracked, and its crop where crops are kept."""

    cell: Cell
    decision: Decision
    probabilities: tuple[float, ...]
    track_id: int | None = None
    crop_png: bytes | None = None


@dataclass(frozen=True)
class FrameRecord:
    """One frame, counted or not.

    Attributes
    ----------
    index : int
        Position in reading order; grows from record to record.
    time_ns : int
        When the frame was taken; 0 if that is not known.
    failed : str or None
        Why the frame is not counted; its `sha256` is None then.
    settings, quality : mapping
        As JSON can hold them; None for what could not be measured.
    breaches : tuple of str
        The quality limits that the frame exceeds, in words.
    dropped_before : int
        Frames dropped between the frame before and this one.
    facts : mapping
        What else a resumed count needs, as JSON can hold it: ``kind`` and ``stood_ns`` of a `FailedFrame`;
        ``notes``, ``pixel``, ``clock_ns`` and ``size_px`` (width, height) of a `Frame`; ``lost``, ``field``
        (its fingerprint), ``shared``, ``repeats`` and ``unlisted_before`` of a `CountedFrame`. Empty ones are
        left out.
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
    facts: Mapping[str, Any] = field(default_factory=dict)
    cells: tuple[CellRecord, ...] = ()
    tracker_state: bytes | None = None


@dataclass(frozen=True)
class Finish:
    """How a session ended: why, the number of records, the hash before the seal, and the final count."""

    reason: str = declare("Why it ended", **_TEXT)
    ended: datetime = declare("When")
    frames: int = declare("Number of records", 0)
    last_hash: str = declare("Hash of the last record", pattern="[0-9a-f]{64}")
    result: Mapping[str, Any] | None = declare("The final count")


@dataclass(frozen=True)
class SessionTotals:
    """Sums over a session's records.

    Where cells are tracked, `track_ids` is the number of different cells and the tally counts detections.
    `frames_out` is the number of frames beyond a quality limit, `left_out` that of those not counted by kind,
    see `edge.base.FailedFrame`, the unlisted ones included.
    """

    tally: Tally
    frames_failed: int
    frames_dropped: int
    frames_out: int
    left_out: Mapping[str, int]
    track_ids: int | None


def frame_record(result: CountedFrame | FailedFrame, *, keep_crops: bool = False) -> FrameRecord:
    """Return the record of a frame."""
    if isinstance(result, FailedFrame):
        why = {"kind": result.kind} | ({"stood_ns": result.stood_ns} if result.stood_ns else {})
        return FrameRecord(result.index, result.name, 0, failed=result.reason, facts=why)
    rows = zip(result.cells, result.decisions, result.probabilities, strict=True)
    frame, track_ids = result.frame, result.track_ids
    facts = {
        "notes": list(frame.notes),
        "pixel": frame.pixel and asdict(frame.pixel),
        "clock_ns": frame.clock_ns,
        "size_px": list(frame.image.shape[::-1]),
        "lost": dict(result.lost),
        "field": result.fingerprint.facts() if result.fingerprint else {},
        "shared": result.shared,
        "repeats": result.repeats,
        "unlisted_before": dict(result.unlisted_before),
        "laid_out": result.laid_out and asdict(result.laid_out),
    }
    return FrameRecord(
        frame.index,
        frame.name,
        frame.time_ns,
        result.sha256,
        settings=frame.settings,
        quality=asdict(result.quality) if result.quality else {},
        breaches=result.breaches,
        dropped_before=frame.dropped_before,
        facts={name: value for name, value in facts.items() if value},
        cells=tuple(
            CellRecord(
                cell,
                decision,
                tuple(map(float, row)),
                None if track_ids is None else int(track_ids[k]),
                _png(result.crops[k]) if keep_crops else None,
            )
            for k, (cell, decision, row) in enumerate(rows)
        ),
        tracker_state=result.tracker_state,
    )


def _png(crop: NDArray[np.uint8]) -> bytes:
    return cv2.imencode(".png", crop, [cv2.IMWRITE_PNG_COMPRESSION, PNG_LEVEL])[1].tobytes()
