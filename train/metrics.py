"""Measures of a classifier's answers and probabilities against the truth, on arrays.

Where a measure would be 0 / 0 it is undefined: NaN in arrays, None (``null``) in what is printed and stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15
"""Bins of the calibration error (Guo et al. 2017)."""

Interval = tuple[float, float]
Reals = NDArray[np.float32] | NDArray[np.float64]


class Scores(TypedDict):
    """What ``metrics.json`` holds, and the first part of what ``evaluate --json`` prints.

    A score is None where it is undefined: recall of a class without cells, precision of a class never
    answered, F1 of a class that is neither. `confusion` has rows truth, columns answers.
    """

    accuracy: float
    precision: dict[str, float | None]
    recall: dict[str, float | None]
    f1: dict[str, float | None]
    confusion: list[list[int]]
    labels: list[str]
    cells: int


class Intervals(TypedDict):
    """The interval of each score, low and high; None where the score is undefined or nothing can vary."""

    accuracy: Interval | None
    precision: dict[str, Interval | None]
    recall: dict[str, Interval | None]
    f1: dict[str, Interval | None]


class Rates(NamedTuple):
    """Scores of confusion matrices, float64: accuracy [...], others [..., labels]; NaN where undefined."""

    accuracy: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


class Reliability(NamedTuple):
    """Cells binned by confidence.

    Attributes
    ----------
    edges : float64 [bins + 1]; bin k holds the confidences in (edges[k], edges[k + 1]], the first one 0 too
    cells : int64 [bins]
    confidence, accuracy : float64 [bins], means of a bin's cells, NaN in an empty bin
    """

    edges: NDArray[np.float64]
    cells: NDArray[np.int64]
    confidence: NDArray[np.float64]
    accuracy: NDArray[np.float64]


class CoverageCurve(NamedTuple):
    """What is left and how right it is when only confident answers are kept, from few cells to all.

    Attributes
    ----------
    threshold : float64 [m], the distinct confidences, falling
    coverage : float64 [m], share of the cells whose confidence is at least the threshold; the last one is 1
    accuracy : float64 [m], share of right answers among these
    """

    threshold: NDArray[np.float64]
    coverage: NDArray[np.float64]
    accuracy: NDArray[np.float64]


def confusion_matrix(truth: NDArray[np.int64], answers: NDArray[np.int64], labels: int) -> NDArray[np.int64]:
    """Count answers by truth: int64 [labels, labels], rows truth, columns answers."""
    matrix = np.zeros((labels, labels), np.int64)
    np.add.at(matrix, (truth, answers), 1)
    return matrix


def rates(confusion: ArrayLike) -> Rates:
    """Score confusion matrices [..., labels, labels], rows truth.

    Equations 1 to 4 of Chen, Fu et al. (Heliyon 2024), with TP, FP and FN counted a class: recall
    TP / (TP + FN), precision TP / (TP + FP), F1 their harmonic mean 2 TP / (2 TP + FP + FN), and accuracy,
    the share of right answers.
    """
    matrices = np.asarray(confusion, np.float64)
    right = np.diagonal(matrices, axis1=-2, axis2=-1)
    answered, present = matrices.sum(axis=-2), matrices.sum(axis=-1)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN, as said above
        return Rates(
            accuracy=right.sum(axis=-1) / present.sum(axis=-1),
            precision=right / answered,
            recall=right / present,
            f1=2 * right / (answered + present),
        )


def score(truth: NDArray[np.int64], answers: NDArray[np.int64], labels: Sequence[str]) -> Scores:
    """Score answers against the truth, see `rates`.

    Parameters
    ----------
    truth, answers
        int [n], indices into `labels`.
    labels
        Class names.

    Raises
    ------
    ValueError
        Without cells.
    """
    if len(truth) == 0:
        raise ValueError("there are no cells to score")
    matrix = confusion_matrix(truth, answers, len(labels))
    found = rates(matrix)

    def by_label(values: NDArray[np.float64]) -> dict[str, float | None]:
        return {
            label: None if math.isnan(value) else float(value)
            for label, value in zip(labels, values, strict=True)
        }

    return Scores(
        accuracy=float(found.accuracy),
        precision=by_label(found.precision),
        recall=by_label(found.recall),
        f1=by_label(found.f1),
        confusion=matrix.tolist(),
        labels=list(labels),
        cells=len(truth),
    )


def bootstrap_intervals(
    truth: NDArray[np.int64],
    answers: NDArray[np.int64],
    labels: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Intervals:
    """Intervals of all scores by the percentile bootstrap (Efron and Tibshirani 1993, chapter 13).

    Whole groups are drawn with replacement, as many as there are: the cells of a frame or a patient are not
    independent, and drawing them singly would make the intervals too narrow (Davison and Hinkley 1997,
    section 3.8). Resamples in which a score is undefined do not count for it.

    An interval without width means that no resample could differ, such as where every answer is right; it
    does not mean that mistakes are impossible.

    Parameters
    ----------
    truth, answers, labels
        As for `score`.
    groups
        Group of each cell; by default each cell is drawn by itself.
    level
        Share of the resamples inside the interval.
    resamples, seed
        How many, and of the random draws.
    """
    cells = len(truth)
    _, group = np.unique(np.arange(cells) if groups is None else np.asarray(groups), return_inverse=True)
    drawn = int(group.max(initial=-1)) + 1
    if drawn < 2:
        nothing: dict[str, Interval | None] = dict.fromkeys(labels)
        return Intervals(accuracy=None, precision=nothing, recall=nothing, f1=nothing)
    size = len(labels)
    counts = np.zeros((drawn, size * size), np.int64)
    np.add.at(counts, (group, truth * size + answers), 1)
    # groups with equal counts are interchangeable: draw how often each kind comes, exactly and quickly
    kinds, number = np.unique(counts, axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(drawn, number / drawn, size=resamples)
    matrices = draws.astype(np.float64) @ kinds.astype(np.float64)
    found = rates(matrices.reshape(resamples, size, size))
    tail = (1 - level) / 2

    def interval(values: NDArray[np.float64]) -> Interval | None:
        defined = values[~np.isnan(values)]
        if len(defined) == 0:
            return None
        low, high = np.quantile(defined, (tail, 1 - tail))
        return float(low), float(high)

    def by_label(values: NDArray[np.float64]) -> dict[str, Interval | None]:
        return {label: interval(column) for label, column in zip(labels, values.T, strict=True)}

    return Intervals(
        accuracy=interval(found.accuracy),
        precision=by_label(found.precision),
        recall=by_label(found.recall),
        f1=by_label(found.f1),
    )


def reliability(
    confidence: Reals, right: NDArray[np.bool_], bins: int = BINS, *, equal_mass: bool = False
) -> Reliability:
    """Bin cells by their confidence (Niculescu-Mizil and Caruana, ICML 2005).

    Parameters
    ----------
    confidence
        float [n], probability of the answer, 0 to 1.
    right
        bool [n], whether the answer is the truth.
    bins
        Their number; `equal_mass` may make fewer.
    equal_mass
        Put the edges at quantiles of the confidence instead of at equal distances; equal confidences stay
        together.
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
    """Expected calibration error: mean over the cells of |accuracy − mean confidence| of their bin.

    With bins of equal width that of Naeini et al. (AAAI 2015) as used by Guo et al. (ICML 2017), with
    `equal_mass` the adaptive one of Nguyen and O'Connor (EMNLP 2015). 0 is best; NaN without cells. On few
    cells it is above 0 even for a calibrated model, see `chance_calibration_error`.
    """
    found = reliability(confidence, right, bins, equal_mass=equal_mass)
    filled = found.cells > 0
    gaps = np.abs(found.accuracy[filled] - found.confidence[filled])
    return float(found.cells[filled] @ gaps / len(confidence)) if len(confidence) else math.nan


