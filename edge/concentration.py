"""Cells in a microlitre, from how many were counted in a known volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.count import Estimate
from edge.profile import Profile
from edge.segment import Cell

METHOD = "exact Poisson counting and the volume's log-normal uncertainty, melded 95 % interval"

DRAWS = 200_000
"""Monte Carlo draws for each end of an interval; they settle it to a hundredth of its half-width."""

_TAIL = 0.025
_SEED = 20240601

MAX_RELATIVE = 0.5
"""Largest relative uncertainty of a volume that still says something."""


@dataclass(frozen=True)
class FieldVolume:
    """Sample volume that one frame shows.

    Attributes
    ----------
    field_ul : of the sample as it lies in the chamber, in µL
    relative_uncertainty : standard uncertainty, relative
    dilution : volume after dilution over volume of sample
    """

    field_ul: float
    relative_uncertainty: float
    dilution: float


def field_volume(
    profile: Profile, width_px: int, height_px: int, *, separate: bool = True
) -> FieldVolume | str:
    """Volume that a frame of a size shows: depth times width times height.

    Parameters
    ----------
    separate : no two frames show the same place, and nothing flows

    Returns
    -------
    FieldVolume, or a sentence that says why it is not known
    """
    pixel, volume = profile.pixel, profile.volume
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


def concentration(count: int, fields: int, volume: FieldVolume) -> Estimate:
    """Cells in a µL of the undiluted sample, with their 95 % interval.

    The interval is melded (Fay, Proschan and Brittain, Biometrics 71:146, 2015): its ends are the quantiles
    of the quotient of a gamma variable, whose own quantile is that end of the exact Poisson interval
    (Garwood, Biometrika 28:437, 1936), and a log-normal volume. All fields share one error of the volume, so
    that counting more of them does not lessen it.

    Parameters
    ----------
    count : cells whose middle lies in a field (`in_field`); counting all that an edge cuts would be too many
    fields : separate ones: of overlapping ones the volume is not known
    volume : of one field

    Raises
    ------
    ValueError
        If the count is negative or there is no field.
    """
    if count < 0 or fields < 1:
        raise ValueError(f"{count} cells in {fields} fields is no count")
    scale = volume.dilution / (fields * volume.field_ul)
    rng = np.random.default_rng(_SEED)

    def end(shape: int, p: float) -> float:
        volumes = rng.lognormal(0.0, volume.relative_uncertainty, DRAWS)
        return float(np.quantile(rng.standard_gamma(shape, DRAWS) / volumes, p))

    return Estimate(count * scale, end(count, _TAIL) * scale, end(count + 1, 1 - _TAIL) * scale)


def in_field(cells: Sequence[Cell], width_px: int, height_px: int) -> NDArray[np.bool_]:
    """Tell which cells have their middle in the frame, bool [n].

    As many cells have their middle in a field as its area holds; those that only reach into it come on
    top, up to 7 % at 40 times magnification. The middle of a round cell that an edge cuts lies within if at
    least half of its width shows: if what shows is at least half as deep as it is long.
    """
    inside = []
    for cell in cells:
        cut_across = cell.x == 0 or cell.x + cell.width == width_px
        cut_down = cell.y == 0 or cell.y + cell.height == height_px
        inside.append(
            not (cut_across and 2 * cell.width < cell.height)
            and not (cut_down and 2 * cell.height < cell.width)
        )
    return np.array(inside, bool)
