"""Raw frames of a colour camera: a mosaic of colour filters, saved as if it were grey."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

MOSAIC = 0.1
"""Usual difference of the light in the pixels of a 2 x 2 square, relative to their mean, that only colour
filters make. Ordinary frames, real and simulated: at most 0.002. Counts of simulated frames are right up to
0.11, and at 0.22 their cells have another contrast."""

LEAST_ERRORS = 8.0
"""The difference in its standard errors: in small noisy images it may come by chance."""

LEAST_SQUARES, SAMPLES = 64, 60_000
"""Fewest squares that show it, and those that are looked at, which takes a fifth of a millisecond."""


def mosaic(image: NDArray[np.uint8]) -> str:
    """Return that a grey image [h, w] is a mosaic of colour filters, and what to do; empty if it is none."""
    height, width = (side - side % 2 for side in image.shape)
    # whole rows of squares, as they lie in memory, an odd number apart: JPEG blocks are 8 pixels wide
    step = 2 * (image.size // 4 // SAMPLES // 2 * 2 + 1)
    pixels = [image[y:height:step, x:width:2].astype(np.float32) for y in (0, 1) for x in (0, 1)]
    if pixels[0].size < LEAST_SQUARES:
        return ""
    means = [float(part.mean()) for part in pixels]
    darkest, brightest = int(np.argmin(means)), int(np.argmax(means))
    light = max(float(np.mean(means)), 1.0)
    if means[brightest] - means[darkest] < MOSAIC * light:
        return ""
    difference = pixels[brightest] - pixels[darkest]
    usual = float(np.median(difference))  # of stripes most squares have none
    if usual < MOSAIC * light or usual < LEAST_ERRORS * float(difference.std()) / difference.size**0.5:
        return ""
    return (
        "a raw mosaic of colour filters (Bayer): neighbouring pixels differ by"
        f" {100 * usual / light:.0f} % of the light; save frames in colour, or in grey as the camera's own"
        " program makes them"
    )
