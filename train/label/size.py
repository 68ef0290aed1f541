"""Whether the labelled cells have the size of leukocytes: with a wrong pixel size they do not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from train.label.field import MeasuredCell
from train.label.nuclei import cell_diameter_um

LEUKOCYTES_UM = (7.0, 14.0)
"""Smallest and largest median diameter of leukocytes. Simulated ones have 9.1 µm; 6.1 with a pixel size 0.7
times the right one, 15 with 1.7 times and 18 with twice. With 0.6 times, pairs match no longer."""

LEAST_CELLS = 5
"""Fewer cells may have such a median by chance."""


def size_remark(cells: Sequence[MeasuredCell], pixel_um: float) -> str:
    """Return a remark on cells with a nucleus that are no leukocytes by their size; empty if they may be."""
    whole = [one.cell for one in cells if one.nucleus and not (one.cell.border or one.cell.touching)]
    if len(whole) < LEAST_CELLS:
        return ""
    median = float(np.median([cell_diameter_um(cell, pixel_um) for cell in whole]))
    low, high = LEUKOCYTES_UM
    if low <= median <= high:
        return ""
    return (
        f"the cells with a nucleus have a median diameter of {median:.2g} µm, and leukocytes have {low:g} to"
        f" {high:g}: check the pixel size, {pixel_um:.4g} µm (--pixel-um), or these are no leukocytes"
    )
