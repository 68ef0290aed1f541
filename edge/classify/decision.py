"""The label of a cell, or its rejection."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

REJECTED = "rejected"


def most_probable_labels(probabilities: NDArray[np.float32], labels: Sequence[str]) -> list[str]:
    """Name the most probable label of each cell, however small its probability; float32 [n, labels]."""
    return [labels[k] for k in probabilities.argmax(axis=1)] if len(probabilities) else []


def decide_labels(
    probabilities: NDArray[np.float32], labels: Sequence[str], reject_below: float
) -> list[str]:
    """Name the most probable label of each cell, or ``rejected``.

    Parameters
    ----------
    probabilities : float32 [n, labels]
    labels : in output order
    reject_below : a cell whose best probability is smaller is rejected
    """
    return [
        label if row.max() >= reject_below else REJECTED
        for row, label in zip(probabilities, most_probable_labels(probabilities, labels), strict=True)
    ]
