"""CSV for people: a spreadsheet shows every text as it is, and calculates none.

A text that a spreadsheet would take for a formula gets a leading apostrophe (OWASP, "CSV Injection"), and so
does what follows a semicolon, a tab or a line's end in it: many locales separate fields with semicolons, and
split a quoted text all the same. `unquoted` removes the apostrophes. Numbers stay numbers, with their sign.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable
from typing import TextIO

_BEGINNING, _FORMULA = "(?:^|(?<=[;\t\n\r\v\f\x1c-\x1e\x85\u2028\u2029]))", "(?='*[=+\\-@\t\r＝＋－＠])"
_BEFORE = re.compile(_BEGINNING + _FORMULA)
_MARK = re.compile(_BEGINNING + "'" + _FORMULA)  # apostrophes of the text's own follow it


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
    return _MARK.sub("", text)


def _quoted(text: str) -> str:
    marked = _BEFORE.sub("'", text)
    if marked == text:
        return text
    try:
        float(text)
    except ValueError:
        return marked
    return text
