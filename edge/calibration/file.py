"""The calibration of a microscope and its camera: ``calibration.toml``, version 1.

Each section holds the result of one calibration; a person may comment and edit the file. It is read strictly,
since a misspelt limit or a swapped unit would spoil every result.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import tomlkit
from tomlkit.items import Table

from edge.base import (
    PIXELS_UM,
    SchemaError,
    declare,
    home,
    keys,
    parse_toml,
    read,
    read_input,
    shown,
    toml_remedy,
    write_atomically,
)
from edge.find import QualityLimits

VERSION = 1

DEPTHS_UM = (2, 10_000)
"""Depths of a chamber: no leukocyte fits into a shallower one, and a depth of 0.1 is one in mm."""

Uncertainty = float | Literal["exact"]
"""A standard uncertainty, or that the value is taken as exact."""

_MOST_BYTES = 256 << 10
_HEAD = "Calibration of this microscope and its camera. Your own comments stay when leuko writes here."


class CalibrationFileError(ValueError):
    """A calibration that cannot be used; the message is one line: file, key, why, and what to do."""


@dataclass(frozen=True)
class PixelCalibration:
    """Section ``[pixel]``: pixel size, and the frame size for which it holds."""

    pixel_um: float = declare("side of a pixel in the specimen", *PIXELS_UM, unit="µm")
    uncertainty_um: float = declare("its standard uncertainty", 0, 1, unit="µm")
    width_px: int = declare("frame width; frames of another size have another pixel", 1, 100_000, unit="px")
    height_px: int = declare("frame height", 1, 100_000, unit="px")
    method: str = declare("how it was measured")
    date: datetime = declare("when it was measured")
    camera: str = declare("camera that took the frames; a count of another one remarks it", default="")
    pitch_uncertainty: Uncertainty | None = declare(
        'relative standard uncertainty of the pitch, part of uncertainty_um; or "exact"', 0, 1, default=None
    )


@dataclass(frozen=True)
class FlatFieldCalibration:
    """Section ``[flat_field]``: the file with the illumination, and the brightness of blank frames."""

    file: str = declare("file beside this one", pattern=r"[\w-][\w.-]*", form="a plain file name")
    sha256: str = declare("SHA-256 of that file", pattern="[0-9a-f]{64}", form="64 hexadecimal digits")
    brightness: float = declare("mean grey level of blank frames, the reference for drift", 1, 255)
    frames: int = declare("blank frames it was made from", 1, 1_000_000)
    width_px: int = declare("width of those frames", 1, 100_000, unit="px")
    height_px: int = declare("height of those frames", 1, 100_000, unit="px")
    date: datetime = declare("when it was measured")
    camera: str = declare("camera that took the blank frames", default="")
    tuning: str = declare("libcamera's tuning of that camera: its file and its hash", default="")


@dataclass(frozen=True)
class VolumeCalibration:
    """Section ``[volume]``: depth of the chamber, and dilution of the sample."""

    depth_um: float = declare("depth of the chamber", *DEPTHS_UM, unit="µm")
    depth_uncertainty_um: Uncertainty = declare('its standard uncertainty, or "exact"', 0, 10_000, unit="µm")
    dilution: float = declare("volume after dilution per volume of sample; 1: undiluted", 1, 1_000_000)
    date: datetime = declare("when it was entered")
    dilution_uncertainty: Uncertainty | None = declare(
        'standard uncertainty of the dilution, or "exact"', 0, 1_000_000, default=None
    )


@dataclass(frozen=True)
class Calibration:
    """A calibrated microscope and camera; a section is None until it is calibrated."""

    pixel: PixelCalibration | None = None
    flat_field: FlatFieldCalibration | None = None
    volume: VolumeCalibration | None = None
    quality: QualityLimits = field(default_factory=QualityLimits)

    @property
    def sha256(self) -> str:
        """SHA-256 of the values; comments, order and spelling of numbers do not matter."""
        stated = asdict(self, dict_factory=_stated)
        values = json.dumps({"version": VERSION, **stated}, sort_keys=True, default=_utc)
        return hashlib.sha256(values.encode()).hexdigest()

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras that it was made with, as far as they were given."""
        sections = (self.pixel, self.flat_field)
        return tuple(dict.fromkeys(section.camera for section in sections if section and section.camera))

    def size_px(self, *, calibrated_pixel: bool) -> tuple[int, int] | None:
        """Return the width and height that a frame must have; None if any will do.

        A calibrated pixel size is for frames of one size, and so is a flat field.

        Raises
        ------
        ValueError
            If these differ.
        """
        pixel = self.pixel if calibrated_pixel else None
        if pixel and self.flat_field and (different := self.different_sizes()):
            raise ValueError(different)
        sized = pixel or self.flat_field
        return None if sized is None else (sized.width_px, sized.height_px)

    def different_sizes(self) -> str:
        """Return that pixel and flat field are for frames of different sizes; empty if they are not."""
        pixel, flat = self.pixel, self.flat_field
        if not (pixel and flat) or (pixel.width_px, pixel.height_px) == (flat.width_px, flat.height_px):
            return ""
        return (
            f"the calibration's pixel is for frames of {pixel.width_px} x {pixel.height_px} px, and its flat "
            f"field for {flat.width_px} x {flat.height_px}: measure both on frames of one size (leuko "
            "calibrate pixel, leuko calibrate flatfield)"
        )


