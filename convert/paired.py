"""Intervals of a difference between two answers to the same cells."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.count import NORMAL
from train.dependence import independent_share_of_gains


def paired_interval(gains: NDArray[np.int64], groups: Sequence[str] | None = None) -> tuple[float, float]:
    """Return the 95 % score interval of a mean gain, in points, on effective numbers of cells.

    A gain is 1 where only the second answer is right, -1 where only the first is, else 0. Cells of a single
    group exclude nothing. See `score_interval` and `train.dependence.independent_share_of_gains`.
    """
    if not (share := independent_share_of_gains(gains, groups)):
        return -100.0, 100.0
    won, lost = float((gains > 0).sum()), float((gains < 0).sum())
    low, high = score_interval(share * won, share * lost, share * len(gains))
    return 100 * low, 100 * high


def score_interval(won: float, lost: float, cells: float) -> tuple[float, float]:
    """Return Tango's 95 % score interval of (won − lost) / cells (Statistics in Medicine 17:891, 1998).

    The numbers need not be whole. It has a width even if no answer changes.
    """
    return -_largest_loss(won, lost, cells), _largest_loss(lost, won, cells)


def _largest_loss(won: float, lost: float, cells: float) -> float:
    """Return the largest loss (lost − won) / cells that the score test does not reject; -1 to 1."""
    low, high = (lost - won) / cells, 1.0
    for _ in range(60):
        loss = (low + high) / 2
        # the likeliest share of won cells under that loss is the root of a p² + b p − c
        a, b, c = 2 * cells, (2 * cells + won - lost) * loss - won - lost, won * loss * (1 - loss)
        share = (math.sqrt(max(0.0, b * b + 4 * a * c)) - b) / (2 * a)
        variance = cells * (2 * share + loss * (1 - loss))
        if (lost - won - cells * loss) ** 2 > NORMAL**2 * variance:
            high = loss
        else:
            low = loss
    return (low + high) / 2


def cells_to_exclude(loss: float, changed: float) -> int:
    """Return how many independent cells exclude a loss, if there is none and this share of answers changes.

    Parameters
    ----------
    loss : float
        As a share, above 0.
    changed : float
        Share of the cells that one of the two answers gets right and the other wrong; half of them each way.
    """
    few, enough = 0, 1
    while _largest_loss(changed * enough / 2, changed * enough / 2, enough) > loss:
        few, enough = enough, 2 * enough
    while enough - few > 1:
        middle = (few + enough) // 2
        if _largest_loss(changed * middle / 2, changed * middle / 2, middle) > loss:
            few = middle
        else:
            enough = middle
    return enough
