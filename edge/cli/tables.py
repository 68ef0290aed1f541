"""Tables and progress bars on the terminal that several commands show."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text

from edge.base import visible
from edge.cli.output import VisibleConsole, echo

NO_EDGE = 10_000
"""Columns of a pipe or a file, where no line is wrapped."""


FOLDED = 20
"""Columns that a text keeps where a narrow terminal folds it."""


def new_table(*headings: Any, whole: Sequence[str] = ()) -> Table:
    """Return a table without lines; a narrow terminal folds its texts, but for the columns in `whole`."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold", no_wrap=heading in whole)
    return table


def plain(text: str) -> Text:
    """Return text with its control characters visible, as wide as it is printed."""
    return Text(visible(text))


def print_table(table: Table, *, droppable: Sequence[str] = ()) -> None:
    """Print a table on stdout.

    Where the terminal is too narrow for it, columns are left out in the order of `droppable`, which a line on
    stderr says. If that does not help, the terminal wraps the lines: no value is cut.
    """
    console = stdout_console()
    left_out: list[str] = []
    while len(left_out) < len(droppable) and _needed(table, console) > console.width:
        left_out.append(droppable[len(left_out)])
        table = _without(table, left_out[-1])
    if (needed := _needed(table, console)) > console.width:
        table.width = needed
    console.print(table, crop=False)
    if left_out:
        names = ", ".join(left_out)
        echo(f"the terminal is too narrow for {names}: widen it, or pass --json", err=True)


def stdout_console() -> Console:
    """Return a console on stdout, as wide as the terminal; numbers in its lines get no colour.

    In a pipe or a file no line is wrapped, and none ends with spaces. Letters that its encoding lacks become
    question marks.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if sys.stdout and sys.stdout.isatty():
        return VisibleConsole()
    return _PipeConsole(width=NO_EDGE)


class _PipeConsole(VisibleConsole):
    """Prints lines without the spaces that fill up the last column of a table."""

    def print(self, *objects: Any, **options: Any) -> None:
        with self.capture() as captured:
            super().print(*objects, **options)
        self.file.write(re.sub(" +$", "", captured.get(), flags=re.MULTILINE))


def _needed(table: Table, console: Console) -> int:
    """Return the width of a table whose texts are folded as far as they may be."""
    wide = console.options.update(max_width=NO_EDGE)
    widths = []
    for column in table.columns:
        widest = max(console.measure(cell, options=wide).maximum for cell in (column.header, *column.cells))
        widths.append(widest if column.no_wrap else min(widest, FOLDED))
    return sum(widths) + 2 * (len(widths) - 1)


def _without(table: Table, heading: str) -> Table:
    """Return a table without one of its columns."""
    kept = [column for column in table.columns if column.header != heading]
    fewer = new_table()
    for column in kept:
        fewer.add_column(
            column.header, overflow=column.overflow, no_wrap=column.no_wrap, justify=column.justify
        )
    for row, cells in zip(table.rows, zip(*(column.cells for column in kept), strict=True), strict=True):
        fewer.add_row(*cells, style=row.style)
    return fewer


def time_words(seconds: float) -> str:
    """Return a time in seconds, minutes, or hours and minutes."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02} min"


def say_duration(work: str, seconds: float) -> None:
    """Say on stderr about how long some work takes, if a person may wonder."""
    if seconds >= 20:
        rounded = float(f"{seconds:.1g}")
        echo(f"{work} takes about {time_words(rounded)} on two cores", err=True)


@contextmanager
def progress(*columns: str | ProgressColumn) -> Iterator[Progress]:
    """Show a progress bar on stderr if it is a terminal; by default with rich's columns."""
    console = VisibleConsole(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar
