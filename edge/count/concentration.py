"""Cells in a microlitre, from how many were counted in a known volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.count.intervals import Estimate

CONCENTRATION_METHOD = "exact Poisson counting and the volume's log-normal uncertainty, melded 95 % interval"

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


def estimate_concentration(count: int, fields: int, volume: FieldVolume) -> Estimate:
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
