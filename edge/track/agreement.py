"""Whether the detections that a tracker takes for one cell agree: it also pairs unrelated cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell

ASTRAY = 0.15
"""Departure from the common shift of two frames, relative to a cell's size, from which a cell has moved."""


class Agreement:
    """Sums of how the detections of each tracked cell agree, without those that an edge cuts.

    Attributes
    ----------
    joined, contradictions : int
        Detections of a cell that was seen before, and those of them that the bundle takes for another kind
        of cell than the one before.
    shifted, astray : int
        Cells that two frames in a row show, and those of them that have not moved as most have.
    """

    def __init__(self) -> None:
        self.joined = self.contradictions = self.shifted = self.astray = 0
        self._likeliest: dict[int, str] = {}
        self._places: dict[int, tuple[float, float]] = {}

    def add(self, cells: Sequence[Cell], likeliest: Sequence[str], track_ids: NDArray[np.int64]) -> None:
        """Add a frame's n cells, with the likeliest label and the track id of each."""
        before, self._places = self._places, {}
        shifts, sizes = [], []
        for cell, label, track_id in zip(cells, likeliest, track_ids.tolist(), strict=True):
            if cell.border:
                continue
            if track_id in self._likeliest:
                self.joined += 1
                self.contradictions += label != self._likeliest[track_id]
            self._likeliest[track_id] = label
            x, y = self._places[track_id] = cell.x + cell.width / 2, cell.y + cell.height / 2
            if track_id in before:
                shifts.append((x - before[track_id][0], y - before[track_id][1]))
                sizes.append(math.sqrt(cell.width * cell.height))
        if len(shifts) > 1:
            apart = np.abs(shifts - np.median(shifts, axis=0)).max(axis=1)
            self.shifted += len(shifts)
            self.astray += int((apart > ASTRAY * np.array(sizes)).sum())
