"""Sample volume that one frame shows."""

from __future__ import annotations

import math

from edge.calibration.file import Calibration
from edge.count import MAX_RELATIVE, FieldVolume


def field_volume(
    calibration: Calibration, width_px: int, height_px: int, *, separate: bool = True
) -> FieldVolume | str:
    """Volume that a frame of a size shows: depth times width times height.

    Parameters
    ----------
    separate : no two frames show the same place, and nothing flows

    Returns
    -------
    FieldVolume, or a sentence that says why it is not known
    """
    pixel, volume = calibration.pixel, calibration.volume
    if not separate:
        return "no cells/µL: frames that overlap or show a flow do not say how much sample they show"
    if pixel is None:
        return "no cells/µL: the pixel size was not measured (leuko calibrate pixel)"
    if volume is None:
        return "no cells/µL: the chamber's depth is not known (leuko calibrate volume)"
    if (width_px, height_px) != (pixel.width_px, pixel.height_px):
        return (
            f"no cells/µL: the frames have {width_px}×{height_px} px, and the pixel size was measured on "
            f"{pixel.width_px}×{pixel.height_px} (leuko calibrate pixel)"
        )
    area_um2 = width_px * height_px * pixel.pixel_um**2
    relative = math.hypot(
        2 * pixel.uncertainty_um / pixel.pixel_um, volume.depth_uncertainty_um / volume.depth_um
    )
    if relative > MAX_RELATIVE:
        return f"no cells/µL: the volume of a field is uncertain by {relative:.0%} (leuko calibrate volume)"
    return FieldVolume(area_um2 * volume.depth_um * 1e-9, relative, volume.dilution)
