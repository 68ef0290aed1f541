"""Scores of a classifier's answers against the truth, with intervals.

A score that would be 0 / 0 is undefined: NaN in arrays, None (``null``) in what is printed and stored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple, TypedDict

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.count import clopper_pearson
from train.dependence import independent_share, likeness

Interval = tuple[float, float]


LEAST_GROUPS = 20
"""Groups from which intervals are stated. Of fewer, one that is unlike the others is easily absent: with a
correlation of 0.2 within groups the intervals of five groups covered an accuracy of 0.95 in 86 %."""


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
    """The interval of each score, (low, high); None if it is undefined or its cells are of too few groups."""

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


def score_intervals(
    truth: NDArray[np.int64],
    answers: NDArray[np.int64],
    labels: Sequence[str],
    groups: Sequence[str] | None = None,
) -> Intervals:
    """Return the 95 % interval of each score: Clopper–Pearson's on effective numbers of cells.

    Each score is a share of cells: recall of those of the class, precision of those with that answer,
    accuracy of all. F1 is 2 J / (1 + J), where J = TP / (TP + FP + FN) is the share of right ones among the
    cells of the class or with that answer. Of a class without mistakes, cells are taken to be as alike as all
    cells. Of fewer than `LEAST_GROUPS` groups there are no intervals. See `score` and `independent_share`.
    """
    right, grouped = truth == answers, None if groups is None else np.asarray(groups)
    everyone = None if groups is None else likeness(right, groups)
    few = groups is not None and len(set(groups)) < min(LEAST_GROUPS, len(right))

    def interval(of: NDArray[np.bool_]) -> Interval | None:
        hits = right[of]
        if few or not len(hits):
            return None
        unanimous = hits.all() or not hits.any()
        share = independent_share(
            hits, None if grouped is None else grouped[of], everyone if unanimous else None
        )
        return clopper_pearson(share * hits.sum(), share * len(hits)) if share else None

    def by_label(*sides: NDArray[np.int64]) -> dict[str, Interval | None]:
        return {
            label: interval(np.any([side == k for side in sides], axis=0)) for k, label in enumerate(labels)
        }

    agreed = by_label(truth, answers)
    return Intervals(
        accuracy=interval(np.ones(len(right), np.bool_)),
        precision=by_label(answers),
        recall=by_label(truth),
        f1={
            label: found and (2 * found[0] / (1 + found[0]), 2 * found[1] / (1 + found[1]))
            for label, found in agreed.items()
        },
    )
