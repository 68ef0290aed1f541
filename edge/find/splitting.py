"""Touching cells divided at the necks between them."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Depth = NDArray[np.float32]

NECK = 0.85
"""A constriction narrower than this share of the smaller of two bodies separates touching cells."""


def split_at_necks(body: Image, min_radius: float, halo: float) -> list[Image]:
    """Return the parts of a body that necks separate, uint8 [h, w] of 0 and 1; without necks the body itself.

    Each part grows around a peak of the distance to the outline. Two peaks stand for two cells if the body
    narrows between them; a pixel then belongs to the circle (peak, distance) of least power.
    """
    depth = distance_to_outline(body, halo)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(min_radius / 2) + 1,) * 2)
    ys, xs = np.nonzero((depth >= cv2.dilate(depth, disc)) & (depth >= min_radius / 2))
    peaks: list[tuple[int, int]] = []
    for k in np.argsort(-depth[ys, xs], kind="stable"):
        peak = (int(ys[k]), int(xs[k]))
        if all(_least_between(depth, peak, other) < NECK * depth[peak] for other in peaks):
            peaks.append(peak)
    if len(peaks) < 2:
        return [body]
    y, x = np.indices(body.shape)
    power = [(y - py) ** 2 + (x - px) ** 2 - depth[py, px] ** 2 for py, px in peaks]
    owner = np.argmin(power, axis=0)
    return [body * (owner == k).astype(np.uint8) for k in range(len(peaks))]


def distance_to_outline(body: Image, halo: float) -> Depth:
    """Return the distance of each pixel of a body to its outline, less the halo, float32 [h, w]."""
    padded = cv2.copyMakeBorder(body, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    # rounded, because OpenCV's distances differ in the last digit between processors
    return np.asarray(np.round(np.maximum(distance - halo, 0), 2), np.float32)


def _least_between(depth: Depth, a: tuple[int, int], b: tuple[int, int]) -> float:
    """Return the least depth on the straight line from a to b."""
    steps = max(abs(a[0] - b[0]), abs(a[1] - b[1])) + 1
    ys, xs = (np.rint(np.linspace(a[k], b[k], steps)).astype(np.intp) for k in (0, 1))
    return float(depth[ys, xs].min())
