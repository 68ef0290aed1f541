"""The size of a pixel in the specimen, as image files state it in their headers."""

from __future__ import annotations

import io
import math
import struct
from collections.abc import Mapping
from typing import BinaryIO

from edge.base import PIXELS_UM, StatedPixel

MICROSCOPE_UM = (PIXELS_UM[0], 2.0)
"""Range in which the resolution of a PNG, JPEG, BMP or plain TIFF is taken for a microscope's. What programs
write without knowing better is far outside: 300 dots per inch are 85 µm, a scanner's 4,800 are 5.3 µm."""

AGREES = 0.01
"""Largest relative difference of pixels that are the same, written with fewer digits."""

CONTRADICTS = 0.05
"""Relative difference from which two pixel sizes contradict each other. A nominal magnification and a
calibrated one differ by 1 to 3 %; a camera adapter, a tube lens, a binning mode or an objective changes
more."""

_INCH_UM, _CM_UM = 25_400.0, 10_000.0
_RESOLUTION_UNITS_UM = {2: _INCH_UM, 3: _CM_UM}
_UNITS_UM = dict.fromkeys(("µm", "um", "micron", "microns", "micrometer", "micrometers"), 1.0)
_UNITS_UM |= dict.fromkeys(("micrometre", "micrometres", "âµm", "µ", "\\u00b5m"), 1.0)
_UNITS_UM |= dict.fromkeys(("nm", "nanometer", "nanometers", "nanometre", "nanometres"), 1e-3)
_UNITS_UM |= dict.fromkeys(("mm", "millimeter", "millimeters", "millimetre", "millimetres"), 1e3)
_UNITS_UM |= dict.fromkeys(("cm", "centimeter", "centimeters", "centimetre", "centimetres"), _CM_UM)
_UNITS_UM |= dict.fromkeys(("inch", "inches", "in", '"'), _INCH_UM)
_UNITS_UM |= dict.fromkeys(("m", "meter", "meters", "metre", "metres"), 1e6)
_UNITS_UM |= {"dm": 1e5, "å": 1e-4, "angstrom": 1e-4, "pm": 1e-6, "thou": 25.4}


def unit_um(unit: str) -> float | None:
    """Return a unit of length in µm; None if it is none, such as ``pixel``."""
    return _UNITS_UM.get(unit.strip().lower().replace("\u03bc", "µ"))  # Greek mu for the micro sign


def stated_pixel(
    across_um: float | None,
    down_um: float | None,
    source: str,
    limits: tuple[float, float] = PIXELS_UM,
) -> StatedPixel | None:
    """Return a stated pixel; None without a size, or with one that no microscope has.

    A side that is None is like the other one.
    """
    across, down = across_um or down_um or 0.0, down_um or across_um or 0.0
    if not all(limits[0] <= side <= limits[1] for side in (across, down)):
        return None
    return StatedPixel(float(f"{across:.6g}"), float(f"{down:.6g}"), source)


def size_um(text: str | None, unit: str) -> float | None:
    """Return a length in µm; None if it cannot be one."""
    factor = unit_um(unit)
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value * factor if factor and math.isfinite(value) else None


def per_unit_um(density: float, unit_um: float | None) -> float | None:
    """Return the side of a pixel in µm of so many pixels per unit."""
    return unit_um / density if unit_um and density > 0 else None


def resolution_pixel(across: float, down: float, unit: int, source: str) -> StatedPixel | None:
    """Return the pixel by TIFF's resolution tags, 1 to 3 without a unit, per inch and per cm."""
    unit_um = _RESOLUTION_UNITS_UM.get(unit)
    sides = per_unit_um(across, unit_um), per_unit_um(down, unit_um)
    return stated_pixel(*sides, source, MICROSCOPE_UM)


def png_pixel(file: BinaryIO) -> StatedPixel | None:
    """Return the pixel by the chunk pHYs, in pixels per metre (PNG specification, 11.3.4.3)."""
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind == b"pHYs" and len(body := file.read(9)) == 9:
            across, down, unit = struct.unpack(">IIB", body)
            sides = per_unit_um(across, 1e6), per_unit_um(down, 1e6)
            return stated_pixel(*sides, "pHYs", MICROSCOPE_UM) if unit == 1 else None
        file.seek(length + 4, io.SEEK_CUR)
    return None


def jpeg_pixel(file: BinaryIO) -> StatedPixel | None:
    """Return the pixel by the density in the JFIF segment (ITU-T T.871, 10.1)."""
    file.seek(2)
    head = file.read(18)
    if len(head) < 18 or head[:2] != b"\xff\xe0" or head[4:9] != b"JFIF\0":
        return None
    unit, across, down = struct.unpack_from(">BHH", head, 11)
    return resolution_pixel(across, down, unit + 1, "JPEG density")


def bmp_pixel(file: BinaryIO) -> StatedPixel | None:
    """Return the pixel by the bitmap header's pixels per metre."""
    file.seek(14)
    head = file.read(40)
    if len(head) < 40 or struct.unpack_from("<I", head)[0] < 40:
        return None
    across, down = struct.unpack_from("<ii", head, 24)
    return stated_pixel(per_unit_um(across, 1e6), per_unit_um(down, 1e6), "BMP resolution", MICROSCOPE_UM)


def agreed_pixel(stated: Mapping[StatedPixel | None, int]) -> StatedPixel | None:
    """Return the square pixel that most files state, if all agree; None if they do not."""
    sizes = [pixel.um for pixel in stated if pixel and pixel.square]
    if not sizes or len(sizes) < len(stated) or max(sizes) > min(sizes) * (1 + AGREES):
        return None
    return max(stated, key=lambda pixel: stated[pixel])


def contradiction(
    stated: Mapping[StatedPixel | None, int], pixel_um: float, pixel_from: str, remedy: str = ""
) -> str:
    """Return what files state that contradicts the pixel size that is used, with both; empty if nothing does.

    Parameters
    ----------
    stated : mapping
        What files state → their number.
    pixel_from : str
        Where the pixel size that is used is from.
    remedy : str
        What to do; by default to choose the pixel size of a count.
    """
    others = {pixel: n for pixel, n in stated.items() if pixel and _contradicts(pixel, pixel_um)}
    if not others:
        return ""
    total, ranked = sum(stated.values()), sorted(others, key=lambda pixel: -others[pixel])
    listed = "; ".join(f"{pixel} in {others[pixel]:,} of {total:,}" for pixel in ranked[:3])
    more = "; and others" if len(ranked) > 3 else ""
    remedy = remedy or (
        "an image with pixels that are not square must be rescaled first"
        if not ranked[0].square
        else f"if the files are right, pass --pixel-um {ranked[0].um:g}"
        if len(stated) == 1
        else "count the images of each magnification by themselves, with their --pixel-um"
    )
    return (
        f"the images state another pixel than the {pixel_um:.4g} µm that is used ({pixel_from}): "
        f"{listed}{more}; {remedy}"
    )


def _contradicts(pixel: StatedPixel, pixel_um: float) -> bool:
    return not pixel.square or max(pixel.um / pixel_um, pixel_um / pixel.um) > 1 + CONTRADICTS
