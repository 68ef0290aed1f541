"""Rims: closed outlines and arcs that are larger than cells, with cells inside them and in their way.

The rim of an air bubble, a drop or a round well and the edge of a field stop show as rings.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.find.splitting import distance_to_outline, split_at_necks

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
    count, labels, stats, _ = cv2.connectedComponentsWithStats(background, connectivity=4)
    large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] > largest]
    if not large:
        return None
    holes = np.isin(labels, large).astype(np.uint8)
    outlines, _ = cv2.findContours(holes, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    cv2.drawContours(holes, outlines, -1, (1,), cv2.FILLED)
    return holes


def is_thin(contour: Outline) -> bool:
    """Return whether a body is an arc or a line: it fills little of its convex hull."""
    return cv2.contourArea(contour) < THIN * cv2.contourArea(cv2.convexHull(contour))


def cells_in_rim(rim: Image, min_radius: float, halo: float) -> list[Image]:
    """Return the cells in a rim, uint8 [h, w] of 0 and 1: where it is round and much wider than elsewhere."""
    depth = distance_to_outline(rim, 0)
    ridge = depth[(depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8))) & (rim > 0)]
    radius = WIDER * float(np.quantile(ridge, 0.25))
    # opened by a disc: what is nearer than its radius to a place deeper than that
    outside = cv2.distanceTransform((depth <= radius).astype(np.uint8), cv2.DIST_L2, 5)
    opened = rim * (outside <= radius).astype(np.uint8) if depth.max() > radius else np.zeros_like(rim)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(opened)
    cells = []
    for k in range(1, count):
        x, y, width, height = stats[k, :4]
        here = slice(y, y + height), slice(x, x + width)
        for part in split_at_necks((labels[here] == k).astype(np.uint8), min_radius, halo):
            if 0 < part.sum() <= LONGEST * np.pi * distance_to_outline(part, 0).max() ** 2:
                cell = np.zeros_like(rim)
                cell[here] = part
                cells.append(cell)
    return cells
