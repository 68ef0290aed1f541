"""Errors for the operator: one line and an exit code."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from edge.base import home, visible

_ELSEWHERE = (errno.ENOENT, errno.ENOTDIR, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC)
"""What another place is the remedy of."""


@contextmanager
def one_line_errors(*expected: type[Exception]) -> Iterator[None]:
    """Turn the expected exceptions, and the operating system's, into one line and exit code 1."""
    try:
        yield
    except BrokenPipeError:
        raise  # click handles a reader that has gone
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        line = f"{where}{error.strerror or error}{_another_place(error)}"
        raise click.ClickException(line) from error
    except expected as error:
        raise click.ClickException(" ".join(str(error).split())) from error


def _another_place(error: OSError) -> str:
    """Return which setting names the place that cannot be written, and what to do; empty for others."""
    if error.errno not in _ELSEWHERE or not isinstance(error.filename, str):
        return ""
    refused, context = Path(error.filename), click.get_current_context(silent=True)
    for parameter in context.command.params if context else ():
        value = context.params.get(parameter.name or "") if context else None
        if isinstance(value, str | os.PathLike) and _same_branch(refused, Path(os.fsdecode(value))):
            option = f" with {parameter.opts[0]}" if isinstance(parameter, click.Option) else ""
            return f": name a place that can be written{option}"
    try:
        own = _same_branch(refused, home())
    except OSError:  # says it itself
        return ""
    return ": set LEUKO_HOME to a folder that can be written" if own else ""


def _same_branch(refused: Path, named: Path) -> bool:
    """Return whether a place that was refused is, holds or lies in the one that a setting names."""
    return bool(named.name) and (
        refused.is_relative_to(named) or (refused.is_absolute() and named.is_relative_to(refused))
    )


@contextmanager
def visible_errors() -> Iterator[None]:
    """Keep what an error quotes from acting on the terminal."""
    try:
        yield
    except click.ClickException as error:
        # a page of help and a list of bundles are lines
        vars(error)["message"] = "\n".join(map(visible, error.message.split("\n")))
        raise
