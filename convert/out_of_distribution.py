"""The out-of-distribution model, fitted to training crops."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.classify import crop_statistics
from edge.model import OutOfDistributionModel

LEAST_CROPS = 20
"""Crops that the Gaussian's 27 numbers need at the very least."""

_RIDGE = 1e-4
"""Added to the covariance's diagonal, lest a statistic that hardly varies in training decide alone."""


def fit(crops: NDArray[np.uint8]) -> OutOfDistributionModel:
    """Fit the Gaussian of training crops uint8 [n, side, side].

    Raises
    ------
    ValueError
        With fewer than `LEAST_CROPS` crops.
    """
    if len(crops) < LEAST_CROPS:
        raise ValueError(f"{len(crops)} crops do not show what is typical: at least {LEAST_CROPS} are needed")
    seen = crop_statistics(crops)
    covariance = np.cov(seen.T) + _RIDGE * np.eye(seen.shape[1])
    precision = np.linalg.inv(covariance)
    return OutOfDistributionModel(tuple(seen.mean(axis=0).tolist()), tuple(map(tuple, precision.tolist())))
