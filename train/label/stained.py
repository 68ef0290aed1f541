"""Fluorescence or bright field: only a bright-field frame has anything darker than its background.

Stained nuclei are bright on dark. An unstained cell hardly absorbs light: it is brighter than the field
around it in some places and darker in others.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from train.images import reduced_to

GRID_UM = 1.0
"""Pixel at which frames are compared: it averages out photon noise and hot pixels."""

BACKGROUND_UM = 51.0
"""Side of the running median that gives the background, as long as cells fill less than half of it."""

TAIL_PERCENT = 0.1
"""Part of the frame that is brighter, and darker, than the compared levels: less than one nucleus."""

ONE_SIDED = 5.0
"""Smallest reach upward of a stain, as a multiple of that downward. Simulated stains: at least 144, or 5 if
haze and noise nearly hide it. Bright field: at most 1.1 simulated, at most 3.5 in hemocytometer frames, whose
grid is brighter than the field."""


def looks_stained(image: NDArray[np.uint8], pixel_um: float) -> bool:
    """Return whether a frame uint8 [h, w] is bright on dark, with nothing darker than the background."""
    coarse, coarse_um = reduced_to(image, pixel_um, GRID_UM)
    window = 2 * round(BACKGROUND_UM / coarse_um / 2) + 1
    level = coarse.astype(np.int16) - cv2.medianBlur(coarse, window)
    low, middle, high = np.percentile(level, (TAIL_PERCENT, 50, 100 - TAIL_PERCENT))
    # one grey level is rounding
    return bool(high - middle >= ONE_SIDED * max(middle - low, 1.0))
