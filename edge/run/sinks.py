"""What takes each frame's result while a count runs: sinks, such as a report, and an observer."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from edge.base import FailedFrame
from edge.count import CountedFrame, CountResult, Totals
from edge.model import Manifest
from edge.report import ReportWriter

Result = CountedFrame | FailedFrame


class Observer(Protocol):
    """Follows a count."""

    def on_warning(self, words: str) -> None:
        """Take, before the first frame, a remark that readers of the results have to know."""

    def on_session(self, session: str) -> None:
        """Take the id of the session that keeps the frames, once it has begun or is resumed."""

    def on_start(self, seconds: float) -> None:
        """Take note that everything is ready for the first frame, `seconds` after the count began."""

    def on_wait(self, words: str) -> None:
        """Take note that the camera is not there yet, and why; it comes again every few seconds."""

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


class ReportSink(Sink):
    """A report in a folder. A disk that refuses it ends the report but not the count.

    With `replace`, an earlier report in the folder gives way.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        *,
        replace: bool,
        each_once: bool,
        pixel_um: float | None = None,
    ) -> None:
        self._open = partial(
            ReportWriter, folder, manifest, replace=replace, each_once=each_once, pixel_um=pixel_um
        )
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
