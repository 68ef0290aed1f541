"""Which cells are out of focus: fine detail against coarse, compared with the other cells of the sample."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell

FINE_UM, COARSE_UM = (0.2, 0.4), (0.8, 1.6)
"""Standard deviations of the Gaussians whose differences are the two bands."""

MARGIN_UM = 2.0
"""Ring around the box that is filtered too, so that the box's edge makes no detail."""

BLURRED = 0.4
"""Part of the sample's median below which a cell is out of focus. Simulated leukocytes, relative to the
median of those in focus: 0.5 at the least in focus, 0.3 (0.2–0.45) where the focal plane is 3 µm too high,
0.2 at 4 µm. Too low a plane first sharpens a transparent cell: 6 µm too low is 0.5, and is not noticed."""


def sharpness(image: NDArray[np.uint8], cell: Cell, pixel_um: float) -> float:
    """Contrast of fine over that of coarse detail inside a cell's box; the lamp and the contrast drop out.

    Parameters
    ----------
    image
        uint8 [h, w], bright field.
    """
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


def out_of_focus(sharp: NDArray[np.float64], kind: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Tell the cells that are less sharp than the median of their kind by far, bool [n].

    Parameters
    ----------
    sharp
        float64 [n], see `sharpness`.
    kind
        bool [n], whether a cell has a nucleus: an erythrocyte has less detail than any leukocyte.
    """
    blurred = np.zeros(len(sharp), bool)
    for one in (kind, ~kind):
        if one.any():
            blurred[one] = sharp[one] < BLURRED * np.median(sharp[one])
    return blurred
