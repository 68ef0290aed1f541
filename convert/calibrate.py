"""Honest probabilities: the temperature of the logits, and the threshold below which cells are rejected."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.count import clopper_pearson

# a wider range only says that the validation cells are too few or too easy to tell
TEMPERATURES = np.geomspace(0.25, 4, 161)
_CHI_SQUARED_95 = 3.841
"""95 % quantile of the chi-squared distribution with one degree of freedom."""


@dataclass(frozen=True)
class RejectThreshold:
    """Where answers are accepted, and what that makes of the validation cells.

    Attributes
    ----------
    threshold : a cell whose score is smaller is rejected
    precision : share of right answers among the accepted ones
    low : one-sided 95 % Clopper–Pearson limit of that share
    coverage : share of the cells that is accepted
    """

    threshold: float
    precision: float
    low: float
    coverage: float


def temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Temperature with the least negative log-likelihood on validation cells.

    Guo et al., "On calibration of modern neural networks", ICML 2017.

    Parameters
    ----------
    logits : float32 [n, labels]
    truth : int [n], indices of the true labels

    Returns
    -------
    One of `TEMPERATURES`; 1 without cells.
    """
    if len(truth) == 0:
        return 1.0
    return float(TEMPERATURES[int(np.argmin(_losses(logits, truth)))])


def temperature_interval(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> tuple[float, float]:
    """95 % likelihood-ratio interval of the temperature, within `TEMPERATURES`.

    All temperatures whose log-likelihood is less than half a chi-squared quantile below the best one's
    (Wilks, Ann. Math. Statist. 9:60, 1938). Cells of one frame are taken as independent.

    Parameters
    ----------
    logits, truth : as for `temperature`

    Returns
    -------
    Low and high; the whole range without cells.
    """
    if len(truth) == 0:
        return float(TEMPERATURES[0]), float(TEMPERATURES[-1])
    losses = _losses(logits, truth)
    likely = TEMPERATURES[2 * (losses - losses.min()) <= _CHI_SQUARED_95]
    return float(likely[0]), float(likely[-1])


def reject_threshold(
    scores: NDArray[np.float32] | NDArray[np.float64],
    right: NDArray[np.bool_],
    precision: float,
    *,
    coverage: float = 1.0,
) -> RejectThreshold:
    """Smallest threshold at which the accepted answers are right as often as stated.

    The share of right answers is the plain estimate; its lower limit is stated beside it. To demand that the
    limit reach 0.98 would take 149 accepted cells without one mistake: more than small validation sets hold.

    Parameters
    ----------
    scores : float [n] of validation cells, larger for surer answers
    right : bool [n], whether the answer is the truth
    precision : wanted share of right answers among the accepted ones
    coverage : accept no larger share of the cells, lest a network that is nearly always right accept
        everything, what it has never seen too

    Returns
    -------
    The threshold lies half way between the lowest accepted score and the next lower one, so that a
    processor's rounding moves no cell; -inf if all cells are accepted.

    Raises
    ------
    ValueError
        Without cells, if a share is out of range, or if no threshold reaches the precision.
    """
    if not len(scores):
        raise ValueError("a reject threshold needs validation cells: train with some")
    for name, share in (("precision", precision), ("coverage", coverage)):
        if not 0 < share <= 1:
            raise ValueError(f"the {name} must lie above 0 and not above 1, not {share}")
    order = np.argsort(-scores, kind="stable")
    falling = np.asarray(scores, np.float64)[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)  # equal scores are not parted
    accepted = last + 1
    successes = np.cumsum(right[order])[last]
    good = np.flatnonzero((successes >= precision * accepted) & (accepted <= coverage * len(scores)))
    if not len(good):
        raise ValueError(
            f"no threshold makes {precision:.4g} of the accepted answers right on {len(scores)} validation "
            "cells: state a lower precision or train a better network"
        )
    k = good[-1]
    n, hits = int(accepted[k]), int(successes[k])
    return RejectThreshold(
        threshold=float((falling[last[k]] + falling[n]) / 2) if n < len(falling) else -np.inf,
        precision=hits / n,
        low=clopper_pearson(hits, n, level=0.90)[0],
        coverage=n / len(falling),
    )


def _losses(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> NDArray[np.float64]:
    """Negative log-likelihood of all cells together at each of `TEMPERATURES`."""
    losses = []
    for t in TEMPERATURES:
        scaled = logits / t
        shifted = scaled - scaled.max(axis=1, keepdims=True)
        logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
        losses.append(-float(logarithms[np.arange(len(truth)), truth].sum()))
    return np.array(losses)
