"""Options and error handling that several commands share."""

from __future__ import annotations

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


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout.")
