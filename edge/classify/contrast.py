"""The contrast of a frame's cells relative to the training crops: a negative or a dim one has another.

A bundle's out-of-distribution model states the statistics of its training crops, so no bundle has to change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.model import OCTAVES, OutOfDistributionModel


@dataclass(frozen=True)
class Contrast:
    """The contrast of some cells, relative to the training crops.

    The medians of the 140 hemocytometer frames, of simulated frames and of other unstained cells (``hsc``)
    are 1.04, 1.17 and 0.89; negatives of the first two 1.86 and 1.88, dark field 4, stained cells (``pbc``)
    2.0, frames of half the contrast 0.54 and 0.60.

    Attributes
    ----------
    ratio : float
        Strength of their detail; 1 is that of the training crops.
    asymmetry : float
        How much farther they depart upward from the background than downward, relative to it and less what
        the training crops do: 0.01 and -0.04 above, 0.2 in the negatives of simulated frames.
    """

    ratio: float
    asymmetry: float


def contrast(statistics: NDArray[np.float64], trained: OutOfDistributionModel) -> Contrast | None:
    """Return the median contrast of crops, from their `crop_statistics`; None without crops."""
    if not len(statistics):
        return None
    mean = np.array(trained.mean)
    middle = np.median(statistics, axis=0) - mean
    lean = [_lean(row) for row in statistics]
    return Contrast(float(np.exp(middle[:OCTAVES].mean())), float(np.median(lean)) - _lean(mean))


def _lean(statistics: NDArray[np.float64]) -> float:
    """Return how much farther the bright extreme is from the background, 1, than the dark one, in shares."""
    up, down = statistics[OCTAVES + 1] - 1, 1 - statistics[OCTAVES]
    return float((up - down) / max(up + down, 1e-6))
