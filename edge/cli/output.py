"""Everything that a command prints, so that no file name, label or message of a library acts on a terminal.

Nothing else calls ``print``, ``click.echo`` or rich's Console; a test holds it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from edge.base import visible


def echo(*lines: object, err: bool = False) -> None:
    """Print lines on stdout, or on stderr."""
    click.echo("\n".join(visible(str(line)) for line in lines), err=err)


def echo_document(text: str) -> None:
    """Print a text of lines as it is, but for what acts on a terminal."""
    click.echo("\n".join(map(visible, text.split("\n"))), nl=False)


def rewrite(line: str) -> None:
    """Put a line in the place of the terminal's last one."""
    click.echo(f"\r{visible(line)}\x1b[K", nl=False)


class VisibleConsole(Console):
    """A console of rich whose texts cannot act on the terminal; its own colours and bars can.

    Nothing in a text is markup or an emoji: labels and names of files come from tables and folders of others.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, emoji=False, highlight=False, **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """Return the segments of what is printed."""
        for segment in super().render(renderable, options):
            text, style, control = segment
            yield segment if control else Segment("\n".join(map(visible, text.split("\n"))), style)
