"""What an operator, the system and a machine get to see of a count while it goes on, and at its end."""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import click

from edge.service import Log, Notifier

if TYPE_CHECKING:
    from edge.count import CountedFrame, Totals
    from edge.frames import FailedFrame
    from edge.report.files import Run

INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended
SOME_FAILED = 3


class Screen:
    """Standard error of a count: words and a progress bar, or lines of JSON; and the watchdog's pings.

    A context manager, entered once ``sys.stderr`` is what it will be.

    Parameters
    ----------
    as_json : lines of JSON instead of words
    """

    def __init__(self, as_json: bool) -> None:
        self._as_json = as_json
        self._notifier = Notifier()
        self._stack = ExitStack()

    def __enter__(self) -> Screen:
        from rich.console import Console
        from rich.progress import Progress

        self._log = Log(sys.stderr)
        self._words = Console(stderr=True, highlight=False, markup=False)
        hidden = self._as_json or not self._words.is_terminal
        self._progress = self._stack.enter_context(
            Progress(console=self._words, transient=True, disable=hidden)
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notifier.stopping()
        self._stack.close()

    def say(self, event: str, words: str, level: str = "info", **facts: Any) -> None:
        """Tell something beside the frames; the facts are for machines."""
        if self._as_json:
            self._log.write(event, level, message=words, **facts)
        else:
            self._words.print(words, soft_wrap=True)

    def expect(self, frames: int | None) -> None:
        """Say how many frames will come at the least, if that is known."""
        self._expected = frames
        self._bar = self._progress.add_task("counting", total=frames)

    def begun(self) -> None:
        """Everything is ready for the first frame."""
        self._notifier.ready()
        self._notifier.alive()

    def counted(self, result: CountedFrame | FailedFrame, totals: Totals) -> None:
        """Show a frame that is counted for good."""
        from edge.count import CountedFrame

        self._notifier.alive()
        tally = totals.tally()
        frames = tally.frames_read + len(tally.failed)
        total = None if self._expected is None else max(self._expected, frames)
        said = f"{tally.cells} cells"
        self._notifier.status(f"{said} in {frames} frames")
        self._progress.update(self._bar, advance=1, total=total, description=said)
        if not self._as_json:
            return
        if isinstance(result, CountedFrame):
            self._log.write(
                "frame", name=result.frame.name, cells=len(result.cells), leukocytes=tally.leukocytes
            )
        else:
            self._log.write("frame failed", "warning", name=result.name, reason=result.reason)

    def end(self, run: Run, page: Path | None, *, as_json: bool) -> None:
        """Print the results and what else there is to say; leave with the exit code that they earn."""
        from rich.console import Console

        from edge.report.files import summary
        from edge.report.table import print_table

        self._progress.stop()
        tally = run.tally
        if as_json:
            click.echo(json.dumps(summary(run)))
        elif tally.frames_read:
            print_table(run, Console(highlight=False))
        if page is not None:
            self.say("report", f"report: {page}", path=str(page))
            if not self._as_json:
                self.say("", f"annotated frames: {page.parent / 'annotated'}")
        if run.stopped:
            self.say("stopped", f"stopped after {tally.frames_read} frames; they are counted")
            raise click.exceptions.Exit(INTERRUPTED)
        if not tally.frames_read:
            first, *more = tally.failed
            rest = f" (and {len(more)} more)" if more else ""
            raise click.ClickException(f"no frame could be read: {first.name}: {first.reason}{rest}")
        if tally.failed:
            raise click.exceptions.Exit(SOME_FAILED)
