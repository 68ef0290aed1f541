"""A cell has no up: what a network says of a crop, averaged over its mirrored and turned views."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

VIEWS = (1, 8)
"""How many views may be asked for: the crop as it is, or both mirror images in all four quarter turns."""


def mean_over_views(
    answer: Callable[[NDArray[Any]], NDArray[np.float32]], crops: NDArray[Any], views: int
) -> NDArray[np.float32]:
    """Average a function of crops over their views.

    Of logits the mean is that of the logarithms of the probabilities, up to a constant a crop: the softmax of
    mean logits is the normalised geometric mean of the views' probabilities.

    Parameters
    ----------
    answer : from crops [n, s, s] or [n, s, s, channels] to float32 [n, labels]
    crops : of any dtype
    views : one of `VIEWS`

    Returns
    -------
    float32 [n, labels]
    """
    if views not in VIEWS:
        raise ValueError(f"a crop has {' or '.join(map(str, VIEWS))} views, not {views}")
    if views == 1:
        return answer(crops)
    turned = (
        np.ascontiguousarray(np.rot90(side, turns, axes=(1, 2)))
        for side in (crops, crops[:, :, ::-1])
        for turns in range(4)
    )
    mean: NDArray[np.float32] = np.mean([answer(view) for view in turned], axis=0, dtype=np.float32)
    return mean


def probabilities_over_views(
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
    logits = mean_over_views(lambda view: np.log(np.maximum(classify(view), tiny)), crops, views)
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    mean: NDArray[np.float32] = exponents / exponents.sum(axis=1, keepdims=True)
    return mean
