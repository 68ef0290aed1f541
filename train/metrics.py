"""Scores of a classifier from its answers and the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray


class Scores(TypedDict):
    """What ``evaluate --json`` prints and ``metrics.json`` holds."""

    accuracy: float
    precision: dict[str, float]
    recall: dict[str, float]
    f1: dict[str, float]
    confusion: list[list[int]]
    labels: list[str]
    cells: int


def confusion_matrix(truth: NDArray[np.int64], answers: NDArray[np.int64], labels: int) -> NDArray[np.int64]:
    """Count answers by truth: int64 [labels, labels], rows truth, columns answers."""
    matrix = np.zeros((labels, labels), np.int64)
    np.add.at(matrix, (truth, answers), 1)
    return matrix


def score(truth: NDArray[np.int64], answers: NDArray[np.int64], labels: Sequence[str]) -> Scores:
    """Score answers against the truth.

    With TP, FP and FN counted a class: precision TP / (TP + FP), recall TP / (TP + FN), F1 their harmonic
    mean 2 TP / (2 TP + FP + FN), accuracy the share of right answers. 0 / 0 counts as 0.

    Parameters
    ----------
    truth, answers
        int [n], indices into `labels`.
    labels
        Class names.
    """
    matrix = confusion_matrix(truth, answers, len(labels))
    right = np.diag(matrix)
    answered, present = matrix.sum(axis=0), matrix.sum(axis=1)

    def by_label(parts: NDArray[np.int64], wholes: NDArray[np.int64]) -> dict[str, float]:
        return {
            label: float(part / whole) if whole else 0.0
            for label, part, whole in zip(labels, parts, wholes, strict=True)
        }

    cells = int(matrix.sum())
    return Scores(
        accuracy=float(right.sum() / cells) if cells else 0.0,
        precision=by_label(right, answered),
        recall=by_label(right, present),
        f1=by_label(2 * right, answered + present),
        confusion=matrix.tolist(),
        labels=list(labels),
        cells=cells,
    )
