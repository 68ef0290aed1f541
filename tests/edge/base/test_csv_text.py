from __future__ import annotations

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.base import csv_writer, unquoted

FORMULA_STARTS = "=+-@\t\r＝＋－＠"


def written(*values: object) -> list[str]:
    file = io.StringIO(newline="")
    csv_writer(file)(values)
    file.seek(0)
    (row,) = csv.reader(file)
    return row


@pytest.mark.parametrize("start", FORMULA_STARTS)
def test_a_formula_is_written_as_text(start: str) -> None:
    name = f"{start}HYPERLINK(1).png"
    assert written(name, 1, f"a{name}") == [f"'{name}", "1", f"a{name}"]


@pytest.mark.parametrize("start", FORMULA_STARTS)
@pytest.mark.parametrize("separator", ";\t\n\r\v\f\x85\u2028")
def test_a_formula_behind_what_separates_fields_elsewhere_is_text(start: str, separator: str) -> None:
    name = f"a{separator}{start}1+1{separator}b.png"
    assert written("x", name) == ["x", f"a{separator}'{start}1+1{separator}b.png"]


@pytest.mark.parametrize("number", [-1, -0.5, "-1", "+2.5", "-1e-9", "-inf", 3, None])
def test_numbers_stay_numbers(number: object) -> None:
    assert written("a", number) == ["a", "" if number is None else str(number)]


@given(st.text(st.sampled_from(f"{FORMULA_STARTS}'1a .;\n"), max_size=6) | st.text(max_size=6))
def test_every_text_is_read_back_and_none_is_a_formula(text: str) -> None:
    (_, field) = written("a", text.replace("\0", ""))
    assert unquoted(field) == text.replace("\0", "")
    if field.startswith(tuple(FORMULA_STARTS)):
        float(field)
