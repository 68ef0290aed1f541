"""Touching cells divided at the necks between them."""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.find.texture import bands

Image = NDArray[np.uint8]
Depth = NDArray[np.float32]
Place = tuple[int, int]

NECK = 0.85
"""A constriction narrower than this share of the smaller of two bodies separates touching cells."""

NEAR_PX = np.arange(3, 64, 4)
"""Steps from a peak at which a line is looked at first: among many cells each line soon leaves the first."""

TILE_PX = 256
"""Side of the squares of a large body that are divided one after the other."""


class Part(NamedTuple):
    """A part of a body, uint8 [h, w] of 0 and 1, and its place in the body; empty if other parts cover it."""

    mask: Image
    left: int
    top: int


def split_at_necks(body: Image, min_radius: float, halo: float) -> list[Part]:
    """Return the parts of a body, uint8 [h, w] of 0 and 1, between its necks; without necks the body itself.

    Each part grows around a peak of the distance to the outline. Two peaks stand for two cells if the body
    narrows between them; a pixel then belongs to the circle (peak, distance) of least power.
    """
    depth = distance_to_outline(body, halo)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(min_radius / 2) + 1,) * 2)
    summits = deepest(depth, disc)
    summits &= depth >= min_radius / 2
    ys, xs = np.nonzero(summits)
    del summits
    peaks: list[Place] = []
    for k in np.argsort(-depth[ys, xs], kind="stable"):
        peak = (int(ys[k]), int(xs[k]))
        if _necks_to_all(depth, peak, peaks, NECK * depth[peak]):
            peaks.append(peak)
    if len(peaks) < 2:
        return [Part(body, 0, 0)]
    return _divided(body, np.array(peaks), np.array([depth[peak] ** 2 for peak in peaks], np.float64))


def _divided(body: Image, peaks: NDArray[np.intp], squares: NDArray[np.float64]) -> list[Part]:
    """Divide a body among circles of least power, given by their middles (y, x) and squared radii."""
    owner = np.zeros(body.shape, np.int32)
    first, last = np.full((len(peaks), 2), max(body.shape)), np.zeros((len(peaks), 2), int)
    for top in range(0, body.shape[0], TILE_PX):
        for left in range(0, body.shape[1], TILE_PX):
            tile = owner[top : top + TILE_PX, left : left + TILE_PX]
            near, far = np.array([top, left]), np.array([top, left]) + tile.shape - 1
            least = ((peaks - np.clip(peaks, near, far)) ** 2).sum(axis=1) - squares
            most = np.maximum((peaks - near) ** 2, (peaks - far) ** 2).sum(axis=1) - squares
            best = np.full(tile.shape, np.inf)
            y, x = (np.arange(a, b + 1) for a, b in zip(near, far, strict=True))
            for k in np.flatnonzero(least <= most.min()):  # no other circle has a pixel of this tile
                power = ((y - peaks[k, 0]) ** 2)[:, None] + (x - peaks[k, 1]) ** 2 - squares[k]
                less = power < best
                tile[less], best[less] = k, power[less]
            tile[body[top : top + TILE_PX, left : left + TILE_PX] == 0] = -1
            for k in np.unique(tile[tile >= 0]):
                x0, y0, width, height = cv2.boundingRect((tile == k).view(np.uint8))
                first[k] = np.minimum(first[k], (top + y0, left + x0))
                last[k] = np.maximum(last[k], (top + y0 + height, left + x0 + width))
    parts = []
    for k, ((top, left), (bottom, right)) in enumerate(zip(first, last, strict=True)):
        mask = (owner[top:bottom, left:right] == k).view(np.uint8)
        parts.append(Part(mask, int(left), int(top)))
    return parts


def deepest(depth: Depth, disc: NDArray[Any]) -> NDArray[np.bool_]:
    """Return where no place that a disc reaches is deeper, bool [h, w]."""
    found, reach = np.empty(depth.shape, np.bool_), disc.shape[0] // 2
    for band in bands(depth.shape):
        top = max(0, band.start - reach)
        around = cv2.dilate(depth[top : band.stop + reach], disc)[band.start - top :]
        np.greater_equal(depth[band], around[: band.stop - band.start], out=found[band])
    return found


def distance_to_outline(body: Image, halo: float) -> Depth:
    """Return the distance of each pixel of a body to its outline, less the halo, float32 [h, w]."""
    padded = cv2.copyMakeBorder(body, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    distance = np.asarray(cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1], np.float32)
    distance -= halo
    np.maximum(distance, 0, out=distance)
    # rounded, because OpenCV's distances differ in the last digit between processors
    return np.round(distance, 2, out=distance)


def _necks_to_all(depth: Depth, peak: Place, others: list[Place], limit: float) -> bool:
    """Return whether the depth falls below a limit on each of the straight lines from a peak to others."""
    if not others:
        return True
    away = np.array(others) - peak
    steps = np.abs(away).max(axis=1, keepdims=True)
    near = np.minimum(NEAR_PX, steps)
    ys, xs = (np.rint(near * (away[:, k : k + 1] / steps) + peak[k]).astype(np.intp) for k in (0, 1))
    unsure = np.flatnonzero(depth[ys, xs].min(axis=1) >= limit)
    return all(_least_between(depth, peak, others[k]) < limit for k in unsure)


def _least_between(depth: Depth, a: Place, b: Place) -> float:
    """Return the least depth on the straight line from a to b."""
    steps = max(abs(a[0] - b[0]), abs(a[1] - b[1])) + 1
    ys, xs = (np.rint(np.linspace(a[k], b[k], steps)).astype(np.intp) for k in (0, 1))
    return float(depth[ys, xs].min())
