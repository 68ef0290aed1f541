"""Intervals of any score by resampling whole groups (frames, patients)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.count import LEVEL
from train.metrics import LEAST_GROUPS, Interval

DRAWS = 4000
"""Resamples: the ends of an interval then move by less than a tenth of its width from seed to seed."""


MOST_BLOCKS = 1000
"""The deviation between so many is known within 2.3 %, which is what resamples leave open too."""

_PORTION = 500
"""Draws that are in memory at once."""


def blocks(groups: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Return the block of each group, to be resampled whole: its own number, up to `MOST_BLOCKS`.

    More groups are joined at random into blocks of the same size, as time and memory grow with their number;
    sums over blocks differ as those over groups do.
    """
    if groups <= MOST_BLOCKS:
        return np.arange(groups)
    return np.random.default_rng(seed).permutation(groups) % MOST_BLOCKS


def group_interval(
    parts: NDArray[Any],
    score: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> Interval | None:
    """Return the percentile bootstrap's interval of a score of sums over groups.

    Cells of a frame are alike, so that frames are drawn with replacement, not cells (Davison and Hinkley,
    Bootstrap Methods and Their Application, 1997, section 3.8).

    Parameters
    ----------
    parts : [groups, ...]
        What each group adds to the sums, such as its confusion matrix.
    score : Callable
        From sums, float64 [draws, ...], to the score of each draw, float64 [draws]; NaN if undefined.

    Returns
    -------
    Interval or None
        None of fewer than `LEAST_GROUPS` groups, and if all draws score the same: without a single mistake
        the bootstrap does not show how rare mistakes are.
    """
    groups = len(parts)
    if groups < LEAST_GROUPS:
        return None
    generator, scores = np.random.default_rng(seed), []
    for start in range(0, draws, _PORTION):
        size = min(_PORTION, draws - start)
        often = generator.multinomial(groups, np.full(groups, 1 / groups), size=size)
        scores.append(score(np.tensordot(often.astype(np.float64), parts, axes=1)))
    return _interval(np.concatenate(scores))


def _interval(scores: NDArray[np.float64]) -> Interval | None:
    scores = scores[np.isfinite(scores)]
    if not len(scores) or scores.min() == scores.max():
        return None
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
