"""A count and its session: none, one that begins with the first frame, or one that is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edge import __version__
from edge.base import FailedFrame, Frame, SchemaError, StatedPixel, read
from edge.capture import CameraSettings
from edge.count import CountedFrame, CountResult, Totals
from edge.find import Fingerprint, Quality, crop_scale
from edge.report import result_summary
from edge.run.config import CountConfig
from edge.run.instrument import Instrument
from edge.run.remarks import opening_remarks
from edge.run.same_files import files_remark
from edge.run.sinks import Observer, Result, Sink
from edge.session import (
    FrameRecord,
    Header,
    Session,
    SessionError,
    create_session,
    frame_record,
    open_session,
)
from edge.track import Fields, LaidOut

HEADER_FIELDS = ("sources", "sample_id", "operator", "stop_rule")
"""Fields of the configuration that a session's header states itself; the others are its parameters."""


@dataclass
class Progress:
    """What was counted before; `seconds` since the count began include interruptions: a sample does not wait.

    Attributes
    ----------
    frames : dict
        Name of each frame, in order → its SHA-256; None if it could not be read.
    settings : CameraSettings or None
        Of the camera, at the last frame.
    stood_ns : int
        Until when the flow stood still after the last frame that was counted; 0 if it did not.
    fields : Fields
        What they showed.
    """

    frames: dict[str, str | None] = field(default_factory=dict)
    last_index: int = -1
    settings: CameraSettings | None = None
    tracker_state: bytes = b""
    stood_ns: int = 0
    fields: Fields = field(default_factory=Fields)
    seconds: float = 0.0


class SessionSink(Sink):
    """The session of a count; this one keeps nothing.

    Attributes
    ----------
    id : str
        Empty without a session, and before it has begun.
    remark : str
        What readers of the results have to know of the session.
    """

    id = remark = ""

    def replay(self, totals: Totals) -> Progress:
        """Add the frames that were counted before to the totals."""
        return Progress()

    def seal(self, reason: str, result: CountResult) -> None:
        """End the session with its results."""


class NewSession(SessionSink):
    """A session that begins with the first frame: nothing could resume one without a frame."""

    def __init__(self, header: Header, *, keep_crops: bool) -> None:
        self._header, self._keep_crops = header, keep_crops
        self._session: Session | None = None

    def open(self, observer: Observer) -> None:
        """Remember who hears of the session's id."""
        self._observer = observer

    def prepare(self, result: Result) -> FrameRecord:
        """Make the frame's record, with its encoded crops."""
        return frame_record(result, keep_crops=self._keep_crops)

    def add(self, result: Result, prepared: FrameRecord) -> None:
        """Put the record on the disk."""
        if self._session is None:
            self._session = create_session(self._header)
            self.id = self._session.id
            self._observer.on_session(self.id)
        self._session.add(prepared)

    def finish(self, result: CountResult) -> None:
        """Seal the session."""
        self.seal(result.ended or ("stopped" if result.stopped else "all frames"), result)

    def seal(self, reason: str, result: CountResult) -> None:
        """See `SessionSink`."""
        if self._session is not None:
            self._session.finish(reason, result_summary(result))

    def close(self) -> None:
        """Close the file; a session that is not sealed can be resumed."""
        if self._session is not None:
            self._session.close()


class ResumedSession(NewSession):
    """An unfinished session that takes the remaining frames, as if it had never been interrupted."""

    def __init__(self, session: Session, config: CountConfig) -> None:
        super().__init__(session.header, keep_crops=config.session.keep_crops)
        self._session = self._resumed = session
        self.id = session.id
        self.remark = files_remark(config)

    def open(self, observer: Observer) -> None:
        """Name the session."""
        observer.on_session(self.id)

    def replay(self, totals: Totals) -> Progress:
        """See `SessionSink`."""
        session = self._resumed
        seconds = (datetime.now(UTC) - session.header.started).total_seconds()
        progress = Progress(tracker_state=session.tracker_state or b"", seconds=max(0.0, seconds))
        for record in session.frames():
            progress.frames[record.name], progress.last_index = record.sha256, record.index
            progress.settings = _locked(record.settings) or progress.settings
            counted = _counted(record, len(session.header.labels))
            if isinstance(counted, CountedFrame) and counted.fingerprint:
                progress.fields.add(record.name, counted.fingerprint, record.quality.get("focus"))
            stood_ns = counted.stood_ns or progress.stood_ns if isinstance(counted, FailedFrame) else 0
            progress.stood_ns = stood_ns
            totals.add(counted)
        return progress


