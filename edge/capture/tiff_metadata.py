"""What the first directory of a TIFF says of its pages and of their scale, in the words of its writer."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

from edge.capture.page import ImageFileError
from edge.capture.tiff_file import Entry, Tiff, directory_at, entries_at, value_at
from edge.capture.tiff_pixels import PLANAR, SAMPLES, first

_DESCRIPTION, _ACROSS, _DOWN, _RESOLUTION_UNIT = 270, 282, 283, 296
_METAMORPH_FACTS, _METAMORPH_PLANES, _LSM = 33628, 33629, 34412
_IMAGEJ_COUNTS, _IMAGEJ, _MICRO_MANAGER = 50838, 50839, 51123
_MAX_TEXT = 1 << 24
_MAX_NAMES = 1 << 16


@dataclass(frozen=True)
class Metadata:
    """What the first directory of a TIFF says of its pages.

    Attributes
    ----------
    description : str
        The tag ImageDescription.
    labels : tuple of str
        ImageJ's name of each slice; empty if they have none.
    metamorph : int
        Planes that the tag UIC2 of MetaMorph declares; 0 without it.
    distances : tuple of tuple of int
        Their focal distances, as far as the file holds them.
    lsm : bytes
        The tag CZ_LSMINFO.
    lsm_channels : tuple of str
        Names of its channels.
    samples : int
        Samples of a pixel.
    separate : bool
        They are stored one after the other.
    resolution : tuple of (float, float, int) or None
        Pixels per unit across and down, and the tag ResolutionUnit.
    metamorph_pixel : tuple of (float, float, str)
        Sides of a pixel and their unit, by the tag UIC1 of MetaMorph; 0 without it.
    micro_manager : str
        The JSON of Micro-Manager.
    """

    description: str = ""
    labels: tuple[str, ...] = ()
    metamorph: int = 0
    distances: tuple[tuple[int, ...], ...] = ()
    lsm: bytes = b""
    lsm_channels: tuple[str, ...] = ()
    samples: int = 1
    separate: bool = False
    resolution: tuple[float, float, int] | None = None
    metamorph_pixel: tuple[float, float, str] = (0.0, 0.0, "")
    micro_manager: str = ""


def read_metadata(tiff: Tiff, directory: int) -> Metadata:
    """Return what the first directory says; what cannot be read of the scale and of names is left out."""
    if not directory:
        return Metadata()
    entries, _ = entries_at(tiff, directory)
    tags, _ = directory_at(tiff, directory)

    def value(tag: int, bytes_each: int = 1) -> bytes:
        entry = entries.get(tag, Entry(0, 0, 0))
        size = min(entry.values, _MAX_TEXT) * bytes_each
        place = value_at(tiff, entry, f"{size}s") if size else 0
        return tiff.read(place, min(size, max(tiff.size - place, 0)))

    metamorph, lsm = value(_METAMORPH_PLANES, 24), value(_LSM)
    sixes = struct.iter_unpack(f"{tiff.order}6I", metamorph[: len(metamorph) // 24 * 24])
    metadata = Metadata(
        description=_text(value(_DESCRIPTION)),
        labels=_labels(tiff.order, value(_IMAGEJ_COUNTS, 4), value(_IMAGEJ)),
        metamorph=entries[_METAMORPH_PLANES].values if _METAMORPH_PLANES in entries else 0,
        distances=tuple(numbers[:2] for numbers in sixes),
        lsm=lsm,
        samples=first(tags, SAMPLES, 1),
        separate=first(tags, PLANAR, 1) == 2,
        micro_manager=_text(value(_MICRO_MANAGER)),
    )
    with suppress(ImageFileError):
        metadata = replace(metadata, lsm_channels=_lsm_channels(tiff, lsm))
    with suppress(ImageFileError):
        metadata = replace(metadata, metamorph_pixel=_metamorph_pixel(tiff, value(_METAMORPH_FACTS, 8)))
    with suppress(ImageFileError):
        metadata = replace(metadata, resolution=_resolution(tiff, entries))
    return metadata


def _text(text: bytes) -> str:
    """Return a text of a TIFF up to its end; UTF-8, or Latin-1 as older programs write it."""
    text = text.partition(b"\0")[0]
    try:
        return text.decode().strip()
    except UnicodeDecodeError:
        return text.decode("latin-1").strip()


def _labels(order: str, counts: bytes, metadata: bytes) -> tuple[str, ...]:
    """Return the labels of the slices in ImageJ's own tags, 50838 (byte counts) and 50839 (metadata)."""
    sizes = [size for (size,) in struct.iter_unpack(f"{order}I", counts[: len(counts) // 4 * 4])]
    magic, label, encoding = (
        (b"IJIJ", b"labl", "utf-16-be") if order == ">" else (b"JIJI", b"lbal", "utf-16-le")
    )
    if not sizes or metadata[:4] != magic:
        return ()
    at, place, labels = sizes[0], 1, []
    header = metadata[4 : sizes[0]]
    for kind, number in struct.iter_unpack(f"{order}4sI", header[: len(header) // 8 * 8]):
        for size in sizes[place : place + number]:
            if kind == label:
                labels.append(metadata[at : at + size].decode(encoding, "replace").partition("\n")[0])
            at, place = at + size, place + 1
    return tuple(labels)


def _resolution(tiff: Tiff, entries: Mapping[int, Entry]) -> tuple[float, float, int] | None:
    """Return pixels per unit across and down, and the unit; None if one is missing."""
    across, down = (_ratio(tiff, entries.get(tag)) for tag in (_ACROSS, _DOWN))
    unit = entries.get(_RESOLUTION_UNIT)
    if not (across and down):
        return None
    if unit is None:
        return across, down, 2  # TIFF 6.0, section 8: inch by default
    return across, down, tiff.numbers("H", unit.place)[0] if unit.kind == 3 else 1


def _ratio(tiff: Tiff, entry: Entry | None) -> float:
    """Return the value of a tag of the type RATIONAL; 0 for any other."""
    if entry is None or entry.kind != 5 or entry.values != 1:
        return 0.0
    return _divided(*tiff.numbers("2I", value_at(tiff, entry, "2I")))


def _divided(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else 0.0


def _metamorph_pixel(tiff: Tiff, facts: bytes) -> tuple[float, float, str]:
    """Return the sides of a pixel and their unit from the tag UIC1: pairs of an id and a value or place."""
    values = dict(struct.iter_unpack(f"{tiff.order}2I", facts[: len(facts) // 8 * 8]))
    calibrated, across, down, unit = (values.get(key, 0) for key in (3, 4, 5, 6))
    if not (calibrated and across and down and unit):
        return 0.0, 0.0, ""
    length = min(tiff.numbers("I", unit)[0], _MAX_NAMES)
    sides = [_divided(*tiff.numbers("2I", place)) for place in (across, down)]
    return sides[0], sides[1], _text(tiff.read(unit + 4, length))


def _lsm_channels(tiff: Tiff, lsm: bytes) -> tuple[str, ...]:
    """Return the names of the channels of a Zeiss LSM file."""
    if len(lsm) < 112:
        return ()
    (at,) = struct.unpack_from("<I", lsm, 108)
    if not at:
        return ()
    size, _, count, _, names_at, _ = struct.unpack("<6I", tiff.read(at, 24))
    text = tiff.read(at + names_at, min(size - names_at, _MAX_NAMES)) if 24 <= names_at < size else b""
    names: list[str] = []
    while len(text) > 4 and len(names) < count:
        (length,) = struct.unpack_from("<I", text)
        names.append(_text(text[4 : 4 + length]))
        text = text[4 + length :]
    return tuple(names)
