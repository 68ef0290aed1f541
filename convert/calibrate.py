"""The temperature that makes a network's probabilities honest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

# a wider range only says that the validation cells are too few or too easy to tell
TEMPERATURES = np.geomspace(0.25, 4, 161)


def temperature(logits: NDArray[np.float32], truth: NDArray[np.int64]) -> float:
    """Temperature with the least negative log-likelihood on validation cells.

    Guo et al., "On calibration of modern neural networks", ICML 2017.

    Parameters
    ----------
    logits : float32 [n, labels]
    truth : int [n], indices of the true labels

    Returns
    -------
    One of `TEMPERATURES`; 1 without cells.
    """
    if len(truth) == 0:
        return 1.0
    losses = [_negative_log_likelihood(logits / t, truth) for t in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def _negative_log_likelihood(logits: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
    shifted = logits - logits.max(axis=1, keepdims=True)
    logarithms = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return float(-logarithms[np.arange(len(truth)), truth].mean())
