"""TOML texts, parsed in time and memory that grow with their length."""

from __future__ import annotations

import re
import tomllib
from typing import Any

MOST_PARTS = 16
"""Parts of a dotted key; Python's parser keeps every beginning of one, so that 40 kB took 1.6 GB."""

_PART = r"""(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')"""
_LONG_KEY = re.compile(rf"(?<![\w-]){_PART}(?:[ \t]*+\.[ \t]*+{_PART}){{{MOST_PARTS}}}")


def parse_toml(text: str) -> dict[str, Any]:
    """Return what a text holds.

    Raises
    ------
    ValueError, RecursionError
        If it is not TOML, or a key has more parts than any that is used; the message names the line.
    """
    if long := _LONG_KEY.search(text):
        line = text.count("\n", 0, long.start()) + 1
        raise tomllib.TOMLDecodeError(f"A key has more than {MOST_PARTS} parts (at line {line}, column 1)")
    return tomllib.loads(text)