def _stated(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the keys that are not blank: an absent camera or uncertainty does not change the hash."""
    absent = ("pitch_uncertainty", "dilution_uncertainty")
    return {name: value for name, value in pairs if value != "" and not (value is None and name in absent)}


def _utc(date: datetime) -> str:
    return date.astimezone(UTC).isoformat()


_COMMANDS = {
    "pixel": "leuko calibrate pixel",
    "flat_field": "leuko calibrate flatfield",
    "volume": "leuko calibrate volume",
}
"""Section → the command that writes it again."""


def default_calibration_path() -> Path:
    """Return the path of the calibration that commands use by default."""
    path = home() / "calibration.toml"
    earlier = path.with_name("profile.toml")  # its name in the last release
    return earlier if earlier.exists() and not path.exists() else path


def read_calibration(path: Path) -> Calibration:
    """Read a calibration.

    Raises
    ------
    CalibrationFileError
        If the file is missing, not TOML, of another version, or `edge.base.schema.read` refuses it.
    """
    return _parse(_text(path), path)


def _text(path: Path) -> str:
    try:
        # with the byte order mark of Windows editors, or without, and with their line ends
        return read_input(path, _MOST_BYTES).decode("utf-8-sig").replace("\r\n", "\n")
    except FileNotFoundError as error:
        raise CalibrationFileError(
            f"{path}: no such calibration; leuko calibrate pixel writes one"
        ) from error
    except OSError as error:
        raise CalibrationFileError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise CalibrationFileError(f"{path}: not TOML (not UTF-8); correct it by hand") from error


def write_calibration(path: Path, calibration: Calibration) -> None:
    """Write a calibration atomically; comments, order and layout of an existing file are kept.

    Raises
    ------
    CalibrationFileError
        If the existing file is not a calibration.
    OSError
        If the file cannot be written; the old one is then untouched.
    """
    if path.exists():
        text = _text(path)
        _parse(text, path)
        document = tomlkit.parse(text)
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
        if getattr(section, key.name) in ("", None):
            continue
        value = tomlkit.item(getattr(section, key.name))
        if key.description:
            value.comment(key.description)
        table.add(key.name, value)
    return table


def _update(table: Any, section: Any) -> None:
    """Set the keys that changed; a key left out stays out while its value is the default."""
    for key in keys(type(section)):
        value = getattr(section, key.name)
        if value is None:
            table.pop(key.name, None)
        elif table.get(key.name, key.default) != value:
            table[key.name] = value


def _parse(text: str, path: Path) -> Calibration:
    try:
        raw = parse_toml(text)
    except (ValueError, RecursionError) as error:
        raise CalibrationFileError(f"{path}: not TOML ({error}); {toml_remedy(text, error)}") from error
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
