"""The size of a pixel in the specimen, as a TIFF states it."""

from __future__ import annotations

import re
import struct

from edge.base import StatedPixel
from edge.capture.ome_xml import is_ome
from edge.capture.stated_pixel import per_unit_um, resolution_pixel, size_um, stated_pixel, unit_um
from edge.capture.tiff_metadata import Metadata

_NUMBER = r"([0-9]+(?:[.,][0-9]+)?(?:[eE][+-]?[0-9]+)?)"
_MICRO_MANAGER = re.compile(rf'"PixelSize(?:Um|_um)"\s*:\s*"?{_NUMBER}')
_APERIO = re.compile(rf"\|\s*MPP\s*=\s*{_NUMBER}")
_METASERIES = r'<prop id="spatial-calibration-{}"[^<>]* value="([^"<]*)"'


def tiff_pixel(metadata: Metadata) -> StatedPixel | None:
    """Return the pixel of the first image, by its metadata or else by its resolution tags.

    The sizes of OME-XML are those of `read_ome`.
    """
    pixel = _lsm(metadata.lsm) or _metamorph(metadata) or _described(metadata)
    if pixel or is_ome(metadata.description) or metadata.resolution is None:
        return pixel
    return resolution_pixel(*metadata.resolution, "resolution tags")


def _lsm(info: bytes) -> StatedPixel | None:
    if len(info) < 56:
        return None
    across, down = struct.unpack_from("<2d", info, 40)
    return stated_pixel(across * 1e6, down * 1e6, "LSM")


def _metamorph(metadata: Metadata) -> StatedPixel | None:
    across, down, unit = metadata.metamorph_pixel
    return stated_pixel(size_um(str(across), unit), size_um(str(down), unit), "MetaMorph")


def _described(metadata: Metadata) -> StatedPixel | None:
    text = metadata.description
    if text.startswith("ImageJ="):
        return _imagej(metadata)
    if "<MetaData>" in text:
        across, down, unit = (_property(text, name) for name in ("x", "y", "units"))
        if _property(text, "state") not in ("off", "0", "false"):
            return stated_pixel(size_um(across, unit), size_um(down, unit), "MetaMorph")
    for pattern, words, source in (
        (_MICRO_MANAGER, metadata.micro_manager, "Micro-Manager"),
        (_APERIO, text if text.startswith("Aperio") else "", "Aperio"),
    ):
        if found := pattern.search(words):
            return stated_pixel(size_um(found[1], "µm"), None, source)
    return None


def _imagej(metadata: Metadata) -> StatedPixel | None:
    """Return the pixel by ImageJ's unit; the resolution tags hold pixels per unit."""
    values = dict(line.split("=", 1) for line in metadata.description.splitlines() if "=" in line)
    unit = values.get("unit", "")
    if metadata.resolution is None:
        return None
    across, down, _ = metadata.resolution
    sides = per_unit_um(across, unit_um(unit)), per_unit_um(down, unit_um(values.get("yunit", unit)))
    return stated_pixel(*sides, "ImageJ")


def _property(text: str, name: str) -> str:
    found = re.search(_METASERIES.format(name), text)
    return found[1] if found else ""
