"""Whether boxes lie on something: on the places of a frame that have structure, as cells have."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.find import block_mean

LEAST_SHARE = 0.75
"""Mean share of a frame's places with less structure than its boxes, below which these are elsewhere. Boxes
of cells have 0.93 to 0.99, simulated and real, 0.90 in dense frames; those of other frames, and those with x
and y swapped, 0.50 to 0.57."""

LEAST_BOXES = 5
"""Fewer boxes may have such a mean by chance."""

_WORKING_PX = 16
"""Side of a box, at most twice as long, at which structure is looked at."""


def structure_shares(image: NDArray[np.uint8], boxes: Sequence[Cell]) -> list[float]:
    """Return for each box whose centre lies in a frame [h, w] the share of places with less structure.

    Structure is the mean slope of grey levels in a square of the boxes' usual size.
    """
    if not boxes:
        return []
    side_px = float(np.median([(box.width + box.height) / 2 for box in boxes]))
    factor = max(1, int(min(side_px, *image.shape) // _WORKING_PX))
    small = block_mean(image, factor).astype(np.float32)
    slope = cv2.magnitude(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))
    side = max(1, min(round(side_px / factor), *small.shape))
    structure = cv2.blur(slope, (side, side))
    places = np.sort(structure[::4, ::4], axis=None)
    height, width = structure.shape
    centres = [
        (int((box.x + box.width / 2) // factor), int((box.y + box.height / 2) // factor)) for box in boxes
    ]
    return [
        float(np.searchsorted(places, structure[y, x]) / places.size)
        for x, y in centres
        if 0 <= x < width and 0 <= y < height
    ]


def elsewhere_remark(shares: Sequence[float]) -> str:
    """Return a remark on boxes that hold no more structure than other places; empty if they hold some."""
    if len(shares) < LEAST_BOXES or (share := float(np.mean(shares))) >= LEAST_SHARE:
        return ""
    return (
        f"the boxes seem to miss the cells: {100 * share:.0f} % of the places in their frames have less"
        " structure than they (90 % and more where boxes hold cells): check that BOXES is of these frames,"
        " and that x and y are not swapped"
    )
