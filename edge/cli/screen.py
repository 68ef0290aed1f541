"""What an operator, systemd and a machine see of a count while it runs, and at its end."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import click
from rich.progress import BarColumn, Progress, TextColumn

from edge.base import FailedFrame, quantity
from edge.capture import CameraError
from edge.classify import RuntimeMissingError
from edge.cli.errors import one_line_errors
from edge.cli.options import quiet_libraries, stop_requests
from edge.cli.output import VisibleConsole, echo
from edge.cli.standing import Course
from edge.cli.tables import plain, stdout_console
from edge.count import CountedFrame, CountResult, StopRule, Totals
from edge.model import BundleError
from edge.report import print_result, result_summary
from edge.run import Count, CountConfig, Log, Notifier, ReportSink, Sink, run_count, tally_of, why_unusable
from edge.session import SessionError

INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended
SOME_FAILED = 3

BAR_COLUMNS = 20
"""Of the progress bar, where the terminal has twice as many left for words."""


@contextmanager
def counting(log_form: str) -> Iterator[Screen]:
    """Surround a count: its failures end in one line, libraries are quiet, and the screen shows it."""
    expected = (BundleError, CameraError, RuntimeMissingError, SessionError, ValueError)
    with one_line_errors(*expected), quiet_libraries(), Screen(log_form == "json") as screen:
        yield screen


def follow(
    screen: Screen,
    count: Count,
    reports: Sequence[ReportSink] = (),
    *,
    sinks: Sequence[Sink] = (),
    threads: int | None,
    as_json: bool,
) -> None:
    """Run a count on the screen, see `edge.run.run_count`; leave with the exit code that it earns."""
    screen.config = count.config
    # a session has its id before the first frame if it is resumed
    partial, resumed = count.config.report, count.session.id
    if resumed and partial and Path(partial, "cells.csv").exists():
        remedy = f"leuko sessions export {resumed} --out FOLDER writes all cells"
        screen.say("no report", f"the report in {partial} ends at the interruption; {remedy}", path=partial)
    with stop_requests() as stop:
        result = run_count(count, stop=stop, observer=screen, sinks=[*reports, *sinks], threads=threads)
    screen.end(result, reports, live=count.config.camera is not None, as_json=as_json)


class Screen:
    """Standard error of a count: words and a progress bar, or lines of JSON; and the watchdog's pings.

    A context manager, to be made once ``sys.stderr`` is what it will be.

    Attributes
    ----------
    config : CountConfig or None
        Of the count, once there is one.
    """

    def __init__(self, as_json: bool) -> None:
        self.config: CountConfig | None = None
        self._as_json = as_json
        self._session = self._waited = ""
        self._notifier, self._log, self._relay = Notifier(), Log(sys.stderr), _Relay(self)
        self._words = VisibleConsole(stderr=True)
        hidden = as_json or not self._words.is_terminal
        self._bar_columns = BAR_COLUMNS if self._words.width >= 3 * BAR_COLUMNS else 0
        bar = (BarColumn(self._bar_columns - 1),) if self._bar_columns else ()
        text = TextColumn("{task.description}", markup=False)
        self._progress = Progress(*bar, text, console=self._words, transient=True, disable=hidden)

    def __enter__(self) -> Screen:
        self._progress.start()
        logging.getLogger("edge").addHandler(self._relay)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._notifier.stopping()
        logging.getLogger("edge").removeHandler(self._relay)
        self._progress.stop()
        if self._session:
            words = f"session {self._session} is not finished; leuko sessions resume continues it"
            self.say("unfinished", words, "error", id=self._session)
        if self._as_json and error is not None and not isinstance(error, click.exceptions.Exit):
            self._log.write("failed", "error", message=str(error))

    def say(self, event: str, words: str, level: str = "info", **facts: Any) -> None:
        """Show a message that is not about one frame; the facts are for machines."""
        if self._as_json:
            self._log.write(event, level, message=words, **facts)
        else:
            self._words.print(words, soft_wrap=True)

    def on_start(self, seconds: float) -> None:
        """Show the progress bar, and tell systemd that the service is ready."""
        files = self.config.files if self.config else None
        rule = self.config.stop_rule if self.config else StopRule()
        self._course = Course(rule, None if files is None else len(files), seconds)
        for earlier in self._progress.task_ids:  # of a session that could not be resumed
            self._progress.remove_task(earlier)
        self._bar = self._progress.add_task("counting", total=None)
        self._notifier.ready()
        self._notifier.alive()

    def on_warning(self, words: str) -> None:
        """Show what readers of the results have to know."""
        self.say("remark", words, "warning")

    def on_session(self, session: str) -> None:
        """Name the session that keeps the frames."""
        self._session = session
        self.say("session", f"session {session}", id=session)

    def on_wait(self, words: str) -> None:
        """Tell systemd that the service waits and is alive, and everybody else once."""
        words = f"waiting for the camera: {words}"
        self._notifier.alive()
        self._notifier.status(words)
        if words != self._waited:
            self._waited = words
            self.say("waiting", words, "warning")

    def on_frame(self, result: CountedFrame | FailedFrame, totals: Totals) -> None:
        """Show a counted frame, and tell systemd that the service is alive."""
        self._notifier.alive()
        seen = self._as_json or self._notifier.listened_to or not self._progress.disable
        unusable = why_unusable(self.config, totals) if seen and self.config else ""
        by_width = seen and self.config is not None and self.config.stop_rule.until_halfwidth is not None
        tally = tally_of(totals) if by_width else totals.tally()
        standing = self._course.standing(result, tally, unusable)
        if self._notifier.listened_to:
            self._notifier.status(standing.line())
        if not self._progress.disable:
            words = plain(standing.line(self._words.width - self._bar_columns - 1)).plain
            total = None if standing.share is None else 1.0
            self._progress.update(self._bar, completed=standing.share or 0, total=total, description=words)
        if not self._as_json or (isinstance(result, FailedFrame) and not result.listed):
            return
        facts = standing.facts()
        if isinstance(result, CountedFrame):
            facts |= {"cells": len(result.cells), "breaches": result.breaches}
            self._log.write(
                "frame", "warning" if result.breaches else "info", name=result.frame.name, **facts
            )
        else:
            self._log.write("frame failed", "warning", name=result.name, reason=result.reason, **facts)

    def end(self, result: CountResult, reports: Sequence[ReportSink], *, live: bool, as_json: bool) -> None:
        """Print the results, as a table or as one JSON object, and leave with the exit code that they earn.

        A `live` count, of a camera, is complete also where an operator stopped it.
        """
        self._session = ""
        self._progress.stop()
        tally = result.tally
        if as_json:
            echo(json.dumps(result_summary(result)))
        elif tally.frames_read:
            print_result(result, stdout_console())
        elif not tally.failed:
            why = result.ended or ("stopped" if result.stopped else "the frames ended")
            self.say("nothing counted", f"nothing was counted: {why} before the first frame")
        for report in reports:
            self._show(report)
        if result.stopped:
            if tally.frames_read:
                counted = quantity(tally.frames_read, "frame, which is counted", "frames, which are counted")
                self.say("stopped", f"stopped after {counted}")
            elif tally.failed:
                frames = quantity(len(tally.failed), "frame")
                self.say("stopped", f"stopped after {frames}; {_none_counted(tally.failed)}")
            raise click.exceptions.Exit(0 if live else INTERRUPTED)
        if not tally.frames_read and tally.failed:
            raise click.ClickException(_none_counted(tally.failed))
        if (tally.unreadable or result.other_files) and not live:
            raise click.exceptions.Exit(SOME_FAILED)

    def _show(self, report: ReportSink) -> None:
        """Say where a report is, or why there is none."""
        try:
            pages = report.pages()
        except OSError as error:
            where = f"{error.filename}: {error.strerror}"
            raise click.ClickException(f"no report in {where}; what was counted is above") from error
        for page in pages:
            self.say("report", f"report: {page}", path=str(page))
            if not self._as_json:
                self.say("", f"annotated frames: {page.parent / 'annotated'}")


def _none_counted(failed: Sequence[FailedFrame]) -> str:
    """Return why the first of the frames was not counted, where none was."""
    first, *more = failed
    rest = f" (and {len(more)} more)" if more else ""
    what = "could be read" if first.kind == "unreadable" else "could be counted"
    return f"no frame {what}: {first.name}: {first.reason}{rest}"


class _Relay(logging.Handler):
    """Shows on the screen what the runtime logs."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        """Show a message."""
        source = record.name.rpartition(".")[2]
        level = "error" if record.levelno >= logging.ERROR else "warning"
        self._screen.say(source, record.getMessage(), level)
