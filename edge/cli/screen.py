"""What an operator, the system and a machine get to see of a count while it goes on, and at its end."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from rich.console import Console
from rich.progress import Progress

from edge.base import FailedFrame
from edge.capture import CameraError, list_files
from edge.classify import RuntimeMissingError
from edge.cli.errors import one_line_errors
from edge.cli.options import quiet_libraries, stop_requests
from edge.count import CountedFrame, CountResult, Totals
from edge.model import BundleError
from edge.report import print_result, result_summary
from edge.run import CountConfig, Instrument, Log, Notifier, run_count
from edge.session import Header, Session, SessionError

INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended
SOME_FAILED = 3


@contextmanager
def counting(log_form: str) -> Iterator[Screen]:
    """Surround a count: what can go wrong ends in one line, libraries are quiet, and it is seen."""
    expected = (BundleError, CameraError, RuntimeMissingError, SessionError, ValueError)
    with one_line_errors(*expected), quiet_libraries(), Screen(log_form == "json") as screen:
        yield screen


def follow(
    screen: Screen,
    job: CountConfig,
    instrument: Instrument,
    session: Session | Header | None,
    *,
    out: Path | None = None,
    force: bool = False,
    threads: int | None,
    as_json: bool,
) -> None:
    """Carry a job out, see `edge.run.count_run.carry_out`, on the screen; leave with the exit code that it earns."""
    if job.camera is None:
        screen.expect(len(list_files(job.sources)))
    with stop_requests() as stop:
        run, page = run_count(
            job,
            instrument,
            stop=stop,
            observer=screen,
            session=session,
            out=out,
            force=force,
            threads=threads,
        )
    screen.end(run, page, live=job.camera is not None, as_json=as_json)


threads_option = click.option(
    "--threads",
    type=click.IntRange(1, 64),
    help="Frames worked on at a time, each with the memory of some two; by default as many as cores.",
)
log_option = click.option(
    "--log",
    "log_form",
    type=click.Choice(["words", "json"]),
    default="words",
    show_default=True,
    help="What is written to stderr: words for a person, or an event a line for a machine.",
)


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
        self._expected: int | None = None
        self._session: str | None = None

    def __enter__(self) -> Screen:

        self._log = Log(sys.stderr)
        self._words = Console(stderr=True, highlight=False, markup=False)
        hidden = self._as_json or not self._words.is_terminal
        progress = Progress(console=self._words, transient=True, disable=hidden)
        self._progress = self._stack.enter_context(progress)
        relay, logger = _Relay(self), logging.getLogger("edge")
        logger.addHandler(relay)
        self._stack.callback(logger.removeHandler, relay)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notifier.stopping()
        self._stack.close()
        if self._session is not None:
            said = f"session {self._session} is not finished; leuko sessions resume goes on with it"
            self.say("unfinished", said, "error", id=self._session)
        if self._as_json and error is not None and not isinstance(error, click.exceptions.Exit):
            self._log.write("failed", "error", message=str(error))

    def say(self, event: str, words: str, level: str = "info", **facts: Any) -> None:
        """Tell something beside the frames; the facts are for machines."""
        if self._as_json:
            self._log.write(event, level, message=words, **facts)
        else:
            self._words.print(words, soft_wrap=True)

    def expect(self, frames: int) -> None:
        """Say how many frames will come at the least."""
        self._expected = frames

    def on_start(self) -> None:
        """Everything is ready for the first frame."""
        self._bar = self._progress.add_task("counting", total=self._expected)
        self._notifier.ready()
        self._notifier.alive()

    def on_warning(self, words: str) -> None:
        """Show what whoever reads the results has to know."""
        self.say("remark", words, "warning")

    def on_session(self, session: str) -> None:
        """Name the session that keeps the frames."""
        self._session = session
        self.say("session", f"session {session}", id=session)

    def on_frame(self, result: CountedFrame | FailedFrame, totals: Totals) -> None:
        """Show a frame that is counted for good."""
        self._notifier.alive()
        tally = totals.tally()
        frames = tally.frames_read + len(tally.failed)
        total = None if self._expected is None else max(self._expected, frames)
        said = f"{tally.cells} cells"
        self._notifier.status(f"{said} in {frames} frames")
        breaches = result.breaches if isinstance(result, CountedFrame) else (result.reason,)
        self._progress.update(
            self._bar, completed=frames, total=total, description=", ".join((said, *breaches))
        )
        if not self._as_json:
            return
        if isinstance(result, CountedFrame):
            facts = {"cells": len(result.cells), "leukocytes": tally.leukocytes, "breaches": breaches}
            self._log.write("frame", "warning" if breaches else "info", name=result.frame.name, **facts)
        else:
            self._log.write("frame failed", "warning", name=result.name, reason=result.reason)

    def end(self, run: CountResult, page: Path | OSError | None, *, live: bool, as_json: bool) -> None:
        """Print the results and what else there is to say; leave with the exit code that they earn.

        Parameters
        ----------
        run, page : from `edge.run.count_run.carry_out`
        live : from a camera, which only the plan or the operator can end
        as_json : print one object instead of the table
        """
        self._session = None
        self._progress.stop()
        tally = run.tally
        if as_json:
            click.echo(json.dumps(result_summary(run)))
        elif tally.frames_read:
            print_result(run, Console(highlight=False))
        elif not tally.failed:
            why = run.ended or ("stopped" if run.stopped else "the frames ended")
            self.say("nothing counted", f"nothing was counted: {why} before the first frame")
        if isinstance(page, OSError):
            where = f"{page.filename}: {page.strerror}"
            raise click.ClickException(f"no report in {where}; what was counted is above")
        if page is not None:
            self.say("report", f"report: {page}", path=str(page))
            if not self._as_json:
                self.say("", f"annotated frames: {page.parent / 'annotated'}")
        if run.stopped:
            if tally.frames_read:
                self.say("stopped", f"stopped after {tally.frames_read} frames; they are counted")
            elif tally.failed:
                self.say("stopped", f"stopped after {len(tally.failed)} frames; {_unreadable(tally.failed)}")
            raise click.exceptions.Exit(0 if live else INTERRUPTED)
        if not tally.frames_read and tally.failed:
            raise click.ClickException(_unreadable(tally.failed))
        if (tally.failed or run.other_files) and not live:
            raise click.exceptions.Exit(SOME_FAILED)


def _unreadable(failed: Sequence[FailedFrame]) -> str:
    """Say of frames that all could not be read why the first one could not."""
    first, *more = failed
    rest = f" (and {len(more)} more)" if more else ""
    return f"no frame could be read: {first.name}: {first.reason}{rest}"


class _Relay(logging.Handler):
    """Brings what the runtime logs onto the screen."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """Say it."""
        source = record.name.rpartition(".")[2]
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._screen.say(source, record.getMessage(), level)
