"""Measures of a classifier's probabilities: calibration, and accuracy over coverage."""

from __future__ import annotations

import math
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

BINS = 15
"""Bins of the calibration error (Guo et al. 2017)."""

Reals = NDArray[np.float32] | NDArray[np.float64]


class Bin(TypedDict):
    """The cells whose confidence is in (low, high], or 0 in the first bin, and their means."""

    low: float
    high: float
    cells: int
    confidence: float
    accuracy: float


class CoveragePoint(TypedDict):
    """The share of the cells whose confidence is at least `threshold`, and their accuracy."""

    threshold: float
    coverage: float
    accuracy: float


def reliability(
    confidence: Reals, right: NDArray[np.bool_], bins: int = BINS, *, equal_mass: bool = False
) -> list[Bin]:
    """Bin cells by their confidence (Niculescu-Mizil and Caruana, ICML 2005) and return the filled bins.

    Parameters
    ----------
    confidence : float [n]
        Probability of each answer.
    right : bool [n]
        Whether the answer is the truth.
    equal_mass : bool
        Put the edges at quantiles of the confidence instead of at equal distances. Equal confidences stay in
        one bin, so there may be fewer bins.
    """
    values = np.asarray(confidence, np.float64)
    inner = np.linspace(0, 1, bins + 1)[1:-1]
    if equal_mass and len(values):
        inner = np.unique(np.quantile(values, inner, method="inverted_cdf"))
    place = np.searchsorted(inner, values, side="left")
    cells = np.bincount(place, minlength=len(inner) + 1)
    edges = [0.0, *inner.tolist(), 1.0]
    confidences, accuracies = (np.bincount(place, weights, len(cells)) for weights in (values, right))
    return [
        Bin(
            low=edges[k],
            high=edges[k + 1],
            cells=int(cells[k]),
            confidence=float(confidences[k] / cells[k]),
            accuracy=float(accuracies[k] / cells[k]),
        )
        for k in np.flatnonzero(cells)
    ]


def calibration_error(
    confidence: Reals, right: NDArray[np.bool_], bins: int = BINS, *, equal_mass: bool = False
) -> float:
    """Return the expected calibration error: the mean over the cells of |accuracy − confidence| of their bin.

    With bins of equal width it is that of Naeini et al. (AAAI 2015) as used by Guo et al. (ICML 2017), with
    `equal_mass` the adaptive one of Nguyen and O'Connor (EMNLP 2015). 0 is best, NaN without
    cells. On few cells even a calibrated model is above 0, see `chance_calibration_error`.
    """
    found = reliability(confidence, right, bins, equal_mass=equal_mass)
    gaps = sum(one["cells"] * abs(one["accuracy"] - one["confidence"]) for one in found)
    return gaps / len(confidence) if len(confidence) else math.nan


def chance_calibration_error(confidence: Reals) -> float:
    """Return the calibration error that a calibrated model with these confidences exceeds in 5 % of draws.

    Each of 400 draws lets every answer be right with its confidence as probability (consistency resampling:
    Bröcker and Smith, Weather and Forecasting 22:651, 2007). A model with a larger error is not calibrated.
    """
    rng = np.random.default_rng(0)
    errors = [calibration_error(confidence, rng.random(len(confidence)) < confidence) for _ in range(400)]
    return float(np.quantile(errors, 0.95))


def coverage_curve(confidence: Reals, right: NDArray[np.bool_]) -> list[CoveragePoint]:
    """Return the accuracy of the most confident answers by their share of the cells, from few to all.

    This is the risk–coverage curve of El-Yaniv and Wiener (JMLR 11:1605, 2010) as accuracy. No threshold
    separates equal confidences, so they make one point. There must be a cell.
    """
    order = np.argsort(-confidence, kind="stable")
    falling = np.asarray(confidence, np.float64)[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    accuracies = np.cumsum(right[order])[last] / (last + 1)
    coverages = (last + 1) / len(falling)
    return [
        CoveragePoint(threshold=threshold, coverage=coverage, accuracy=accuracy)
        for threshold, coverage, accuracy in zip(
            falling[last].tolist(), coverages.tolist(), accuracies.tolist(), strict=True
        )
    ]


def largest_coverage(curve: list[CoveragePoint], accuracy: float) -> CoveragePoint | None:
    """Return the point of largest coverage that reaches the accuracy; None if none does."""
    return next((point for point in reversed(curve) if point["accuracy"] >= accuracy), None)


def brier_score(probabilities: Reals, truth: NDArray[np.int64]) -> float:
    """Return the mean squared distance of probabilities [n, labels] from the truth, 0 to 2 (Brier 1950)."""
    wanted = np.eye(probabilities.shape[1])[truth]
    return float(((probabilities - wanted) ** 2).sum(axis=1).mean())
