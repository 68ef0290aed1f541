"""Scores of a classifier's answers against the truth, with bootstrap intervals.

A score that would be 0 / 0 is undefined: NaN in arrays, None (``null``) in what is printed and stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.count import LEVEL

Interval = tuple[float, float]

RESAMPLES, SEED = 2000, 0
"""Of the bootstrap intervals."""


class Scores(TypedDict):
    """The content of ``metrics.json``, and the first part of what ``evaluate --json`` prints.

    Undefined are the recall of a class without cells, the precision of a class never answered, and the F1 of
    a class that is both. `confusion` has one row per true class and one column per answer.
    """

    accuracy: float
    precision: dict[str, float | None]
    recall: dict[str, float | None]
    f1: dict[str, float | None]
    confusion: list[list[int]]
    labels: list[str]
    cells: int


class Intervals(TypedDict):
    """The interval of each score, (low, high); None if the score is undefined or there is a single group."""

    accuracy: Interval | None
    precision: dict[str, Interval | None]
    recall: dict[str, Interval | None]
    f1: dict[str, Interval | None]


class Rates(NamedTuple):
    """Scores of confusion matrices, float64: accuracy [...], the others [..., labels]."""

    accuracy: NDArray[np.float64]
    precision: NDArray[np.float64]
    recall: NDArray[np.float64]
    f1: NDArray[np.float64]


def confusion_matrix(truth: NDArray[np.int64], answers: NDArray[np.int64], labels: int) -> NDArray[np.int64]:
    """Count the answers per true class: int64 [labels, labels], rows truth, columns answers."""
    matrix = np.zeros((labels, labels), np.int64)
    np.add.at(matrix, (truth, answers), 1)
    return matrix


def rates(confusion: ArrayLike) -> Rates:
    """Score confusion matrices [..., labels, labels], rows truth.

    These are equations 1 to 4 of Chen, Fu et al. (Heliyon 2024), with TP, FP and FN counted per class: recall
    TP / (TP + FN), precision TP / (TP + FP), F1 their harmonic mean 2 TP / (2 TP + FP + FN), and accuracy,
    the share of right answers.
    """
    matrices = np.asarray(confusion, np.float64)
    right = np.diagonal(matrices, axis1=-2, axis2=-1)
    answered, present = matrices.sum(axis=-2), matrices.sum(axis=-1)
    with np.errstate(invalid="ignore"):  # 0 / 0 is NaN
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
    truth, answers : int64 [n]
        Indices into `labels`.

    Raises
    ------
    ValueError
        Without cells.
    """
    if len(truth) == 0:
        raise ValueError("there are no cells to score")
    return scores_of(confusion_matrix(truth, answers, len(labels)), labels)


def scores_of(matrix: NDArray[np.int64], labels: Sequence[str]) -> Scores:
    """Return the scores of a confusion matrix with at least one cell, see `rates`."""
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
        cells=int(matrix.sum()),
    )


def resampled_sums(
    values: NDArray[np.int64], groups: Sequence[str] | None, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Sum the rows of each bootstrap resample of whole groups.

    Each resample draws groups with replacement, as many as there are: the cells of a frame or a patient are
    not independent, and drawing single cells would make intervals too narrow (Davison and Hinkley 1997,
    section 3.8).

    Parameters
    ----------
    values : int64 [n, m]
    groups : Sequence[str] or None
        Group of each row; by default each row is its own group.

    Returns
    -------
    float64 [resamples, m]
    """
    own = np.arange(len(values)) if groups is None else np.asarray(groups)
    _, group = np.unique(own, return_inverse=True)
    sums = np.zeros((int(group.max()) + 1, values.shape[1]), np.int64)
    np.add.at(sums, group, values)
    # groups with equal sums are interchangeable: drawing how often each kind comes is exact and fast
    kinds, number = np.unique(sums, axis=0, return_counts=True)
    draws = np.random.default_rng(seed).multinomial(len(sums), number / len(sums), size=resamples)
    return draws.astype(np.float64) @ kinds.astype(np.float64)


def bootstrap_intervals(
    truth: NDArray[np.int64],
    answers: NDArray[np.int64],
    labels: Sequence[str],
    groups: Sequence[str] | None = None,
    *,
    level: float = LEVEL,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Intervals:
    """Return intervals of all scores by the percentile bootstrap (Efron and Tibshirani 1993, chapter 13).

    Resamples in which a score is undefined do not count for it. An interval without width means that no
    resample could differ, such as where every answer is right; mistakes are still possible.

    `level` is the share of the resamples inside the interval; see `score` and `resampled_sums`.
    """
    if len(np.unique(np.arange(len(truth)) if groups is None else groups)) < 2:
        nothing: dict[str, Interval | None] = dict.fromkeys(labels)
        return Intervals(accuracy=None, precision=nothing, recall=nothing, f1=nothing)
    size = len(labels)
    one_hot = np.eye(size * size, dtype=np.int64)[truth * size + answers]
    found = rates(resampled_sums(one_hot, groups, resamples, seed).reshape(resamples, size, size))

    def interval(values: NDArray[np.float64]) -> Interval | None:
        defined = values[~np.isnan(values)]
        if len(defined) == 0:
            return None
        low, high = np.quantile(defined, ((1 - level) / 2, (1 + level) / 2))
        return float(low), float(high)

    def by_label(values: NDArray[np.float64]) -> dict[str, Interval | None]:
        return {label: interval(column) for label, column in zip(labels, values.T, strict=True)}

    return Intervals(
        accuracy=interval(found.accuracy),
        precision=by_label(found.precision),
        recall=by_label(found.recall),
        f1=by_label(found.f1),
    )
