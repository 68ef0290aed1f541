"""How a microscope and its camera were calibrated: ``profile.toml``, version 1.

A section says what one calibration found, when, and in which units; a person may comment and edit the file.
It is read strictly, since a misspelt limit or a swapped unit would go into every result.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import tomlkit
from tomlkit.items import Table

from edge.durable import write_atomically
from edge.pixel import PIXELS_UM
from edge.settings import home

VERSION = 1
_HEAD = "How this microscope and its camera were calibrated. Your own comments stay when leuko writes here."


class ProfileError(ValueError):
    """A profile that cannot be meant; the message is one line: file, key, why, and what to do."""


def _key(
    comment: str, low: float = -math.inf, high: float = math.inf, *, pattern: str = "", **options: Any
) -> Any:
    """Declare a key.

    Parameters
    ----------
    comment : beside it in a new file
    low, high : range of a number
    pattern : regular expression of a text
    options : ``default`` if it may be left out
    """
    return field(metadata={"comment": comment, "low": low, "high": high, "pattern": pattern}, **options)


@dataclass(frozen=True)
class Pixel:
    """Section ``[pixel]``: side of a pixel in the specimen, and the frame size for which it holds."""

    pixel_um: float = _key("side of a pixel in the specimen", *PIXELS_UM)
    uncertainty_um: float = _key("its standard uncertainty", 0, 1)
    width_px: int = _key("frames of another size have another pixel", 1, 100_000)
    height_px: int = _key("", 1, 100_000)
    method: str = _key("how it was measured")
    date: datetime = _key("when")  # noqa: RUF009 (a field)


@dataclass(frozen=True)
class FlatField:
    """Section ``[flat_field]``: the file with the illumination, and how bright blank frames were."""

    file: str = _key("beside this file", pattern=r"[\w-][\w.-]*")
    sha256: str = _key("of that file", pattern="[0-9a-f]{64}")
    brightness: float = _key("mean grey level of blank frames, from which drift is told", 1, 255)
    frames: int = _key("blank frames that it was made of", 1, 1_000_000)
    width_px: int = _key("of those frames", 1, 100_000)
    height_px: int = _key("", 1, 100_000)
    date: datetime = _key("when")  # noqa: RUF009 (a field)


@dataclass(frozen=True)
class Volume:
    """Section ``[volume]``: depth of the chamber, and how far the sample was diluted."""

    depth_um: float = _key("of the chamber", 0.1, 10_000)
    depth_uncertainty_um: float = _key("its standard uncertainty", 0, 10_000)
    dilution: float = _key("volume after dilution over volume of sample; 1: undiluted", 1, 1_000_000)
    date: datetime = _key("when")  # noqa: RUF009 (a field)


@dataclass(frozen=True)
class Limits:
    """Section ``[quality]``: what a frame may be like before the operator is told; see `edge.quality`."""

    min_focus: float = _key("share of fine detail in all edges, 0 to 1", 0, 1, default=0.25)
    min_brightness: float = _key("median grey level", 0, 255, default=50.0)
    max_brightness: float = _key("median grey level", 0, 255, default=230.0)
    max_brightness_drift: float = _key("relative, since the flat field", 0, 10, default=0.1)
    max_saturated_share: float = _key("pixels at 255", 0, 1, default=0.01)
    max_density_per_mm2: float = _key("cells, on the area of the frame", 0, 1e6, default=4000.0)
    max_border_share: float = _key("cells that the frame's edge cuts", 0, 1, default=0.5)
    max_touching_share: float = _key("cells that touch another one", 0, 1, default=0.5)
    max_dropped: int = _key("frames dropped before this one", 0, 1_000_000, default=0)
    max_late_ms: float = _key("wait between camera and counting", 0, 1e9, default=2000.0)


@dataclass(frozen=True)
class Profile:
    """A calibrated microscope and camera.

    Attributes
    ----------
    pixel, flat_field, volume : None for what was not calibrated
    quality : limits, those left out at their defaults
    """

    pixel: Pixel | None = None
    flat_field: FlatField | None = None
    volume: Volume | None = None
    quality: Limits = Limits()

    @property
    def sha256(self) -> str:
        """SHA-256 of what the profile says: comments, order and spelling of numbers do not matter."""
        said = json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True, default=_utc)
        return hashlib.sha256(said.encode()).hexdigest()


def _utc(date: datetime) -> str:
    return date.astimezone(UTC).isoformat()


_SECTIONS: Mapping[str, tuple[type[Any], str]] = {
    "pixel": (Pixel, "leuko calibrate pixel"),
    "flat_field": (FlatField, "leuko calibrate flatfield"),
    "volume": (Volume, "leuko calibrate volume"),
    "quality": (Limits, ""),
}
"""Name → its class, and the command that writes it anew."""


def default_path() -> Path:
    """Path of the profile that a command uses unless told otherwise."""
    return home() / "profile.toml"


def read_profile(path: Path) -> Profile:
    """Read a profile.

    Raises
    ------
    ProfileError
        With one line, if the file is missing, not TOML, of another version, or says anything that is not a
        key of its section, of another type, out of range or not finite.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ProfileError(f"{path}: no such profile; leuko calibrate pixel writes one") from error
    except OSError as error:
        raise ProfileError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ProfileError(f"{path}: not TOML (not UTF-8); correct it by hand") from error
    return _parse(text, path)