@dataclass(frozen=True)
class Count:
    """What to count, with what, and the session that keeps it."""

    config: CountConfig
    instrument: Instrument
    session: SessionSink

    @cached_property
    def remarks(self) -> tuple[str, ...]:
        """What readers of the results have to know, before the first frame."""
        remarks = (*opening_remarks(self.config, self.instrument), self.session.remark)
        return tuple(filter(None, remarks))


def begin(config: CountConfig, instrument: Instrument) -> Count:
    """Return a count that begins, with a session if one is to be kept."""
    if not config.session.keep:
        return Count(config, instrument, SessionSink())
    header = header_of(config, instrument)
    return Count(config, instrument, NewSession(header, keep_crops=config.session.keep_crops))


def resume(path: Path) -> Count:
    """Open an unfinished session, and return the count that it began.

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
        resumed = ResumedSession(session, config)
        stack.pop_all()
        return Count(config, instrument, resumed)


def header_of(config: CountConfig, instrument: Instrument) -> Header:
    """Return the header of a session that is about to begin."""
    manifest, pixel_um = instrument.bundle.manifest, config.analysis.pixel_um
    return Header(
        sample_id=config.sample_id,
        operator=config.operator,
        bundle=f"{manifest.name} {manifest.version}",
        bundle_sha256=instrument.bundle.sha256,
        labels=manifest.labels,
        counted=manifest.counted,
        calibration_sha256=instrument.calibration_sha256,
        parameters={name: value for name, value in asdict(config).items() if name not in HEADER_FIELDS},
        stop_rule=config.stop_rule.stated(),
        sources=config.sources,
        software=f"leuko-edge {__version__}",
        started=datetime.now(UTC),
        crop_pixel_um=pixel_um * crop_scale(pixel_um, manifest.pixel_um),
    )


def config_of(session: str, header: Header) -> CountConfig:
    """Return the configuration that a session was begun with.

    Raises
    ------
    SessionError
        If the header does not hold it.
    """
    stated = {name: getattr(header, name) for name in HEADER_FIELDS}
    try:
        return read(CountConfig, {**header.parameters, **stated})
    except SchemaError as error:
        raise SessionError(
            f"{session}: {header.software} began it, and this leuko cannot resume it ({error});"
            " what it counted stays in it"
        ) from error


def _counted(record: FrameRecord, labels: int) -> CountedFrame | FailedFrame:
    """Return what a record was made of, without the pixels."""
    if record.failed is not None:
        kind, stood_ns = record.facts.get("kind", "unreadable"), record.facts.get("stood_ns", 0)
        return FailedFrame(record.name, record.index, record.failed, kind, stood_ns=stood_ns)
    width, height = record.facts.get("size_px", (0, 0))
    no_pixels = np.broadcast_to(np.uint8(0), (height, width))  # of the frame's size, in one byte
    track_ids = [cell.track_id for cell in record.cells]
    probabilities = np.array([cell.probabilities for cell in record.cells], np.float32)
    return CountedFrame(
        Frame(
            no_pixels,
            record.name,
            record.index,
            record.time_ns,
            record.settings,
            record.dropped_before,
            notes=tuple(record.facts.get("notes", ())),
            pixel=StatedPixel(**record.facts["pixel"]) if "pixel" in record.facts else None,
        ),
        record.sha256 or "",
        [one.cell for one in record.cells],
        no_pixels[None],
        probabilities.reshape(-1, labels),
        [one.decision for one in record.cells],
        Quality(**record.quality) if record.quality else None,
        record.breaches,
        record.facts.get("lost", {}),
        Fingerprint.from_facts(record.facts["field"]) if "field" in record.facts else None,
        shared=record.facts.get("shared", 0),
        unlisted_before=record.facts.get("unlisted_before", {}),
        laid_out=LaidOut(**record.facts["laid_out"]) if "laid_out" in record.facts else None,
        track_ids=None if None in track_ids else np.array(track_ids, np.int64),
    )


def _locked(settings: Mapping[str, Any]) -> CameraSettings | None:
    """Return what to lock so that frames are like one taken with these settings; None if they are empty."""
    red, blue = settings.get("colour_gain_red"), settings.get("colour_gain_blue")
    colour_gains = None if red is None or blue is None else (red, blue)
    locked = CameraSettings(settings.get("exposure_us"), settings.get("gain"), colour_gains)
    return None if locked == CameraSettings() else locked
