"""How a microscope and its camera were calibrated: ``calibration.toml``, version 1.

A section says what one calibration found, when, and in which units; a person may comment and edit the file.
It is read strictly, since a misspelt limit or a swapped unit would go into every result.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.items import Table

from edge.base import PIXELS_UM, SchemaError, declare, home, keys, read, shown, write_atomically
from edge.find import QualityLimits

VERSION = 1
_HEAD = "How this microscope and its camera were calibrated. Your own comments stay when leuko writes here."


class CalibrationFileError(ValueError):
    """A calibration that cannot be meant; the message is one line: file, key, why, and what to do."""


@dataclass(frozen=True)
class PixelCalibration:
    """Section ``[pixel]``: side of a pixel in the specimen, and the frame size for which it holds."""

    pixel_um: float = declare("side of a pixel in the specimen", *PIXELS_UM)
    uncertainty_um: float = declare("its standard uncertainty", 0, 1)
    width_px: int = declare("frames of another size have another pixel", 1, 100_000)
    height_px: int = declare("", 1, 100_000)
    method: str = declare("how it was measured")
    date: datetime = declare("when")


@dataclass(frozen=True)
class FlatFieldCalibration:
    """Section ``[flat_field]``: the file with the illumination, and how bright blank frames were."""

    file: str = declare("beside this file", pattern=r"[\w-][\w.-]*")
    sha256: str = declare("of that file", pattern="[0-9a-f]{64}")
    brightness: float = declare("mean grey level of blank frames, from which drift is told", 1, 255)
    frames: int = declare("blank frames that it was made of", 1, 1_000_000)
    width_px: int = declare("of those frames", 1, 100_000)
    height_px: int = declare("", 1, 100_000)
    date: datetime = declare("when")


@dataclass(frozen=True)
class VolumeCalibration:
    """Section ``[volume]``: depth of the chamber, and how far the sample was diluted."""

    depth_um: float = declare("of the chamber", 0.1, 10_000)
    depth_uncertainty_um: float = declare("its standard uncertainty", 0, 10_000)
    dilution: float = declare("volume after dilution over volume of sample; 1: undiluted", 1, 1_000_000)
    date: datetime = declare("when")


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
    quality: QualityLimits = field(default_factory=QualityLimits)

    @property
    def sha256(self) -> str:
        """SHA-256 of what the calibration says: comments, order and spelling of numbers do not matter."""
        said = json.dumps({"version": VERSION, **asdict(self)}, sort_keys=True, default=_utc)
        return hashlib.sha256(said.encode()).hexdigest()


def _utc(date: datetime) -> str:
    return date.astimezone(UTC).isoformat()


_COMMANDS = {
    "pixel": "leuko calibrate pixel",
    "flat_field": "leuko calibrate flatfield",
    "volume": "leuko calibrate volume",
}
"""Section → the command that writes it again."""


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
    for name in (key.name for key in keys(Calibration)):
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
        raise CalibrationFileError(f"{path}: its layout cannot be kept; move it away and calibrate again")
    write_atomically(path, text.encode())


def _table(section: Any) -> Table:
    table = tomlkit.table()
    for key in keys(type(section)):
        value = tomlkit.item(getattr(section, key.name))
        if key.description:
            value.comment(key.description)
        table.add(key.name, value)
    return table


def _update(table: Any, section: Any) -> None:
    """Set the keys that changed; a key left out stays out while its value is the default."""
    for key in keys(type(section)):
        value = getattr(section, key.name)
        if table.get(key.name, key.default) != value:
            table[key.name] = value


def _parse(text: str, path: Path) -> Calibration:
    try:
        raw = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise CalibrationFileError(f"{path}: not TOML ({error}); correct it by hand") from error
    if "version" not in raw:
        raise CalibrationFileError(
            f"{path}: version is missing; if it is a calibration, put version = {VERSION} at its beginning, "
            "else move it away and calibrate again"
        )
    version = raw.pop("version")
    if version != VERSION or isinstance(version, bool):
        raise CalibrationFileError(
            f"{path}: version is {shown(version)}; this leuko reads version {VERSION}: "
            "move the file away and calibrate again, or install the leuko that wrote it"
        )
    try:
        return read(Calibration, raw)
    except SchemaError as error:
        command = _COMMANDS.get(str(error.problems[0].path[0]))
        remedy = f"correct it, or run {command}" if command else "correct or remove it"
        raise CalibrationFileError(f"{path}: {error}; {remedy}") from error
