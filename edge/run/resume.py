"""A session resumed: its configuration and instrument, what it counted, and the frames that remain."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from edge.base import FailedFrame, Frame
from edge.capture import CameraSettings, Encoded, list_files
from edge.count import CountedFrame, Totals
from edge.find import Quality
from edge.run.config import CountConfig
from edge.run.header import config_of
from edge.run.instrument import Instrument
from edge.run.pipeline import sha256_of
from edge.run.sinks import NewSession, Observer, Progress
from edge.session import FrameRecord, Session, SessionError, open_session


class ResumedSession(NewSession):
    """An unfinished session that takes the remaining frames, as if it had never been interrupted."""

    def __init__(self, session: Session, config: CountConfig) -> None:
        super().__init__(session.header, keep_crops=config.session.keep_crops)
        self._session = self._resumed = session
        before, now = config.files, count_files(config)
        if before != now:
            self.remark = (
                f"when the session began there were {before} files, and now there are {now}: "
                "not the results of a count without an interruption"
            )

    def open(self, observer: Observer) -> None:
        """See `Sink`."""
        observer.on_session(self.id)

    def replay(self, totals: Totals) -> Progress:
        """Add the frames that were counted before to the totals."""
        session = self._resumed
        seconds = (datetime.now(UTC) - session.header.started).total_seconds()
        progress = Progress(tracker_state=session.tracker_state or b"", seconds=max(0.0, seconds))
        for record in session.frames():
            progress.frames[record.name], progress.last_index = record.sha256, record.index
            progress.settings = _locked(record.settings) or progress.settings
            totals.add(_counted(record, len(session.header.labels)))
        return progress

    def seal(self, reason: str, result: dict[str, Any]) -> None:
        """End the session with what it counted."""
        self._resumed.finish(reason, result)


@dataclass(frozen=True)
class Resumed:
    """A session ready to take the remaining frames; close `session` after use."""

    config: CountConfig
    instrument: Instrument
    session: ResumedSession


def resume(path: Path) -> Resumed:
    """Open an unfinished session with its configuration and its instrument.

    Raises
    ------
    SessionError
        If it cannot be resumed, or its bundle or calibration has changed since.
    BundleError, CalibrationFileError
        If one of them cannot be loaded.
    """
    with ExitStack() as stack:
        session = stack.enter_context(open_session(path))
        header = session.header
        config = config_of(session.id, header)
        instrument = Instrument.load(config.bundle, config.calibration, config.root)
        for name, before, now in (
            (f"bundle {config.bundle}", header.bundle_sha256, instrument.bundle.sha256),
            (f"calibration {config.calibration}", header.calibration_sha256, instrument.calibration_sha256),
        ):
            if before != now:
                raise SessionError(f"{session.id}: {name} is not the one that the session began with")
        resumed = Resumed(config, instrument, ResumedSession(session, config))
        stack.pop_all()
        return resumed


def count_files(config: CountConfig) -> int | None:
    """Count the files that the sources name now; None for a camera, which has none."""
    return None if config.camera else len(list_files(config.sources, config.root))


def remaining(
    frames: Iterator[Encoded | Frame | FailedFrame], counted: Mapping[str, str | None]
) -> Iterator[Encoded | Frame | FailedFrame]:
    """Yield the frames after those that were counted, provided that these are still the same.

    Raises
    ------
    SessionError
        If one of them is missing or has changed.
    """
    for name, sha256 in counted.items():
        frame = next(frames, None)
        if frame is None or frame.name != name:
            now = "nothing" if frame is None else frame.name
            raise SessionError(f"{name} was counted here, and now there is {now}")
        if sha256 is not None and (isinstance(frame, FailedFrame) or sha256_of(frame) != sha256):
            raise SessionError(f"{name} has changed since it was counted")
    yield from frames


def _counted(record: FrameRecord, labels: int) -> CountedFrame | FailedFrame:
    """Return what a record was made of, without the pixels."""
    if record.failed is not None:
        return FailedFrame(record.name, record.index, record.failed)
    no_pixels = np.zeros((0, 0), np.uint8)
    track_ids = [cell.track_id for cell in record.cells]
    probabilities = np.array([cell.probabilities for cell in record.cells], np.float32)
    return CountedFrame(
        Frame(no_pixels, record.name, record.index, record.time_ns, record.settings, record.dropped_before),
        record.sha256 or "",
        [one.cell for one in record.cells],
        no_pixels[None],
        probabilities.reshape(-1, labels),
        [one.decision for one in record.cells],
        Quality(**record.quality) if record.quality else None,
        record.breaches,
        None if None in track_ids else np.array(track_ids, np.int64),
    )


def _locked(settings: Mapping[str, Any]) -> CameraSettings | None:
    """Return what to lock so that frames are like one taken with these settings; None if they are empty."""
    red, blue = settings.get("colour_gain_red"), settings.get("colour_gain_blue")
    colour_gains = None if red is None or blue is None else (red, blue)
    locked = CameraSettings(settings.get("exposure_us"), settings.get("gain"), colour_gains)
    return None if locked == CameraSettings() else locked
