"""The focus of a frame: the share of fine detail in its edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.find.reduction import block_mean, reduced

Image = NDArray[np.uint8]

FOCUS_PIXEL_UM = 0.58
"""Pixel in µm to which a frame is reduced for the focus: half the finest detail that is judged."""

FOCUS_BLOCK_PX = 8
"""Side of the blocks, in those pixels; the median block holds only noise."""

LEAST_EDGES = 5e-3
"""Least rms slope of the light, relative to it and per µm, above the noise. A single cell in a field of
0.03 mm² leaves 0.011 in focus and 0.007 far out of it, dust on the optics 0.003 (simulated)."""


def focus(image: Image, pixel_um: float) -> float | None:
    """Return the share of the edges' energy that lies in detail finer than about 1 µm, 0 to 1.

    With E(s) for the energy of the gradient after smoothing over s, it is 1 - E(1.2 µm) / E(0.6 µm). The
    content of the frame, its brightness and its pixel size, up to 0.58 µm, cancel. Any further Gaussian blur
    lowers it: the blur weakens high frequencies more than low ones, and E(0.6 µm) has a larger share of high
    frequencies. The energy of the median block, noise and faint structure, is subtracted.

    Returns
    -------
    float or None
        None where nothing exceeds the noise, the frame is too small, or its pixel is larger than 0.58 µm.
    """
    if not _judged(image, pixel_um):
        return None
    # by way of the frame on which cells are found, so that a caller may pass that one
    fine = _at_focus_pixel(*reduced(image, pixel_um))
    # a slope per pixel is twice as large on pixels twice as wide
    sharp = _edge_energy(fine, FOCUS_BLOCK_PX)
    rest = _edge_energy(block_mean(fine, 2), FOCUS_BLOCK_PX // 2) / 4
    light = max(float(fine.mean()), 1.0)
    if sharp <= (LEAST_EDGES * FOCUS_PIXEL_UM * light) ** 2:
        return None
    return min(max(1 - rest / sharp, 0.0), 1.0)


def edge_slope(image: Image, pixel_um: float) -> float:
    """Return the rms slope of the light, relative to it and per µm, above the noise; 0 if it is not known."""
    if not _judged(image, pixel_um):
        return 0.0
    fine = _at_focus_pixel(*reduced(image, pixel_um))
    energy = max(_edge_energy(fine, FOCUS_BLOCK_PX), 0.0)
    return float(energy**0.5 / FOCUS_PIXEL_UM / max(float(fine.mean()), 1.0))


def _judged(image: Image, pixel_um: float) -> bool:
    return pixel_um <= FOCUS_PIXEL_UM and min(image.shape) * pixel_um >= 4 * FOCUS_BLOCK_PX * FOCUS_PIXEL_UM


def _at_focus_pixel(image: Image, pixel_um: float) -> Image:
    """Reduce a frame to pixels of `FOCUS_PIXEL_UM`, by halves where possible: eight times as fast."""
    while 2 * pixel_um <= FOCUS_PIXEL_UM * 1.005:
        image, pixel_um = block_mean(image, 2), 2 * pixel_um
    height, width = (max(1, round(side * pixel_um / FOCUS_PIXEL_UM)) for side in image.shape)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _edge_energy(image: Image, block: int) -> float:
    """Return the mean squared slope per pixel, less that of the median block."""
    right, down = (
        np.asarray(cv2.Sobel(image, cv2.CV_32F, dx, 1 - dx, scale=1 / 8), np.float32) for dx in (1, 0)
    )
    energy = np.square(right, out=right)
    energy += np.square(down, out=down)
    del down
    height, width = energy.shape[0] // block, energy.shape[1] // block
    whole = energy[: height * block, : width * block]
    blocks = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return float(blocks.mean() - np.median(blocks))
