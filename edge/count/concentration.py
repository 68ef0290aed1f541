"""Cells per microlitre, from a count in a known volume."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.count.intervals import TAIL, Estimate

CONCENTRATION_METHOD = (
    "exact Poisson counting (of effective numbers where fields differ), and the volume's log-normal"
    " uncertainty, melded 95 % interval"
)

DRAWS = 200_000
"""Monte Carlo draws for each end of an interval; they settle it to a hundredth of its half-width."""

_SEED = 20240601

MAX_RELATIVE = 0.5
"""Largest relative uncertainty of a volume for which concentrations are stated."""


@dataclass(frozen=True)
class FieldVolume:
    """Sample volume that a frame shows, dilution factor and depth.

    Attributes
    ----------
    relative_uncertainty : float
        Relative standard uncertainty of the volume of undiluted sample.
    exact : tuple of str
        Which of depth, pitch and dilution were taken as exact.
    """

    field_ul: float
    relative_uncertainty: float
    dilution: float
    depth_um: float
    exact: tuple[str, ...] = ()


def estimate_concentration(
    count: int, fields: float, volume: FieldVolume, *, dispersion: float = 1.0, draws: int = DRAWS
) -> Estimate:
    """Return the cells per µL of the undiluted sample, with their 95 % interval.

    The interval is melded (Fay, Proschan and Brittain, Biometrics 71:146, 2015): its ends are quantiles of
    the quotient of a gamma variable, whose own quantile is that end of the exact Poisson interval (Garwood,
    Biometrika 28:437, 1936), and a log-normal volume. All fields share one error of the volume, so that
    counting more of them does not reduce it.

    Parameters
    ----------
    count : int
        Cells whose middle lies in a field, see `in_field`; all cells that an edge cuts would be too many.
    fields : float
        Number of fields that do not overlap, less what of them was hidden.
    dispersion : float
        Variance of the count, relative to that of cells that lie at random (`edge.count.dispersion`):
        quasi-Poisson.
    draws : int
        For each end.

    Raises
    ------
    ValueError
        If the count is negative or there is no field.
    """
    if count < 0 or not fields > 0:
        raise ValueError(f"{count} cells in {fields} fields is not a count")
    scale = volume.dilution / (fields * volume.field_ul)
    rng = np.random.default_rng(_SEED)

    def end(shape: float, p: float) -> float:
        volumes = rng.lognormal(0.0, volume.relative_uncertainty, draws)
        return float(np.quantile(rng.standard_gamma(shape, draws) / volumes, p))

    effective, scale = count / dispersion, scale * dispersion
    return Estimate(effective * scale, end(effective, TAIL) * scale, end(effective + 1, 1 - TAIL) * scale)


def in_field(cells: Sequence[Cell], width_px: int, height_px: int) -> NDArray[np.bool_]:
    """Return which cells have their middle in the frame, bool [n].

    The area of a field holds as many cells as have their middle in it; those that only reach into it are up
    to 7 % more at 40× magnification. The middle of a round cell that an edge cuts lies inside if at least
    half of its width shows, that is if the visible part is at least half as deep as it is long.
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
