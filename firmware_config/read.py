"""Reads a device profile and names every problem: line, key, why, and what to do."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.base import collect, keys, parse_toml, read_input, shown, toml_remedy
from firmware_config.profile import SECTIONS, VERSION, DeviceProfile

if TYPE_CHECKING:
    # install.sh reads a profile with a Python that has only its standard library
    from edge.model import Bundle

MOST_LINES = 1000
"""About ten times the lines of a profile that gives every key, comments included."""
MOST_BYTES = 100 * MOST_LINES

_NAMED = re.compile(
    r"""\s*+(\[\s*)?["']?([\w-]++)["']?(?:\s*\.\s*["']?([\w-]++)["']?)?[\w\s."'-]*(?(1)\]|=)"""
)
"""A section's header, or a key with what follows its first point."""


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong with a profile, and what to do.

    Attributes
    ----------
    line : int
        From 1; 0 for what is missing.
    key : str
        ``section.key``, a section, or ``profile``.
    """

    line: int
    key: str
    why: str
    remedy: str

    def named(self, name: str) -> str:
        """Return one line: the place in the file of that name, key, why, remedy."""
        where = f"{name}:{self.line}" if self.line else name
        return f"{where}: {self.key}: {self.why}; {self.remedy}"


@dataclass(frozen=True)
class Reading:
    """A profile as it was read.

    Attributes
    ----------
    profile : DeviceProfile or None
        A value that is missing or wrong is at its default, or None; None if the text is not TOML.
    lines : mapping of str to int
        Section or ``section.key`` → its line.
    bundle : Bundle or None
        As it was checked; only these bytes are installed.
    notes : tuple of str
        What could not be examined, and what is allowed but may be unintended.
    """

    text: str
    profile: DeviceProfile | None
    problems: tuple[Problem, ...]
    lines: Mapping[str, int]
    bundle: Bundle | None = None
    notes: tuple[str, ...] = ()

    def place(self, key: str, why: str, remedy: str) -> Problem:
        """Return a problem at the line of a key, or else of its section."""
        line = self.lines.get(key, self.lines.get(key.partition(".")[0], 0))
        return Problem(line, key, " ".join(why.split()), remedy)


def read_file(path: Path) -> Reading:
    """Read the profile in a file, see `read`; a file that cannot be read is a problem of the profile too."""
    try:
        text = read_input(path, MOST_BYTES).decode(
            "utf-8-sig"
        )  # editors on Windows begin a file with a byte order mark
    except OSError as error:
        return _unread(
            "", f"cannot be read ({error.strerror})", "name another file, or remove what is not a key"
        )
    except UnicodeDecodeError:
        return _unread("", "is not UTF-8", "save it as plain text in UTF-8")
    return read(text)


def read(text: str) -> Reading:
    """Read a profile and list what is wrong with its single values; `check` adds their contradictions."""
    if text.count("\n") > MOST_LINES:
        return _unread(text, f"has more than {MOST_LINES} lines", "remove what is not a key")
    try:
        raw = parse_toml(text)
    except (ValueError, RecursionError) as error:
        return Reading(text, None, (_syntax(text, error),), {})
    lines, version = _lines(text, raw), raw.pop("version", None)
    collected = collect(DeviceProfile, raw)
    reading = Reading(text, collected.value, (), lines)
    problems = [reading.place(p.name, p.why, _remedy(p.path, p.allowed)) for p in collected.problems]
    if type(version) is not int or version != VERSION:
        why = "is missing" if version is None else f"is {shown(version)}"
        remedy = f"write version = {VERSION}, the only one that this leuko reads"
        problems.append(reading.place("version", why, remedy))
    return replace(reading, problems=tuple(sorted(problems)))


def _remedy(path: tuple[str | int, ...], allowed: str) -> str:
    """Say what to do about a problem with a section, a key, or what a key holds."""
    section, *names = map(str, path)
    if section not in SECTIONS:
        return f"remove it; the sections are {', '.join(SECTIONS)}"
    if not names:
        return f"make it a section, [{section}]"
    declared = {key.name: key for key in keys(SECTIONS[section])}
    if names[0] not in declared:
        return f"remove it; the keys are {', '.join(declared)}"
    return f"write {allowed} ({declared[names[0]].description})"


def _unread(text: str, why: str, remedy: str) -> Reading:
    return Reading(text, None, (Problem(0, "profile", why, remedy),), {})


def _syntax(text: str, error: Exception) -> Problem:
    """Name the line, and the key on it, that is not TOML."""
    message = str(error).splitlines()[0] if str(error) else "nested too deeply"
    numbered = re.search(r"at line (\d+), column \d+", message)
    rows = text.splitlines() or [""]
    line = min(int(numbered[1]), len(rows)) if numbered else len(rows)
    section = ""
    for row in rows[:line]:
        if header := re.match(r"\s*\[\s*([\w-]+)", row):
            section = header[1]
    named = re.match(r"""\s*["']?([\w-]+)["']?\s*=""", rows[line - 1])
    key = ".".join(part for part in (section, named[1] if named else "") if part) or "profile"
    # other errors come from limits of the parser: numbers with many digits, deep nesting
    is_syntax = isinstance(error, tomllib.TOMLDecodeError)
    remedy = toml_remedy(text, error) if is_syntax else "correct that line; no key has such a value"
    return Problem(line, key, "is not TOML: " + message.partition(" (at ")[0], remedy)


def _lines(text: str, raw: Mapping[str, Any]) -> dict[str, int]:
    """Return section or ``section.key`` → the first line that names it, for a text that holds `raw`.

    A parser drops the line numbers. What has none, such as a key of an inline table, is found by its section.
    """
    lines: dict[str, int] = {}
    section = ""
    for number, row in enumerate(text.split("\n"), 1):
        if not (named := _NAMED.match(row)):
            continue
        is_header, first, second = named.groups()
        if is_header:
            section = first
        keys = raw.get(section) if section and not is_header else raw
        if isinstance(keys, dict) and first in keys:
            path = [section, first] if keys is not raw else [first, second]
            for end in (1, 2):
                lines.setdefault(".".join(filter(None, path[:end])), number)
    return lines
