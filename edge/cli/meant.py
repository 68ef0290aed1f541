"""What a person probably meant by a number or a name that is refused."""

from __future__ import annotations

import re
from difflib import get_close_matches
from pathlib import Path


def corrected_number(text: str, reason: str, most: float | None, *, whole: bool = False) -> str:
    """Return why a text is no number in a range, with the number that was probably meant, if one was."""
    if (ratio := re.fullmatch(r"\s*1\s*[:/]\s*(\d+)\s*", text)) is not None:
        return f"{text!r} is not a number: write {ratio.group(1)}"
    match = re.fullmatch(r"\s*([+-]?\d+)(?:([.,' _])(\d+))?\s*(\D*)", text)
    if match is None:
        return reason if "range." not in reason else f"{text!r} is not a number"
    first, separator, rest, unit = (part or "" for part in match.groups())
    thousands = f"{first}{rest}" if len(rest) == 3 and separator != "." and first != "0" else ""
    number = first if not rest else f"{first}.{rest}"
    kind = "whole number" if whole else "number"
    if most is not None and most <= 1 and (unit == "%" or 1 < float(number) <= 100):
        return f"{text!r} is not in the range 0 to {most:g}: write {float(number) / 100:g} for {number} %"
    if unit:
        return f"{text!r} is not a {kind}: write it without {unit.strip()}, in the unit that --help names"
    if whole and rest:
        return f"{text!r} is not a whole number" + (f": write {thousands}" if thousands else "")
    if separator in tuple(",' _"):
        return f"{text!r} is not a number: write {number}" + (f" or {thousands}" if thousands else "")
    return reason


def nearest_file(path: Path) -> str:
    """Return a question about the file of the most similar name, if there is one."""
    names = [other.name for other in path.parent.iterdir()] if path.parent.is_dir() else []
    near = get_close_matches(path.name, names, n=1)
    return f"; is {path.with_name(near[0])} meant?" if near else ""
