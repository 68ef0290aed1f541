"""How a microscope and its camera were calibrated: ``calibration.toml``, version 1.

A section says what one calibration found, when, and in which units; a person may comment and edit the file.
It is read strictly, since a misspelt limit or a swapped unit would go into every result.
"""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_type_hints

import tomlkit
from tomlkit.items import Table

from edge.base import PIXELS_UM, home, key, write_atomically
from edge.find import QualityLimits

VERSION = 1
_HEAD = "How this microscope and its camera were calibrated. Your own comments stay when leuko writes here."


class CalibrationFileError(ValueError):
    """A calibration that cannot be meant; the message is one line: file, key, why, and what to do."""


@dataclass(frozen=True)
class PixelCalibration:
    """Section ``[pixel]``: side of a pixel in the specimen, and the frame size for which it holds."""

    pixel_um: float = key("side of a pixel in the specimen", *PIXELS_UM)
    uncertainty_um: float = key("its standard uncertainty", 0, 1)
    width_px: int = key("frames of another size have another pixel", 1, 100_000)
    height_px: int = key("", 1, 100_000)
    method: str = key("how it was measured")
    date: datetime = key("when")  # noqa: RUF009 (a field)


@dataclass(frozen=True)
class FlatFieldCalibration:
    """Section ``[flat_field]``: the file with the illumination, and how bright blank frames were."""

    file: str = key("beside this file", pattern=r"[\w-][\w.-]*")
    sha256: str = key("of that file", pattern="[0-9a-f]{64}")
    brightness: float = key("mean grey level of blank frames, from which drift is told", 1, 255)
    frames: int = key("blank frames that it was made of", 1, 1_000_000)
    width_px: int = key("of those frames", 1, 100_000)
    height_px: int = key("", 1, 100_000)
    date: datetime = key("when")  # noqa: RUF009 (a field)


@dataclass(frozen=True)
class VolumeCalibration:
    """Section ``[volume]``: depth of the chamber, and how far the sample was diluted."""

    depth_um: float = key("of the chamber", 0.1, 10_000)
    depth_uncertainty_um: float = key("its standard uncertainty", 0, 10_000)
    dilution: float = key("volume after dilution over volume of sample; 1: undiluted", 1, 1_000_000)
    date: datetime = key("when")  # noqa: RUF009 (a field)


@dataclass(frozen=True)
class Calibration:
    """A calibrated microscope and camera.

    Attributes
    ----------
    pixel, flat_field, volume : None for what was not calibrated
    quality : limits, those left out at their defaults
    """

    pixel: PixelCalibration | None = None
    flat_field: FlatFieldCalibration | None = None
    volume: VolumeCalibration | None = None
    quality: QualityLimits = QualityLimits()

    @property
    def sha256(self) -> str:
        """SHA-256 of what the calibration says: comments, order and spelling of numbers do not matter."""
        said = json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True, default=_utc)
        return hashlib.sha256(said.encode()).hexdigest()


def _utc(date: datetime) -> str:
    return date.astimezone(UTC).isoformat()


_SECTIONS: Mapping[str, tuple[type[Any], str]] = {
    "pixel": (PixelCalibration, "leuko calibrate pixel"),
    "flat_field": (FlatFieldCalibration, "leuko calibrate flatfield"),
    "volume": (VolumeCalibration, "leuko calibrate volume"),
    "quality": (QualityLimits, ""),
}
"""Name → its class, and the command that writes it anew."""


def default_calibration_path() -> Path:
    """Path of the calibration that a command uses unless told otherwise."""
    path = home() / "calibration.toml"
    earlier = path.with_name("profile.toml")  # what releases before 2 called it
    return earlier if earlier.exists() and not path.exists() else path


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises
    ------
    ProfileError
        With one line, if the file is missing, not TOML, of another version, or says anything that is not a
        key of its section, of another type, out of range or not finite.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CalibrationFileError(
            f"{path}: no such calibration; leuko calibrate pixel writes one"
        ) from error
    except OSError as error:
        raise CalibrationFileError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise CalibrationFileError(f"{path}: not TOML (not UTF-8); correct it by hand") from error
    return _parse(text, path)


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration atomically; comments, order and layout of an existing one are kept.

    Raises
    ------
    ProfileError
        If the existing file, or what would be written, is not a calibration.
    OSError
        If it cannot be written; the old one is then untouched.
    """
    if path.exists():
        read_calibration(path)
        document = tomlkit.parse(path.read_text(encoding="utf-8"))
    else:
        document = tomlkit.document()
        document.add(tomlkit.comment(_HEAD))
        document.add("version", tomlkit.item(VERSION))
    for name in _SECTIONS:
        section = getattr(calibration, name)
        if section is None:
            document.pop(name, None)
        elif name not in document:
            document.add(tomlkit.nl())
            document.add(name, _table(section))
        else:
            _update(document[name], section)
    text = tomlkit.dumps(document)
    if _parse(text, path) != calibration:
        raise CalibrationFileError(f"{path}: its layout cannot be kept; move it away and calibrate anew")
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


def _parse(text: str, path: Path) -> Calibration:
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CalibrationFileError(f"{path}: not TOML ({error}); correct it by hand") from error
    if "version" not in raw:
        raise CalibrationFileError(
            f"{path}: version: missing; if it is a calibration, put version = {VERSION} at its beginning, else "
            "move it away and calibrate anew"
        )
    if raw["version"] != VERSION or isinstance(raw["version"], bool):
        raise CalibrationFileError(
            f"{path}: version = {raw['version']!r}: this leuko reads version {VERSION}; "
            "move the file away and calibrate anew, or install the leuko that wrote it"
        )
    if odd := sorted(raw.keys() - _SECTIONS.keys() - {"version"}):
        raise CalibrationFileError(
            f"{path}: {odd[0]}: no such section; known are {', '.join(_SECTIONS)}; remove or correct it"
        )
    return Calibration(**{name: _section(name, raw[name], path) for name in _SECTIONS if name in raw})


def _section(name: str, raw: Any, path: Path) -> Any:
    kind, command = _SECTIONS[name]
    remedy = f"; correct it, or run {command}" if command else "; correct or remove it"
    if not isinstance(raw, dict):
        raise CalibrationFileError(f"{path}: {name}: must be a section, [{name}]{remedy}")
    known = {declared.name: declared for declared in fields(kind)}
    if odd := sorted(raw.keys() - known.keys()):
        raise CalibrationFileError(
            f"{path}: [{name}] {odd[0]}: no such key; known are {', '.join(known)}; correct or remove it"
        )
    types, values = get_type_hints(kind), {}
    for key_name, declared in known.items():
        if key_name not in raw:
            if isinstance(declared.default, (int, float)):
                continue
            raise CalibrationFileError(f"{path}: [{name}] {key_name}: missing{remedy}")
        try:
            values[key_name] = _value(raw[key_name], types[key_name], declared.metadata)
        except ValueError as error:
            raise CalibrationFileError(
                f"{path}: [{name}] {key_name} = {raw[key_name]!r}: {error}{remedy}"
            ) from error
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
