"""Cells out of focus: fine detail relative to coarse, compared with the other cells of the sample."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell

FINE_UM, COARSE_UM = (0.2, 0.4), (0.8, 1.6)
"""Standard deviations of the Gaussians whose differences make the two bands."""

MARGIN_UM = 2.0
"""Ring around the box that is filtered too, so that the edge of the box adds no detail."""

BLURRED = 0.4
"""Fraction of the sample's median below which a cell is out of focus. Simulated leukocytes, relative to the
median of those in focus: at least 0.5 in focus, 0.3 (0.2–0.45) with the focal plane 3 µm too high, 0.2 at
4 µm. A plane too low first sharpens a transparent cell: 6 µm too low is 0.5, and is not noticed."""


def sharpness(image: NDArray[np.uint8], cell: Cell, pixel_um: float) -> float:
    """Return the contrast of fine over coarse detail in a cell's box; lamp and contrast do not change it."""
    margin = round(MARGIN_UM / pixel_um)
    top, left = max(0, cell.y - margin), max(0, cell.x - margin)
    window = image[top : cell.y + cell.height + margin, left : cell.x + cell.width + margin]
    box = (slice(cell.y - top, cell.y - top + cell.height), slice(cell.x - left, cell.x - left + cell.width))

    def contrast(sigmas_um: tuple[float, float]) -> float:
        low, high = (
            cv2.GaussianBlur(window.astype(np.float32), (0, 0), sigma / pixel_um) for sigma in sigmas_um
        )
        return float((low - high)[box].std())

    coarse = contrast(COARSE_UM)
    return contrast(FINE_UM) / coarse if coarse > 0 else 0.0


def out_of_focus(sharp: NDArray[np.float64], nucleated: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Flag cells far less sharp (see `sharpness`) than the median of their kind: bool [n].

    Cells with a nucleus are one kind, the others another: an erythrocyte has less detail than any leukocyte.
    """
    blurred = np.zeros(len(sharp), bool)
    for one in (nucleated, ~nucleated):
        if one.any():
            blurred[one] = sharp[one] < BLURRED * np.median(sharp[one])
    return blurred