def chance_calibration_error(
    confidence: Reals,
    bins: int = BINS,
    *,
    quantile: float = 0.95,
    rounds: int = 400,
    seed: int = 0,
) -> float:
    """Calibration error that a calibrated model with these confidences stays below, by chance.

    Each answer is drawn to be right with its confidence as probability, again and again (consistency
    resampling: Bröcker and Smith, Weather and Forecasting 22:651, 2007); returned is the `quantile` of the
    errors. A model whose error is larger is not calibrated.
    """
    rng = np.random.default_rng(seed)
    errors = [
        calibration_error(confidence, rng.random(len(confidence)) < confidence, bins) for _ in range(rounds)
    ]
    return float(np.quantile(errors, quantile))


def coverage_curve(confidence: Reals, right: NDArray[np.bool_]) -> CoverageCurve:
    """Accuracy of the most confident answers over the share of the cells that they are.

    The risk–coverage curve of El-Yaniv and Wiener (JMLR 11:1605, 2010), as accuracy. No threshold parts equal
    confidences, so they make one point.

    Parameters
    ----------
    confidence, right
        As for `reliability`, at least one cell.
    """
    order = np.argsort(-confidence, kind="stable")
    falling = np.asarray(confidence, np.float64)[order]
    last = np.append(np.flatnonzero(np.diff(falling)), len(falling) - 1)
    kept = last + 1
    return CoverageCurve(falling[last], kept / len(falling), np.cumsum(right[order])[last] / kept)


def coverage_at(curve: CoverageCurve, accuracy: float) -> int | None:
    """Return the index of the largest coverage at which the accuracy is reached; None if it never is."""
    reached = np.flatnonzero(curve.accuracy >= accuracy)
    return int(reached[-1]) if len(reached) else None


def brier_score(probabilities: Reals, truth: NDArray[np.int64]) -> float:
    """Mean squared distance between probabilities [n, labels] and truth, 0 (best) to 2 (Brier 1950)."""
    wanted = np.eye(probabilities.shape[1])[truth]
    return float(((probabilities - wanted) ** 2).sum(axis=1).mean())
