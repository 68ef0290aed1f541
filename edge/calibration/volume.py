"""Sample volume that one frame shows."""

from __future__ import annotations

import math

from edge.calibration.file import Calibration
from edge.count import MAX_RELATIVE, FieldVolume


class UnknownVolumeError(ValueError):
    """The volume of a field is not known; the message is a sentence that says why, for the report."""


def field_volume(calibration: Calibration) -> FieldVolume:
    """Return the volume that a frame of the calibrated size shows: depth times width times height.

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
    relative = math.hypot(
        2 * pixel.uncertainty_um / pixel.pixel_um, volume.depth_uncertainty_um / volume.depth_um
    )
    if relative > MAX_RELATIVE:
        raise UnknownVolumeError(
            f"no cells/µL: the volume of a field is uncertain by {relative:.0%} (leuko calibrate volume)"
        )
    return FieldVolume(area_um2 * volume.depth_um * 1e-9, relative, volume.dilution, volume.depth_um)
