"""TOML texts, parsed in time and memory that grow with their length."""

from __future__ import annotations

import re
import tomllib
from typing import Any

MOST_PARTS = 16
"""Parts of a dotted key; Python's parser keeps every beginning of one, so that 40 kB took 1.6 GB."""

_PART = r"""(?:[\w-]++|"(?:[^"\\\n]|\\.)*+"|'[^'\n]*+')"""
_POINT = r"[ \t]*+\.[ \t]*+"
_TOKEN = re.compile(
    # texts and comments as a parser takes them, from the beginning: what they hold is no key and hides none
    r'"""(?:[^"\\]|\\.|"(?!""))*+"{3,5}+'
    r"|'''(?:[^']|'(?!''))*+'{3,5}+"
    r"|(?P<open>\"{3}|'{3})"
    r"|#[^\n]*+"
    rf"|{_PART}(?:{_POINT}{_PART}){{0,{MOST_PARTS - 1}}}+(?P<more>{_POINT}{_PART})?+"
    r"|(?P<end>[\"'])",
    re.DOTALL,
)


def parse_toml(text: str) -> dict[str, Any]:
    """Return what a text holds.

    Raises
    ------
    ValueError, RecursionError
        If it is not TOML, or a key has more parts than any that is used; the message names the line.
    """
    for token in _TOKEN.finditer(text):
        if token["open"] or token["end"]:
            break  # a text that is not closed, where the parser gives up
        if token["more"]:
            line = text.count("\n", 0, token.start()) + 1
            raise tomllib.TOMLDecodeError(
                f"A key has more than {MOST_PARTS} parts (at line {line}, column 1)"
            )
    return tomllib.loads(text)
