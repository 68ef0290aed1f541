"""Errors for the operator: one line and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def one_line_errors(*expected: type[Exception]) -> Iterator[None]:
    """Turn the expected exceptions, and the operating system's, into one line and exit code 1."""
    try:
        yield
    except BrokenPipeError:
        raise  # click handles a reader that has gone
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from error
    except expected as error:
        raise click.ClickException(" ".join(str(error).split())) from error
