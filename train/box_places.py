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

MOST_BETTER = 0.02
"""How much more of that share there may be half a box beside the boxes."""

_MOVES = ((0.0, 0.0), (-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5))
"""Moves in box sides: none, and those that make corners of centres."""

LEAST_BOXES = 5
"""Fewer boxes may have such a mean by chance."""

_WORKING_PX = 16
"""Side of a box, at most twice as long, at which structure is looked at."""


def structure_shares(image: NDArray[np.uint8], boxes: Sequence[Cell]) -> NDArray[np.float64]:
    """Return for boxes, moved as `_MOVES` says, the share of places of a frame [h, w] with less structure.

    Structure is the mean slope of grey levels in a square of the boxes' usual size.

    Returns
    -------
    float64 [n, moves]
        A row per box whose centre lies in the frame.
    """
    if not boxes:
        return np.empty((0, len(_MOVES)))
    side_px = float(np.median([(box.width + box.height) / 2 for box in boxes]))
    factor = max(1, int(min(side_px, *image.shape) // _WORKING_PX))
    small = block_mean(image, factor).astype(np.float32)
    slope = cv2.magnitude(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))
    side = max(1, min(round(side_px / factor), *small.shape))
    structure = cv2.blur(slope, (side, side))
    places = np.sort(structure[::4, ::4], axis=None)
    size = np.array(structure.shape[::-1])
    centres = np.array([(box.x + box.width / 2, box.y + box.height / 2) for box in boxes]) / factor
    centres = centres[((centres >= 0) & (centres < size)).all(axis=1)]
    moved = centres[:, None] + side * np.array(_MOVES)
    x, y = np.moveaxis(moved.astype(int).clip(0, size - 1), -1, 0)
    shares: NDArray[np.float64] = np.searchsorted(places, structure[y, x]) / places.size
    return shares


def misplaced_remark(shares: NDArray[np.float64]) -> str:
    """Return a remark on boxes [n, moves] with no more structure than other places, or less than beside them.

    Empty for boxes that hold cells.
    """
    if len(shares) < LEAST_BOXES:
        return ""
    here, *beside = shares.mean(axis=0)
    if here < LEAST_SHARE:
        return (
            f"the boxes seem to miss the cells: {100 * here:.0f} % of the places in their frames have less"
            " structure (90 % and more where boxes hold cells): check that BOXES is of these frames,"
            " and that x and y are not swapped"
        )
    if max(beside) > here + MOST_BETTER:
        return (
            "the boxes seem to lie beside the cells: there is more structure half a box away from them: check"
            " that x and y are the left and upper edges, not the centre"
        )
    return ""
