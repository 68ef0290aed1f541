from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.classify.test_time_augmentation import average_logits, average_probabilities, margin


def place(crops: NDArray[np.uint8]) -> NDArray[np.float32]:
    return crops.reshape(len(crops), -1).astype(np.float32)


def test_every_view_is_used_once() -> None:
    corner = np.zeros((1, 4, 4), np.uint8)
    corner[0, 0, 1] = 8
    views = average_logits(place, corner, 8).reshape(4, 4)
    assert views.dtype == np.float32
    assert views[[0, 0, 1, 1, 2, 2, 3, 3], [1, 2, 0, 3, 0, 3, 1, 2]].tolist() == [1] * 8
    assert views.sum() == 8
    np.testing.assert_array_equal(average_logits(place, corner[..., None], 8).reshape(4, 4), views)


def test_one_view_is_the_crop_as_it_is() -> None:
    crops = np.arange(2 * 9, dtype=np.uint8).reshape(2, 3, 3)
    np.testing.assert_array_equal(average_logits(place, crops, 1), place(crops))
    with pytest.raises(ValueError, match="1 or 8 views, not 3"):
        average_logits(place, crops, 3)


@given(st.integers(0, 2**32 - 1))
def test_the_mean_of_logits_is_that_of_log_probabilities(seed: int) -> None:
    rng = np.random.default_rng(seed)
    crops, weights = rng.integers(0, 256, (3, 5, 5)).astype(np.uint8), rng.normal(0, 0.01, (25, 3))

    def logits(views: NDArray[np.uint8]) -> NDArray[np.float32]:
        return (place(views) @ weights).astype(np.float32)

    def softmax(values: NDArray[np.float32]) -> NDArray[np.float32]:
        e = np.exp(values - values.max(axis=1, keepdims=True))
        return np.asarray(e / e.sum(axis=1, keepdims=True), np.float32)

    by_logits = softmax(average_logits(logits, crops, 8))
    found = average_probabilities(lambda views: softmax(logits(views)), crops, 8)
    np.testing.assert_allclose(found, by_logits, atol=1e-5)
    turned = np.ascontiguousarray(np.rot90(crops, axes=(1, 2)))
    np.testing.assert_allclose(
        average_probabilities(lambda views: softmax(logits(views)), turned, 8), found, atol=1e-5
    )


@given(st.integers(0, 2**32 - 1), st.floats(0, 200))
def test_only_crops_of_small_margin_get_all_views(seed: int, margin_below: float) -> None:
    rng = np.random.default_rng(seed)
    crops, weights = rng.integers(0, 256, (6, 5, 5)).astype(np.uint8), rng.normal(0, 0.1, (25, 3))
    asked: list[int] = []

    def logits(views: NDArray[np.uint8]) -> NDArray[np.float32]:
        asked.append(len(views))
        return (place(views) @ weights).astype(np.float32)

    one, eight = logits(crops), average_logits(logits, crops, 8)
    unsure = margin(one) < margin_below
    asked.clear()
    found = average_logits(logits, crops, 8, margin_below)
    np.testing.assert_array_equal(found[~unsure], one[~unsure])
    np.testing.assert_allclose(found[unsure], eight[unsure], rtol=1e-5, atol=1e-4)
    assert sum(asked) == len(crops) + 7 * unsure.sum()


def test_the_margin_is_over_the_second_best() -> None:
    assert margin(np.array([[1, 5, 3], [2, 2, 0]], np.float32)).tolist() == [2, 0]
