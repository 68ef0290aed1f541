"""How many labels of a sample are expected to be wrong, by the bundle's own probabilities."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.classify import Decision
from edge.count.intervals import Estimate

_STANDARD_ERRORS = 1.96
"""On each side of a mean, for its 95 % interval."""


class Doubt:
    """Sums of the doubt about each cell: one minus the probability of its likeliest label.

    A bundle's temperature makes its probabilities right for the validation cells: there the mean doubt is the
    share of wrong labels. Where degraded images push cells towards another class it rises, and where they do
    not concern the network it stays (the average confidence of Guillory et al., ICCV 2021). It understates
    the wrong labels of unfamiliar images. Cells out of distribution are left out, because their probabilities
    mean nothing; those of low confidence are not.
    """

    def __init__(self) -> None:
        self._sums: dict[str, NDArray[np.float64]] = {}

    def add(self, decisions: Sequence[Decision], probabilities: NDArray[np.float32]) -> None:
        """Add a frame's n cells, with their probabilities, float32 [n, labels]."""
        for one, best in zip(decisions, probabilities.max(axis=1, initial=0).tolist(), strict=True):
            if one.answered:
                doubt = 1 - best
                sums = self._sums.setdefault(one.likeliest, np.zeros(3))
                sums += 1, doubt, doubt**2

    def cells(self, labels: Iterable[str]) -> int:
        """Return the number of cells whose likeliest label is one of these."""
        return int(self._pooled(labels)[0])

    def estimate(self, labels: Iterable[str]) -> Estimate:
        """Return the share of these labels that is expected to be wrong."""
        cells, total, squares = self._pooled(labels)
        if not cells:
            return Estimate(None, 0.0, 1.0)
        mean = total / cells
        if cells == 1:
            return Estimate(mean, 0.0, 1.0)
        around = _STANDARD_ERRORS * math.sqrt(max(squares / cells - mean**2, 0.0) / (cells - 1))
        return Estimate(mean, max(mean - around, 0.0), min(mean + around, 1.0))

    def _pooled(self, labels: Iterable[str]) -> tuple[float, float, float]:
        """Return the number of cells, and the sum of their doubts and of the squares of these."""
        sums = np.zeros(3)
        for label in labels:
            sums += self._sums.get(label, 0)
        cells, total, squares = sums.tolist()
        return cells, total, squares
