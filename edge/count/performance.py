"""Measures of a classifier: accuracy of a confusion matrix, area under the ROC curve."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.count.intervals import Estimate, estimate_proportion


def confusion_accuracy(confusion: Sequence[Sequence[int]]) -> Estimate:
    """Return the share of cells on the diagonal, with its Clopper–Pearson interval."""
    return estimate_proportion(sum(row[k] for k, row in enumerate(confusion)), sum(map(sum, confusion)))


def area_under_roc(positive: NDArray[np.float64], negative: NDArray[np.float64]) -> float:
    """Return the probability that a positive scores higher than a negative; ties count half.

    Mann and Whitney, Ann. Math. Statist. 18:50 (1947). Neither may be empty.
    """
    order = np.sort(negative)
    below = np.searchsorted(order, positive, "left") + np.searchsorted(order, positive, "right")
    return float(below.mean() / 2 / len(negative))
