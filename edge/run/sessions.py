"""A count and its session: none, one that begins with the first frame, or one that is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path

from edge import __version__
from edge.base import FailedFrame, SchemaError, read
from edge.capture import CameraSettings
from edge.count import CountedFrame, CountResult, Totals
from edge.find import crop_scale
from edge.report import result_summary
from edge.run.config import Analysis, CountConfig
from edge.run.instrument import Instrument
from edge.run.remarks import opening_remarks
from edge.run.replayed import counted_before, locked
from edge.run.same_files import files_remark
from edge.run.sinks import Observer, Result, Sink
from edge.session import (
    DamagedSessionError,
    FrameRecord,
    Header,
    Session,
    SessionError,
    create_session,
    frame_record,
    open_session,
)
from edge.track import Fields, Tracker

HEADER_FIELDS = ("sources", "sample_id", "operator", "stop_rule")
"""Fields of the configuration that a session's header states itself; the others are its parameters."""

MOST_INDEX = 2**52
"""Highest number of a frame after which a session is resumed: no count gets from there to 2**53, the last one
that is read."""


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

    def waits(self) -> None:
        """Note that the count waits for its first new frame."""

    def proceeds(self) -> None:
        """Note that it came."""


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

    def waits(self) -> None:
        """See `SessionSink`."""
        if self._resumed.attempt:
            self._resumed.attempt.pause()

    def proceeds(self) -> None:
        """See `SessionSink`."""
        if self._resumed.attempt:
            self._resumed.attempt.proceed()

    def replay(self, totals: Totals) -> Progress:
        """See `SessionSink`."""
        session = self._resumed
        seconds = (datetime.now(UTC) - session.header.started).total_seconds()
        progress = Progress(tracker_state=session.tracker_state or b"", seconds=max(0.0, seconds))
        for record in session.frames():
            with damage_named(session.path, f"frame {record.index}"):
                if record.index > MOST_INDEX:
                    raise ValueError("its number is out of range")
                progress.frames[record.name], progress.last_index = record.sha256, record.index
                progress.settings = locked(record.settings) or progress.settings
                counted = counted_before(record, len(session.header.labels))
                if isinstance(counted, CountedFrame) and counted.fingerprint:
                    progress.fields.add(record.name, counted.fingerprint, counted.quality)
                stood_ns = counted.stood_ns or progress.stood_ns if isinstance(counted, FailedFrame) else 0
                progress.stood_ns = stood_ns
                totals.add(counted)
        return progress


@contextmanager
def damage_named(session: Path | str, place: str) -> Iterator[None]:
    """Name the place that holds what no count records; its hash may fit all the same."""
    try:
        yield
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedSessionError(f"{session}: damaged: {place} ({' '.join(str(error).split())})") from error


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


def resume(path: Path, *, unattended: bool = False) -> Count:
    """Open an unfinished session, and return the count that it began.

    Parameters
    ----------
    unattended : bool
        As for `edge.session.open_session`.

    Raises
    ------
    DamagedSessionError
        If its file does not hold what leuko wrote: its chain of hashes is verified first.
    SessionError
        If it cannot be resumed, or its bundle or calibration has changed since.
    BundleError, CalibrationFileError
        If one of them cannot be loaded.
    """
    with ExitStack() as stack:
        session = stack.enter_context(open_session(path, unattended=unattended))
        header = session.header
        config = config_of(session.id, header)
        instrument = Instrument.load(config.bundle, config.calibration, config.root)
        for name, before, now in (
            (f"bundle {config.bundle}", header.bundle_sha256, instrument.bundle.sha256),
            (f"calibration {config.calibration}", header.calibration_sha256, instrument.calibration_sha256),
        ):
            if before != now:
                raise SessionError(f"{session.id}: {name} is not the one that the session began with")
        try:
            tracker_of(config.analysis, session.tracker_state or b"")
        except ValueError as error:
            raise SessionError(f"{session.id}: {error}") from error
        resumed = ResumedSession(session, config)
        stack.pop_all()
        return Count(config, instrument, resumed)


def tracker_of(analysis: Analysis, state: bytes) -> Tracker | None:
    """Return the tracker of a count in that state, if it has one; raise a ValueError for no such state."""
    if analysis.each_once is None:
        return None
    tracker = Tracker(analysis.each_once, pixel_um=analysis.pixel_um)
    if state:
        tracker.restore(state)
    return tracker


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
        config = read(CountConfig, {**header.parameters, **stated})
        if config.camera is not None and config.sources != (config.camera.name,):
            raise SessionError(f"{session}: its source is not its camera")
        return config
    except SchemaError as error:
        raise SessionError(
            f"{session}: {header.software} began it, and this leuko cannot resume it ({error});"
            " what it counted stays in it"
        ) from error