def write_profile(path: Path, profile: Profile) -> None:
    """Write a profile atomically; comments, order and layout of an existing one are kept.

    Raises
    ------
    ProfileError
        If the existing file, or what would be written, is not a profile.
    OSError
        If it cannot be written; the old one is then untouched.
    """
    if path.exists():
        read_profile(path)
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
    else:
        document = tomlkit.document()
        document.add(tomlkit.comment(_HEAD))
        document.add("version", tomlkit.item(VERSION))
    for name in _SECTIONS:
        section = getattr(profile, name)
        if section is None:
            document.pop(name, None)
        elif name not in document:
            document.add(tomlkit.nl())
            document.add(name, _table(section))
        else:
            _update(document[name], section)
    text = tomlkit.dumps(document)
    if _parse(text, path) != profile:
        raise ProfileError(f"{path}: its layout cannot be kept; move it away and calibrate anew")
    write_atomically(path, text.encode())


def _table(section: Any) -> Table:
    table = tomlkit.table()
    for declared in fields(section):
        value = tomlkit.item(getattr(section, declared.name))
        if declared.metadata["comment"]:
            value.comment(declared.metadata["comment"])
        table.add(declared.name, value)
    return table


def _update(table: Any, section: Any) -> None:
    """Set the keys that changed; a key left out may stay out while its value is the default."""
    for declared in fields(section):
        value = getattr(section, declared.name)
        if table.get(declared.name, declared.default) != value:
            table[declared.name] = value


def _parse(text: str, path: Path) -> Profile:
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ProfileError(f"{path}: not TOML ({error}); correct it by hand") from error
    if "version" not in raw:
        raise ProfileError(
            f"{path}: version: missing; if it is a profile, put version = {VERSION} at its beginning, else "
            "move it away and calibrate anew"
        )
    if raw["version"] != VERSION or isinstance(raw["version"], bool):
        raise ProfileError(
            f"{path}: version = {raw['version']!r}: this leuko reads version {VERSION}; "
            "move the file away and calibrate anew, or install the leuko that wrote it"
        )
    if odd := sorted(raw.keys() - _SECTIONS.keys() - {"version"}):
        raise ProfileError(
            f"{path}: {odd[0]}: no such section; known are {', '.join(_SECTIONS)}; remove or correct it"
        )
    return Profile(**{name: _section(name, raw[name], path) for name in _SECTIONS if name in raw})


def _section(name: str, raw: Any, path: Path) -> Any:
    kind, command = _SECTIONS[name]
    remedy = f"; correct it, or run {command}" if command else "; correct or remove it"
    if not isinstance(raw, dict):
        raise ProfileError(f"{path}: {name}: must be a section, [{name}]{remedy}")
    known = {declared.name: declared for declared in fields(kind)}
    if odd := sorted(raw.keys() - known.keys()):
        raise ProfileError(
            f"{path}: [{name}] {odd[0]}: no such key; known are {', '.join(known)}; correct or remove it"
        )
    types, values = get_type_hints(kind), {}
    for key, declared in known.items():
        if key not in raw:
            if isinstance(declared.default, (int, float)):
                continue
            raise ProfileError(f"{path}: [{name}] {key}: missing{remedy}")
        try:
            values[key] = _value(raw[key], types[key], declared.metadata)
        except ValueError as error:
            raise ProfileError(f"{path}: [{name}] {key} = {raw[key]!r}: {error}{remedy}") from error
    return kind(**values)


def _value(raw: Any, kind: type[Any], asked: Mapping[str, Any]) -> Any:
    """Check one value, and make a number of the declared type of it."""
    if kind is datetime:
        if not isinstance(raw, datetime) or raw.tzinfo is None:
            raise ValueError("must be a date and time with its offset, like 2026-01-31T09:30:00Z")
        return raw.astimezone(UTC)
    if kind is str:
        if not isinstance(raw, str) or not raw or not raw.isprintable():
            raise ValueError("must be a line of text")
        if asked["pattern"] and not re.fullmatch(asked["pattern"], raw):
            raise ValueError(f"must match {asked['pattern']}")
        return raw
    if isinstance(raw, bool) or not isinstance(raw, int | kind):
        raise ValueError(f"must be a {'whole number' if kind is int else 'number'}")
    if not asked["low"] <= raw <= asked["high"]:  # nor is NaN
        raise ValueError(f"must be {asked['low']:g} to {asked['high']:g}")
    return kind(raw)
