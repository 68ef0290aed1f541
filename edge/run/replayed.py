"""What a record of a session was made of, for a count that is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from edge.base import ANY_CHARACTER, FailedFrame, FailureKind, Frame, StatedPixel, declare, read
from edge.capture import CameraSettings
from edge.count import CountedFrame
from edge.find import Fingerprint, Quality, largest_first
from edge.session import FrameRecord
from edge.track import LaidOut


@dataclass(frozen=True, kw_only=True)
class Facts:
    """The facts of a record, see `edge.session.FrameRecord`."""

    kind: FailureKind = "unreadable"
    notes: tuple[str, ...] = declare("What the reader chose", default=(), characters=ANY_CHARACTER)
    pixel: StatedPixel | None = None
    clock_ns: int = declare("Exposure by a clock that is never set", 0, default=0)
    size_px: tuple[int, int] = declare("Width and height", 0, 1 << 24, default=(0, 0))
    lost: Mapping[str, int] = declare("Bodies that are no cells", 0, default_factory=dict)
    field: Mapping[str, Any] = declare("Fingerprint", default_factory=dict)
    shared: int = declare("Cells that the frame before shows too", 0, default=0)
    repeats: str = declare("Frame whose field it shows again", default="", characters=ANY_CHARACTER)
    unlisted_before: Mapping[str, int] = declare("Frames without a record", 0, default_factory=dict)
    laid_out: LaidOut | None = None
    stood_ns: int = declare("Until when a flow stood still", 0, default=0)


def counted_before(record: FrameRecord, labels: int) -> CountedFrame | FailedFrame:
    """Return what a record was made of, without the pixels; a ValueError if no count made it."""
    facts = read(Facts, record.facts)
    if record.failed is not None:
        return FailedFrame(record.name, record.index, record.failed, facts.kind, stood_ns=facts.stood_ns)
    no_pixels = np.broadcast_to(np.uint8(0), facts.size_px[::-1])  # of the frame's size, in one byte
    track_ids = [cell.track_id for cell in record.cells]
    probabilities = np.array([cell.probabilities for cell in record.cells], np.float32)
    known_by = Fingerprint.from_facts(facts.field) if facts.field else None
    if known_by and len(known_by.places) not in (0, len(largest_first([one.cell for one in record.cells]))):
        raise ValueError("its fingerprint is of other cells")
    return CountedFrame(
        Frame(
            no_pixels,
            record.name,
            record.index,
            record.time_ns,
            record.settings,
            record.dropped_before,
            notes=facts.notes,
            pixel=facts.pixel,
            clock_ns=facts.clock_ns,
        ),
        record.sha256 or "",
        [one.cell for one in record.cells],
        no_pixels[None],
        probabilities.reshape(-1, labels),
        [one.decision for one in record.cells],
        read(Quality, record.quality) if record.quality else None,
        record.breaches,
        facts.lost,
        known_by,
        shared=facts.shared,
        repeats=facts.repeats,
        unlisted_before=facts.unlisted_before,
        laid_out=facts.laid_out,
        track_ids=None if None in track_ids else np.array(track_ids, np.int64),
    )


def locked(settings: Mapping[str, Any]) -> CameraSettings | None:
    """Return what to lock so that frames are like one taken with these settings; None if they are empty."""
    red, blue = settings.get("colour_gain_red"), settings.get("colour_gain_blue")
    values = {
        "exposure_us": settings.get("exposure_us"),
        "gain": settings.get("gain"),
        "colour_gains": None if red is None or blue is None else (red, blue),
        "tuning": settings.get("tuning"),
    }
    found = read(CameraSettings, values)
    return None if found == CameraSettings() else found
