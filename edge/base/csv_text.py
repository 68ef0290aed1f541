"""CSV for people: a spreadsheet shows every text as it is, and calculates none.

A text that a spreadsheet would take for a formula gets a leading apostrophe (OWASP, "CSV Injection"), which
`unquoted` removes. Numbers stay numbers, with their sign.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from typing import TextIO

_FORMULA = re.compile("'*[=+\\-@\t\r＝＋－＠]")  # apostrophes in front: `unquoted` takes one away


def csv_writer(file: TextIO) -> Callable[[Iterable[object]], None]:
    """Return a function that writes one row to a file."""
    plain = csv.writer(file, lineterminator="\n")
    careful = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_ALL)

    def write(row: Iterable[object]) -> None:
        values = [_quoted(value) if isinstance(value, str) else value for value in row]
        # before Python 3.13 a carriage return alone is not quoted, and ends the row
        returns = any(isinstance(value, str) and "\r" in value for value in values)
        (careful if returns else plain).writerow(values)

    return write


def unquoted(text: str) -> str:
    """Return a text as it was before `csv_writer` wrote it."""
    return text[1:] if text.startswith("'") and _FORMULA.match(text) else text


def _quoted(text: str) -> str:
    if not _FORMULA.match(text):
        return text
    try:
        float(text)
    except ValueError:
        return f"'{text}"
    return text
