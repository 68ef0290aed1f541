"""Reject thresholds: as precise as asked on the validation cells, or with confidence on new ones."""

from __future__ import annotations

import math

import numpy as np
import scipy.stats
from numpy.typing import ArrayLike, NDArray

from edge.count import LEVEL
from train.confidence import coverage_curve

STARTS = 4
"""Chains of tests: they begin where the surest quarter, half, three quarters and all cells are accepted."""
_STEPS = 100
_LESS_LIKELY = 1 - LEVEL

Scores = NDArray[np.float32] | NDArray[np.float64]


def reject_threshold(
    scores: Scores, right: NDArray[np.bool_], precision: float, *, coverage: float = 1.0
) -> float:
    """Return the smallest threshold at which the accepted answers are right as often as asked.

    It is half way between the lowest accepted score and the next lower one, so that a processor's rounding
    moves no cell; -inf if all cells are accepted. The share of right answers is the plain estimate: new cells
    miss it about as often as not, see `guaranteed_threshold`.

    Parameters
    ----------
    scores, right : float [n], bool [n]
        Of validation cells: larger for surer answers; whether the answer is the truth.
    precision : float
        Wanted share of right answers among the accepted ones.
    coverage : float
        Largest share of the cells that is accepted. Without it a network that is nearly always right would
        accept everything, including what it was not trained on.

    Raises
    ------
    ValueError
        Without cells, if a share is out of range, or if no threshold reaches the precision.
    """
    _check(scores, precision=precision, coverage=coverage)
    curve = coverage_curve(scores, right)
    allowed = [k for k, p in enumerate(curve) if p["accuracy"] >= precision and p["coverage"] <= coverage]
    if not allowed:
        raise ValueError(
            f"no threshold makes {precision:.4g} of the accepted answers right on {len(scores)} validation "
            "cells: ask for a lower precision or train a better network"
        )
    return _below(scores, round(curve[allowed[-1]]["coverage"] * len(scores)))


def guaranteed_threshold(
    scores: Scores, right: NDArray[np.bool_], precision: float, independent: float = 1.0
) -> float:
    """Return the smallest threshold whose precision on new cells is as asked, with 95 % confidence.

    Learn Then Test (Angelopoulos et al. 2021, arXiv:2110.01052) by fixed sequences of exact binomial tests;
    see `guaranteed_precisions` and `reject_threshold`.

    Raises
    ------
    ValueError
        Without cells, if the precision is out of range, or if no threshold guarantees it.
    """
    _check(scores, precision=precision)
    accepted, limits = guaranteed_precisions(scores, right, independent)
    if not (limits >= precision).any():
        tail = math.log(_LESS_LIKELY / STARTS)
        possible = precision < 1 and independent > 0
        least = math.ceil(tail / math.log(precision) / independent) if possible else math.inf
        more = f": without a mistake it takes {least}" if len(scores) < least < math.inf else ""
        raise ValueError(
            f"no threshold guarantees that {precision:.4g} of the accepted answers are right, given "
            f"{len(scores)} validation cells{more}; ask for a lower precision, or train with more of them"
        )
    return _below(scores, int(accepted[limits >= precision].max()))


def guaranteed_precisions(
    scores: Scores, right: NDArray[np.bool_], independent: float = 1.0, also: float | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return numbers of accepted cells, and the precision that each guarantees with 95 % confidence.

    Thresholds are tested from strict to lax until one fails, so that all that pass hold together. Each chain
    takes its share of the error.

    Parameters
    ----------
    independent : float
        Share of the cells that counts as independent, see `train.dependence.independent_share`.
    also : float or None
        A threshold that is tested too, whatever it was chosen by.

    Returns
    -------
    int64 [k], float64 [k]
    """
    falling = np.sort(np.asarray(scores, np.float64))[::-1]
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    hits = np.cumsum(right[order])
    # no threshold separates equal scores
    ends = np.append(np.flatnonzero(falling[:-1] > falling[1:]) + 1, len(falling))
    wanted = np.ceil(np.arange(1, _STEPS + 1) / _STEPS * len(falling))
    accepted = np.unique(ends[np.searchsorted(ends, wanted)])
    if also is not None and (scores >= also).any():
        accepted = np.union1d(accepted, [(scores >= also).sum()])
    lowest = _lower_limit(independent * hits[accepted - 1], independent * accepted, _LESS_LIKELY / STARTS)
    limits = np.zeros(len(accepted))
    for start in range(1, STARTS + 1):
        first = int(np.searchsorted(accepted, start / STARTS * len(falling)))
        limits[first:] = np.maximum(limits[first:], np.minimum.accumulate(lowest[first:]))
    return accepted, limits


def least_precision(
    scores: Scores, right: NDArray[np.bool_], threshold: float, independent: float = 1.0, *, chosen: bool
) -> float:
    """Return the one-sided 95 % limit of the precision among the accepted cells; 0 without any.

    It is Clopper and Pearson's, or, where the threshold was `chosen` by these answers, what
    `guaranteed_precisions` gives it.
    """
    kept = scores >= threshold
    if not kept.any():
        return 0.0
    if chosen:
        accepted, limits = guaranteed_precisions(scores, right, independent, threshold)
        return float(limits[np.searchsorted(accepted, kept.sum())])
    return float(_lower_limit(independent * right[kept].sum(), independent * kept.sum(), _LESS_LIKELY))


def _lower_limit(right: ArrayLike, accepted: ArrayLike, error: float) -> NDArray[np.float64]:
    """Return Clopper and Pearson's one-sided lower limit of shares."""
    k, n = np.asarray(right), np.asarray(accepted)
    return np.where(k > 0, scipy.stats.beta.ppf(error, np.maximum(k, 1e-9), n - k + 1), 0.0)


def _below(scores: Scores, accepted: int) -> float:
    """Return the threshold at which so many of the scores are accepted."""
    falling = np.sort(np.asarray(scores, np.float64))[::-1]
    return -math.inf if accepted == len(falling) else float(falling[accepted - 1] + falling[accepted]) / 2


def _check(scores: Scores, **shares: float) -> None:
    if not len(scores):
        raise ValueError("a reject threshold needs validation cells: train with some")
    for name, share in shares.items():
        if not 0 < share <= 1:
            raise ValueError(f"the {name} must be above 0 and at most 1, not {share}")
