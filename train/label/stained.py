"""Does a frame show a nuclear stain? It is told from bright field by what is darker than its background.

A stain's nuclei are bright on dark and nothing is darker than the background. An unstained cell hardly
absorbs light: it is brighter than the field around it in some places and darker in others.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

GRID_UM = 1.0
"""Pixel at which frames are compared: photon noise and hot pixels are averaged away."""

BACKGROUND_UM = 51.0
"""Side of the running median that makes the background; it stands up to cells that fill less than half."""

TAIL_PERCENT = 0.1
"""Part of the frame that reaches farther up, and farther down: less than one nucleus in a common frame."""

ONE_SIDED = 5.0
"""Least reach upward of a stain, as a multiple of that downward. Simulated stains: 144 and above, 5 where
haze and noise nearly hide it. Bright field: 1.1 at most simulated, 3.5 at most in hemocytometer frames, whose
grid is brighter than the field."""


def looks_stained(image: NDArray[np.uint8], pixel_um: float) -> bool:
    """Tell whether a frame is bright on dark, with nothing darker than the background.

    Parameters
    ----------
    image
        uint8 [h, w].
    pixel_um
        Side of a pixel in the specimen.
    """
    factor = min(1.0, pixel_um / GRID_UM)
    height, width = (max(1, round(side * factor)) for side in image.shape)
    coarse = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    window = 2 * round(BACKGROUND_UM * factor / pixel_um / 2) + 1
    level = coarse.astype(np.int16) - cv2.medianBlur(coarse, window)
    low, middle, high = np.percentile(level, (TAIL_PERCENT, 50, 100 - TAIL_PERCENT))
    # a grey level is rounding
    return bool(high - middle >= ONE_SIDED * max(middle - low, 1.0))
