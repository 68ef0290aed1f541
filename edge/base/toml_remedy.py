"""What to do about a text that is not TOML, by the line at which the parser gave up."""

from __future__ import annotations

import re

_KEY = re.compile(r"""\s*["']?([\w.-]+)["']?\s*=\s*(.*?)\s*$""")
_COMMA = re.compile(r"([+-]?\d+),(\d+)")
_LONGEST = 200
"""Characters of a line that a remedy repeats in part."""

_BARE = re.compile(r"""[^\W\d_][^"'\[\]{}#]*|[./~][^"'\[\]{}#]*""")


def toml_remedy(text: str, error: Exception) -> str:
    """Return what to write instead of the line that `tomllib` refused with this error."""
    if isinstance(error, UnicodeError):
        return "save it as plain text in UTF-8"
    numbered = re.search(r"at line (\d+)", str(error))
    rows = text.splitlines() or [""]
    line = rows[min(int(numbered[1]), len(rows)) - 1] if numbered else rows[-1]
    if "overwrite" in str(error) or "twice" in str(error):
        return "give each key and each section only once"
    if len(line) > _LONGEST or (found := _KEY.match(line)) is None:
        return "correct it by hand"
    key, value = found.groups()
    value = value.partition(" #")[0].strip()
    if not value.isprintable():
        return f"remove the tabs and control characters from the value of {key}"
    if comma := _COMMA.fullmatch(value):
        return f"write {key} = {comma[1]}.{comma[2]}, with a point"
    if not value:
        return f"write a value behind {key} ="
    if value.lower() in ("true", "false"):
        return f"write {key} = {value.lower()}"
    if _BARE.fullmatch(value):
        return f'put the text in quotes: {key} = "{value}"'
    if value.startswith('"') and "\\" in value:
        return f"put the text of {key} in single quotes: in double ones a backslash has a meaning of its own"
    if value[0] in "\"'" and value.count(value[0]) % 2:
        return f"close the quotes of {key}"
    return f"correct {key} by hand"
