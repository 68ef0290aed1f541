"""Options and error handling that several commands share."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click


@contextmanager
def one_line_errors(*expected: type[Exception]) -> Iterator[None]:
    """Turn the expected exceptions, and an operating system's refusal, into one line and exit code 1."""
    try:
        yield
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}{error.strerror or error}") from error
    except expected as error:
        raise click.ClickException(" ".join(str(error).split())) from error


@contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what libraries in C print off the terminal, process-wide, while Python's own stderr goes on.

    libjpeg and libpng, LiteRT and TensorFlow write to file descriptor 2 and offer no way, or none in time,
    to stop them. Here descriptor 2 leads nowhere and ``sys.stderr``, where it wrote there, gets a
    descriptor of its own. A command enters it once around its work.
    """
    original = sys.stderr
    try:
        shared = original.fileno() == 2
    except OSError:  # replaced by something that is no file
        shared = False
    original.flush()
    saved = os.dup(2)
    own = os.fdopen(saved, "w", buffering=1, encoding=original.encoding, errors=original.errors)
    if shared:
        sys.stderr = own
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    try:
        yield
    finally:
        own.flush()
        os.dup2(saved, 2)
        sys.stderr = original
        own.close()


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
