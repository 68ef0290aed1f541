"""A cell has no up: what a network says of a crop, averaged over its mirrored and turned views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.model import TEST_TIME_VIEWS


def average_logits(
    answer: Callable[[NDArray[Any]], NDArray[np.float32]],
    crops: NDArray[Any],
    views: int,
    doubt: float | None = None,
) -> NDArray[np.float32]:
    """Average logits of crops over their views, of those in doubt alone if a limit of doubt is given.

    The mean of logits is that of the logarithms of the probabilities, up to a constant a crop: the softmax of
    mean logits is the normalised geometric mean of the views' probabilities.

    Parameters
    ----------
    answer : from crops [n, s, s] or [n, s, s, channels] to float32 [n, labels]
    crops : of any dtype
    views : one of `VIEWS`
    doubt : a crop whose best logit leads by this much or more in the first view, the crop as it is, keeps
        that answer: most crops do, and cost one view. None to see every crop from all sides

    Returns
    -------
    float32 [n, labels]
    """
    if views not in TEST_TIME_VIEWS:
        raise ValueError(f"a crop has {' or '.join(map(str, TEST_TIME_VIEWS))} views, not {views}")
    first = answer(crops)
    if views == 1:
        return first
    doubted = np.full(len(crops), True) if doubt is None else margin(first) < doubt
    if not doubted.any():
        return first
    seen = crops[doubted]
    others = [(mirrored, turns) for mirrored in (False, True) for turns in range(4)][1:]
    turned = (
        np.ascontiguousarray(np.rot90(seen[:, :, ::-1] if mirrored else seen, turns, axes=(1, 2)))
        for mirrored, turns in others
    )
    mean = first.copy()
    mean[doubted] = np.mean([first[doubted], *map(answer, turned)], axis=0, dtype=np.float32)
    return mean


def margin(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """How far the best logit is ahead of the second: float32 [n] of float32 [n, labels]."""
    ordered = np.sort(logits, axis=1)
    ahead: NDArray[np.float32] = ordered[:, -1] - ordered[:, -2]
    return ahead


def average_probabilities(
    classify: Callable[[NDArray[np.uint8]], NDArray[np.float32]], crops: NDArray[np.uint8], views: int
) -> NDArray[np.float32]:
    """Normalised geometric mean of a classifier's probabilities over a crop's views.

    Parameters
    ----------
    classify : from crops uint8 [n, s, s] to probabilities float32 [n, labels]
    crops : uint8 [n, s, s]
    views : one of `VIEWS`
    """
    if views == 1:
        return classify(crops)
    tiny = np.finfo(np.float32).tiny
    logits = average_logits(lambda view: np.log(np.maximum(classify(view), tiny)), crops, views)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    mean: NDArray[np.float32] = exponents / exponents.sum(axis=1, keepdims=True)
    return mean
