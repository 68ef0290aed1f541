"""A session gone on with: its job, its instrument, what it counted so far, and the frames that are left."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from edge.base import FailedFrame, Frame
from edge.capture import CameraSettings, Encoded
from edge.count import CountedFrame, Totals
from edge.find import Quality
from edge.run.config import CountConfig, Instrument, job_of
from edge.run.pipeline import sha256_of
from edge.session import FrameRecord, Header, Session, SessionError, open_session

_Read = Encoded | Frame | FailedFrame


def resumed(path: Path) -> tuple[CountConfig, Instrument, Session]:
    """Take up an unfinished session: what was to be counted, with what, and where to go on.

    The process moves into the folder that the session's relative names start from; not if this fails.

    Raises
    ------
    SessionError
        If it cannot be gone on with, or its bundle or its calibration is another one now.
    BundleError, ProfileError
        If one of them cannot be loaded.
    OSError
        If the folder is gone.
    """
    with ExitStack() as stack:
        session = stack.enter_context(open_session(path))
        try:
            job = job_of(session.header)
        except (TypeError, KeyError) as error:
            raise SessionError(
                f"{session.id}: begun with {session.header.software}: not to be gone on with; "
                "what it counted stays in it"
            ) from error
        stack.callback(os.chdir, Path.cwd())
        os.chdir(session.header.parameters["folder"])
        instrument = Instrument.load(job.bundle, job.calibration)
        now = job.header(instrument, "", "")
        for what, before, after in (
            (f"bundle {job.bundle}", session.header.bundle_sha256, now.bundle_sha256),
            (f"calibration {job.calibration}", session.header.calibration_sha256, now.calibration_sha256),
        ):
            if before != after:
                raise SessionError(f"{session.id}: the {what} is not the one that it was begun with")
        stack.pop_all()
        return job, instrument, session


@dataclass
class Known:
    """What a session says of the frames that are counted already.

    Attributes
    ----------
    names : of all of them, in order, each with the frame's SHA-256 if it could be read
    last_index : -1 without any
    settings : of the camera, when the last one was taken
    """

    names: dict[str, str | None] = field(default_factory=dict)
    last_index: int = -1
    settings: CameraSettings | None = None


def add_again(session: Session, totals: Totals) -> Known:
    """Add up what a session counted so far."""
    labels = len(session.header.labels)
    known = Known()
    for record in session.frames():
        known.names[record.name], known.last_index = record.sha256, record.index
        known.settings = _locked(record.settings) or known.settings
        totals.add(recalled(record, labels))
    return known


def recalled(record: FrameRecord, labels: int) -> CountedFrame | FailedFrame:
    """Make of a record what it was made of, without the pixels."""
    if record.failed is not None:
        return FailedFrame(record.name, record.index, record.failed)
    gone = np.zeros((0, 0), np.uint8)
    track_ids = [cell.track_id for cell in record.cells]
    frame = Frame(gone, record.name, record.index, record.time_ns, record.settings, record.dropped_before)
    probabilities = np.array([cell.probabilities for cell in record.cells], np.float32)
    return CountedFrame(
        frame,
        record.sha256 or "",
        [one.cell for one in record.cells],
        gone[None],
        probabilities.reshape(-1, labels),
        [one.decision for one in record.cells],
        Quality(**record.quality) if record.quality else None,
        record.breaches,
        None if None in track_ids else np.array(track_ids, np.int64),
    )


def other_files(header: Header, job: CountConfig) -> str:
    """Say so if a session's sources name more or fewer files than when it began; empty if they do not."""
    before, now = header.parameters["files"], job.count_files()
    if before == now:
        return ""
    return (
        f"when the session began there were {before} files, and now there are {now}: "
        "not the results of a count without an interruption"
    )


def left(frames: Iterator[_Read], names: Mapping[str, str | None]) -> Iterator[_Read]:
    """Pass over the frames that are known, provided that they still are the same."""
    for name, sha256 in names.items():
        frame = next(frames, None)
        if frame is None or frame.name != name:
            now = "nothing" if frame is None else frame.name
            raise SessionError(f"{name} was counted here, and now there is {now}")
        if sha256 is not None and (isinstance(frame, FailedFrame) or sha256_of(frame) != sha256):
            raise SessionError(f"{name} has changed since it was counted")
    yield from frames


def _locked(settings: Mapping[str, Any]) -> CameraSettings | None:
    """What to lock for a frame to be as one that was taken with these settings; None if they are empty."""
    red, blue = settings.get("colour_gain_red"), settings.get("colour_gain_blue")
    colour_gains = None if red is None or blue is None else (red, blue)
    locked = CameraSettings(settings.get("exposure_us"), settings.get("gain"), colour_gains)
    return None if locked == CameraSettings() else locked
