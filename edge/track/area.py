"""The area of a slide that the laid-out fields of a scan cover."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.track.appearance import Boxes
from edge.track.rows import Rows

MAX_GRID = 1 << 24
"""Places of the grid between the windows' edges that are looked at together."""

MAX_ROWS = 1024
"""Rows of that grid."""


@dataclass(frozen=True)
class LaidOut:
    """How much of a slide the fields of a scan show so far.

    Attributes
    ----------
    islands : int
        Groups of fields whose places relative to each other are not known; 1 if all fields are laid out.
    area_um2 : float
        Area that the fields cover together, each place once; islands may still overlap each other.
    """

    islands: int
    area_um2: float


@dataclass(frozen=True, eq=False)
class Windows(Rows):
    """The fields of a scan; their `track_id` is the island on which they lie.

    Attributes
    ----------
    window : float64 [m, 4]
        Left, top, right and bottom in µm from the island's origin.
    fresh : float64 [m]
        Area that the field added to what those before it cover.
    """

    window: Boxes
    fresh: Boxes

    def with_field(self, island: int, window: Boxes) -> Windows:
        """Return these and a further field."""
        here = self.window[self.track_id == island]
        shared = np.hstack([np.maximum(here[:, :2], window[:2]), np.minimum(here[:, 2:], window[2:])])
        fresh = float(np.prod(window[2:] - window[:2])) - union_area(shared)
        return self.followed_by(Windows(np.array([island]), window[None], np.array([fresh])))

    def laid_out(self) -> LaidOut:
        """Return how much of the slide the fields cover."""
        return LaidOut(len(np.unique(self.track_id)), float(self.fresh.sum()))


def places_covered(windows: Boxes) -> int:
    """Return how many places `union_area` marks, those that several rectangles cover several times."""
    x, y = (np.unique(windows[:, [k, k + 2]]) for k in (0, 1))
    edges = _on_grid(windows, x, y)
    return int(np.maximum(edges[:, 2:] - edges[:, :2], 0).prod(axis=1).sum())


def _on_grid(windows: Boxes, x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the number of each edge among the sorted ones."""
    return np.stack([np.searchsorted((x, y)[k % 2], windows[:, k]) for k in range(4)], axis=1)


def no_windows() -> Windows:
    """Return an empty table."""
    return Windows(np.zeros(0, np.int64), np.zeros((0, 4)), np.zeros(0))


def joined(before: Windows, onto: int) -> Windows:
    """Return the fields with what those of an island cover together counted again, after it was joined."""
    rows = np.flatnonzero(before.track_id == onto)
    fresh = before.fresh.copy()
    fresh[rows] = 0
    fresh[rows[-1]] = union_area(before.window[rows])
    return Windows(before.track_id, before.window, fresh)


def union_area(windows: Boxes) -> float:
    """Return the area that rectangles, float64 [n, 4], cover together; empty ones cover nothing."""
    windows = windows[(windows[:, 2:] > windows[:, :2]).all(axis=1)]
    edges = np.unique(windows[:, 1::2])
    bands = (edges[first : first + MAX_ROWS + 1] for first in range(0, len(edges) - 1, MAX_ROWS))
    return sum((_within(windows, y) for y in bands), 0.0)


def _within(windows: Boxes, y: NDArray[np.float64]) -> float:
    """Return the area that rectangles cover between the first and the last of their edges along y."""
    # on a grid of the windows that reach there alone: of all of them it is a square
    here = windows[(windows[:, 1] < y[-1]) & (windows[:, 3] > y[0])]
    x = np.unique(here[:, ::2])
    if len(x) * len(y) > MAX_GRID and len(y) > 2:
        middle = len(y) // 2
        return _within(here, y[: middle + 1]) + _within(here, y[middle:])
    here[:, 1::2] = np.clip(here[:, 1::2], y[0], y[-1])
    covered = np.zeros((len(y) - 1, max(0, len(x) - 1)), bool)
    for left, top, right, bottom in _on_grid(here, x, y):
        covered[top:bottom, left:right] = True
    return float(np.diff(y) @ covered @ np.diff(x))
