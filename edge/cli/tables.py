"""Tables and progress bars on the terminal that several commands show."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import Progress, ProgressColumn
from rich.table import Table
from rich.text import Text

NO_EDGE = 10_000
"""Columns of a pipe or a file, where no line is wrapped."""


def new_table(*headings: Any) -> Table:
    """Return a table without lines."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def plain(text: str) -> Text:
    """Return text without markup or control characters, which file names may hold."""
    return Text("".join(letter if letter.isprintable() else "?" for letter in text))


def print_table(table: Table) -> None:
    """Print a table on stdout, as wide as the terminal."""
    stdout_console().print(table)


def stdout_console() -> Console:
    """Return a console on stdout, as wide as the terminal; numbers in its lines get no colour."""
    return Console(width=None if sys.stdout and sys.stdout.isatty() else NO_EDGE, highlight=False)


@contextmanager
def progress(*columns: str | ProgressColumn) -> Iterator[Progress]:
    """Show a progress bar on stderr if it is a terminal; by default with rich's columns."""
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield bar
