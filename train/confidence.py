"""Measures of a classifier's probabilities: calibration, and accuracy over coverage.

A mean over no cells is NaN.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of the calibration error (Guo et al. 2017)."""

Reals = NDArray[np.float32] | NDArray[np.float64]


class Reliability(NamedTuple):
    """Cells binned by confidence.

    Attributes
    ----------
    edges : float64 [bins + 1]
        Bin k holds the confidences in (edges[k], edges[k + 1]]; the first bin also holds 0.
    cells : int64 [bins]
    confidence, accuracy : float64 [bins]
        Means over a bin's cells.
    """

    edges: NDArray[np.float64]
    cells: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


class CoverageCurve(NamedTuple):
    """Accuracy when only the most confident answers are kept, from few cells to all.

    Attributes
    ----------
    threshold : float64 [m]
        The distinct confidences, falling.
    coverage : float64 [m]
        Share of the cells whose confidence is at least the threshold; the last one is 1.
    accuracy : float64 [m]
        Share of right answers among these.
    """

    threshold: NDArray[np.float64]
    coverage: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def reliability(
    confidence: Reals, right: NDArray[np.bool_], bins: int = BINS, *, equal_mass: bool = False
) -> Reliability:
    """Bin cells by their confidence (Niculescu-Mizil and Caruana, ICML 2005).

    Parameters
    ----------
    confidence : float [n]
        Probability of each answer.
    right : bool [n]
        Whether the answer is the truth.
    bins : int
        Number of bins; `equal_mass` may make fewer.
    equal_mass : bool
        Put the edges at quantiles of the confidence instead of at equal distances. Equal confidences stay in
        one bin.
    """
    values = np.asarray(confidence, np.float64)
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    if equal_mass and len(values):
        inner = np.unique(np.quantile(values, inner, method="inverted_cdf"))
    place = np.searchsorted(inner, values, side="left")
    cells = np.bincount(place, minlength=len(inner) + 1)
    with np.errstate(invalid="ignore"):  # an empty bin has no means
        return Reliability(
            edges=np.concatenate([[0.0], inner, [1.0]]),
            cells=cells,
            confidence=np.bincount(place, values, minlength=len(cells)) / cells,
            accuracy=np.bincount(place, right, minlength=len(cells)) / cells,
        )


def calibration_error(
    confidence: Reals, right: NDArray[np.bool_], bins: int = BINS, *, equal_mass: bool = False
) -> float:
    """Return the expected calibration error: the mean over the cells of |accuracy − confidence| of their bin.

    With bins of equal width it is that of Naeini et al. (AAAI 2015) as used by Guo et al. (ICML 2017), with
    `equal_mass` the adaptive one of Nguyen and O'Connor (EMNLP 2015). 0 is best. On few cells even a
    calibrated model is above 0, see `chance_calibration_error`.
    """
    found = reliability(confidence, right, bins, equal_mass=equal_mass)
    filled = found.cells > 0
    gaps = np.abs(found.accuracy[filled] - found.confidence[filled])
    return float(found.cells[filled] @ gaps / len(confidence)) if len(confidence) else math.nan


def chance_calibration_error(
    confidence: Reals, bins: int = BINS, *, quantile: float = 0.95, rounds: int = 400, seed: int = 0
) -> float:
    """Return a quantile of the calibration error by chance of a calibrated model with these confidences.

    Each round draws every answer to be right with its confidence as probability (consistency resampling:
    Bröcker and Smith, Weather and Forecasting 22:651, 2007). A model with a larger error is not calibrated.
    """
    rng = np.random.default_rng(seed)
    errors = [
        calibration_error(confidence, rng.random(len(confidence)) < confidence, bins) for _ in range(rounds)
    ]
    return float(np.quantile(errors, quantile))


def coverage_curve(confidence: Reals, right: NDArray[np.bool_]) -> CoverageCurve:
    """Return the accuracy of the most confident answers by their share of the cells.

    This is the risk–coverage curve of El-Yaniv and Wiener (JMLR 11:1605, 2010) as accuracy. No threshold
    separates equal confidences, so they make one point.

    Parameters
    ----------
    confidence, right : float [n], bool [n]
        See `reliability`; at least one cell.
    """
    order = np.argsort(-confidence, kind="stable")
    falling = np.asarray(confidence, np.float64)[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    kept = last + 1
    return CoverageCurve(falling[last], kept / len(falling), np.cumsum(right[order])[last] / kept)


def coverage_at(curve: CoverageCurve, accuracy: float) -> int | None:
    """Return the index of the largest coverage that reaches the accuracy; None if none does."""
    reached = np.flatnonzero(curve.accuracy >= accuracy)
    return int(reached[-1]) if len(reached) else None


def brier_score(probabilities: Reals, truth: NDArray[np.int64]) -> float:
    """Return the mean squared distance of probabilities [n, labels] from the truth, 0 to 2 (Brier 1950)."""
    wanted = np.eye(probabilities.shape[1])[truth]
    return float(((probabilities - wanted) ** 2).sum(axis=1).mean())
