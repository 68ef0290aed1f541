"""Answers averaged over mirrored and rotated views of a crop: a cell has no up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.classify.decision import softmax
from edge.model import TEST_TIME_VIEWS


def average_logits(
    answer: Callable[[NDArray[Any]], NDArray[np.float32]],
    crops: NDArray[Any],
    views: int,
    margin_below: float | None = None,
) -> NDArray[np.float32]:
    """Return the mean logits of crops over their views, float32 [n, labels].

    The softmax of mean logits is the normalised geometric mean of the views' probabilities.

    Parameters
    ----------
    answer : callable
        From crops [n, s, s] or [n, s, s, channels] to logits, float32 [n, labels].
    crops : array of any dtype
    views : int
        One of `TEST_TIME_VIEWS`.
    margin_below : float, optional
        Only crops whose `margin` in the first view, the crop as it is, is smaller get the other views. Most
        crops then cost one view. None gives every crop all views.
    """
    if views not in TEST_TIME_VIEWS:
        raise ValueError(f"a crop has {' or '.join(map(str, TEST_TIME_VIEWS))} views, not {views}")
    first = answer(crops)
    if views == 1:
        return first
    unsure = np.full(len(crops), True) if margin_below is None else margin(first) < margin_below
    if not unsure.any():
        return first
    others = [(mirrored, turns) for mirrored in (False, True) for turns in range(4)][1:]
    turned = (
        np.ascontiguousarray(
            np.rot90(crops[unsure][:, :, ::-1] if mirrored else crops[unsure], turns, axes=(1, 2))
        )
        for mirrored, turns in others
    )
    mean = first.copy()
    mean[unsure] = np.mean([first[unsure], *map(answer, turned)], axis=0, dtype=np.float32)
    return mean


def margin(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the difference between the best logit and the second, float32 [n], of float32 [n, labels]."""
    ordered = np.sort(logits, axis=1)
    ahead: NDArray[np.float32] = ordered[:, -1] - ordered[:, -2]
    return ahead


def average_probabilities(
    classify: Callable[[NDArray[np.uint8]], NDArray[np.float32]], crops: NDArray[np.uint8], views: int
) -> NDArray[np.float32]:
    """Return the normalised geometric mean of a classifier's probabilities over the crops' views.

    `classify` takes crops, uint8 [n, s, s], and returns probabilities, float32 [n, labels].
    """
    if views == 1:
        return classify(crops)
    tiny = np.finfo(np.float32).tiny
    return softmax(average_logits(lambda view: np.log(np.maximum(classify(view), tiny)), crops, views))
