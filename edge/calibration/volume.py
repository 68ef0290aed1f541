"""Sample volume that one frame shows."""

from __future__ import annotations

import math

from edge.calibration.file import Calibration, Uncertainty
from edge.count import MAX_RELATIVE, FieldVolume


class UnknownVolumeError(ValueError):
    """The volume of a field is not known; the message is a sentence that says why, for the report."""


def field_volume(calibration: Calibration) -> FieldVolume:
    """Return the volume that a frame of the calibrated size shows: depth times width times height.

    Its relative uncertainty is the root of the sum of the squares of those of area, depth and dilution (JCGM
    100:2008, 5.1.2). Earlier files state none of pitch and dilution, which are then taken as exact.

    Raises
    ------
    UnknownVolumeError
        If pixel size or depth was not calibrated, or the volume is too uncertain.
    """
    pixel, volume = calibration.pixel, calibration.volume
    if pixel is None:
        raise UnknownVolumeError("no cells/µL: the pixel size was not measured (leuko calibrate pixel)")
    if volume is None:
        raise UnknownVolumeError("no cells/µL: the chamber's depth is not known (leuko calibrate volume)")
    area_um2 = pixel.width_px * pixel.height_px * pixel.pixel_um**2
    depth, dilution = volume.depth_uncertainty_um, volume.dilution_uncertainty
    undiluted = volume.dilution == 1 and dilution is None  # nothing was measured out
    stated = {"depth": depth, "pitch": pixel.pitch_uncertainty, "dilution": dilution}
    exact = tuple(
        name
        for name, uncertainty in stated.items()
        if uncertainty in (0, "exact", None) and not (undiluted and name == "dilution")
    )
    relative = math.hypot(
        2 * pixel.uncertainty_um / pixel.pixel_um,  # the pitch's is part of it
        _number(depth) / volume.depth_um,
        _number(dilution) / volume.dilution,
    )
    if relative > MAX_RELATIVE:
        raise UnknownVolumeError(
            f"no cells/µL: the volume of a field is uncertain by {relative:.0%} (leuko calibrate volume)"
        )
    return FieldVolume(area_um2 * volume.depth_um * 1e-9, relative, volume.dilution, volume.depth_um, exact)


def _number(uncertainty: Uncertainty | None) -> float:
    """Return an uncertainty, 0 of what is taken as exact."""
    return 0.0 if uncertainty in ("exact", None) else float(uncertainty)
