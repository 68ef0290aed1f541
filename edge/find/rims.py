"""Rims: closed outlines and arcs that are larger than cells, with cells inside them and in their way.

The rim of an air bubble, a drop or a round well and the edge of a field stop show as rings.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.find.splitting import Part, deepest, distance_to_outline, split_at_necks
from edge.find.texture import bands

Image = NDArray[np.uint8]
Outline = NDArray[np.integer[Any] | np.floating[Any]]

THIN = 0.3
"""Share of its convex hull below which a body is an arc: a piece of a rim."""

WIDER = 1.5
"""A rim that is so many times as wide as its thin quarter runs through a cell."""

LONGEST = 2.0
"""Ratio of a body's area to that of the largest disc in it, above which it is a piece of a rim."""


def enclosed_holes(background: Image, largest: float) -> Image | None:
    """Return the holes of a body that are larger than a cell, with all that they hold; None without any."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(background, connectivity=4)
    large = (stats[:, cv2.CC_STAT_AREA] > largest).astype(np.uint8)
    large[0] = 0
    if not large.any():
        return None
    holes = np.empty(labels.shape, np.uint8)
    for band in bands(labels.shape):
        holes[band] = large[labels[band]]
    del labels
    outlines, _ = cv2.findContours(holes, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(holes, outlines, -1, (1,), cv2.FILLED)
    return holes


def is_thin(contour: Outline) -> bool:
    """Return whether a body is an arc or a line: it fills little of its convex hull."""
    return cv2.contourArea(contour) < THIN * cv2.contourArea(cv2.convexHull(contour))


def cells_in_rim(rim: Image, min_radius: float, halo: float) -> list[Part]:
    """Return the cells in a rim, uint8 [h, w] of 0 and 1: where it is round and much wider than elsewhere."""
    depth = distance_to_outline(rim, 0)
    summits = deepest(depth, np.ones((3, 3), np.uint8))
    summits &= rim.view(np.bool_)
    ridge = depth[summits]
    del summits
    radius = WIDER * float(np.quantile(ridge, 0.25))
    shallow = (depth <= radius).view(np.uint8)
    del depth, ridge
    if shallow.all():
        return []
    # opened by a disc: what is nearer than its radius to a place deeper than that
    outside = cv2.distanceTransform(shallow, cv2.DIST_L2, 5)
    opened = rim & (outside <= radius).view(np.uint8)
    del shallow, outside
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    cells = []
    for k in range(1, count):
        x, y, width, height = stats[k, :4]
        here = slice(y, y + height), slice(x, x + width)
        for part, left, top in split_at_necks((labels[here] == k).view(np.uint8), min_radius, halo):
            if part.any() and part.sum() <= LONGEST * np.pi * distance_to_outline(part, 0).max() ** 2:
                cells.append(Part(part, int(x) + left, int(y) + top))
    return cells
