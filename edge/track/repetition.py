"""How often each cell of a count is counted, from which detections are of one cell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Link:
    """Detections of two frames that are of the same cells: rows of their places, int [n, 2]."""

    before: int
    now: int
    pairs: NDArray[np.intp]


def repetition(counted: Sequence[NDArray[np.bool_]], cells: Sequence[int], links: Iterable[Link]) -> float:
    """Return the mean number of times that a counted cell's cell is counted, over all that are counted.

    That is Kish's design effect of counting each cell k times, Σk² / Σk over the cells (Survey Sampling,
    1965): the count is as good as one of so many times fewer cells that are counted once.

    Parameters
    ----------
    counted : sequence of bool [n]
        For each frame, which of the places are counted with it.
    cells : sequence of int
        Cells of each frame; of a crowded one only the largest have a place.
    """
    starts = np.cumsum([0, *map(len, counted)])
    parent = list(range(int(starts[-1])))

    def root(k: int) -> int:
        while parent[k] != k:
            parent[k] = parent[parent[k]]
            k = parent[k]
        return k

    for link in links:
        for a, b in (link.pairs + starts[[link.before, link.now]]).tolist():
            parent[root(b)] = root(a)
    weights = np.repeat(
        [n / max(len(one), 1) for n, one in zip(cells, counted, strict=True)], np.diff(starts)
    )
    weights = weights * np.concatenate([np.zeros(0, bool), *counted])
    if not weights.any():
        return 1.0
    roots = np.array([root(k) for k in parent])
    times = np.bincount(roots[weights > 0], minlength=len(parent))[roots]
    return float((weights * times).sum() / weights.sum())
