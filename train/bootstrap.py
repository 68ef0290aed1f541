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
    often = np.random.default_rng(seed).multinomial(groups, np.full(groups, 1 / groups), size=draws)
    scores = score(np.tensordot(often.astype(np.float64), parts, axes=1))
    scores = scores[np.isfinite(scores)]
    if not len(scores) or scores.min() == scores.max():
        return None
    low, high = np.quantile(scores, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)
