"""What takes each frame's result while a count runs: a session, a report, and the observer's protocol."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from edge.base import FailedFrame
from edge.capture import CameraSettings
from edge.count import CountedFrame, CountResult, Totals
from edge.model import Manifest
from edge.report import ReportWriter, result_summary
from edge.session import FrameRecord, Header, Session, create_session, frame_record

Result = CountedFrame | FailedFrame


class Observer(Protocol):
    """Follows a count."""

    def on_warning(self, words: str) -> None:
        """Take, before the first frame, a remark that readers of the results have to know."""

    def on_session(self, session: str) -> None:
        """Take the id of the session that keeps the frames, once it has begun or is resumed."""

    def on_start(self) -> None:
        """Take note that everything is ready for the first frame."""

    def on_frame(self, result: Result, totals: Totals) -> None:
        """Take a frame that every sink has taken, and the totals with it."""


class Sink:
    """Takes the results of a count in the order of the frames; by default it does nothing with them."""

    def open(self, observer: Observer) -> None:
        """Prepare for the first frame."""

    def prepare(self, result: Result) -> Any:
        """Return what `add` needs of a frame: the slow part, for any thread and in any order."""

    def add(self, result: Result, prepared: Any) -> None:
        """Take a frame."""

    def finish(self, result: CountResult) -> None:
        """Take the results after the last frame."""

    def close(self) -> None:
        """Release what `open` took, however the count ended."""


@dataclass
class Progress:
    """What was counted before.

    Attributes
    ----------
    frames : dict
        Name of each frame, in order → its SHA-256; None if it could not be read.
    settings : CameraSettings or None
        Of the camera, at the last frame.
    seconds : float
        Time since the count began, interruptions included: a sample does not wait.
    """

    frames: dict[str, str | None] = field(default_factory=dict)
    last_index: int = -1
    settings: CameraSettings | None = None
    tracker_state: bytes = b""
    seconds: float = 0.0


class NoSession(Sink):
    """A count that keeps no session; also what the kinds of session have in common.

    Attributes
    ----------
    remark : str
        What readers of the results have to know of the session.
    keeps_state : bool
        The tracker's state is kept with each frame.
    """

    remark = ""
    keeps_state = False

    @property
    def id(self) -> str:
        """Of the session; empty without one, and before it has begun."""
        return ""

    def replay(self, totals: Totals) -> Progress:
        """Add the frames that were counted before to the totals."""
        return Progress()


class NewSession(NoSession):
    """A session that begins with the first frame: nothing could resume one without a frame."""

    keeps_state = True

    def __init__(self, header: Header, *, keep_crops: bool) -> None:
        self._header, self._keep_crops = header, keep_crops
        self._session: Session | None = None

    @property
    def id(self) -> str:
        """See `NoSession`."""
        return "" if self._session is None else self._session.id

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
            self._observer.on_session(self._session.id)
        self._session.add(prepared)

    def finish(self, result: CountResult) -> None:
        """Seal the session, with the results."""
        if self._session is not None:
            reason = result.ended or ("stopped" if result.stopped else "all frames")
            self._session.finish(reason, result_summary(result))

    def close(self) -> None:
        """Close the file; a session that is not sealed can be resumed."""
        if self._session is not None:
            self._session.close()


class ReportSink(Sink):
    """A report in a folder. A disk that refuses it ends the report but not the count.

    With `replace`, an earlier report in the folder gives way.
    """

    def __init__(self, folder: Path, manifest: Manifest, *, replace: bool, each_once: bool) -> None:
        self._open = partial(ReportWriter, folder, manifest, replace=replace, each_once=each_once)
        self._refusal: list[OSError] = []
        self._pages: list[Path] = []

    def open(self, observer: Observer) -> None:
        """Create the folder, or raise why it cannot be written."""
        self._writer = self._open()

    def prepare(self, result: Result) -> bytes:
        """Draw the annotated frame."""
        return b"" if isinstance(result, FailedFrame) else self._writer.draw(result)

    def add(self, result: Result, prepared: bytes) -> None:
        """Write the frame's cells and picture."""
        if isinstance(result, CountedFrame):
            self._try(lambda: self._writer.add(result, prepared))

    def finish(self, result: CountResult) -> None:
        """Write the page and the summary, if any frame was read."""
        if result.tally.frames_read:
            self._try(lambda: self._pages.append(self._writer.finish(result)))

    def close(self) -> None:
        """Close the table; a report without a frame leaves nothing."""
        self._writer.__exit__(None, None, None)

    def pages(self) -> list[Path]:
        """Return the page that was written; none without a frame.

        Raises
        ------
        OSError
            Why the report could not be written.
        """
        for refusal in self._refusal:
            raise refusal
        return self._pages

    def _try(self, write: Callable[[], None]) -> None:
        try:
            if not self._refusal:
                write()
        except OSError as error:
            self._refusal.append(error)
