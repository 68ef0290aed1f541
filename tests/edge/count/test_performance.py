"""Accuracy and area under the ROC curve against their definitions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.count.intervals import Estimate, clopper_pearson
from edge.count.performance import area_under_roc, confusion_accuracy

scores = st.lists(st.integers(-3, 3), min_size=1, max_size=12)


@given(scores, scores)
def test_area_is_the_share_of_ordered_pairs(positive: list[int], negative: list[int]) -> None:
    pairs = [(a > b) + (a == b) / 2 for a in positive for b in negative]
    area = area_under_roc(np.array(positive, float), np.array(negative, float))
    assert area == pytest.approx(np.mean(pairs))


def test_accuracy_is_the_diagonals_share() -> None:
    assert confusion_accuracy([[8, 1], [2, 9]]) == Estimate(17 / 20, *clopper_pearson(17, 20))
    assert confusion_accuracy([[0, 0], [0, 0]]) == Estimate(None, 0.0, 1.0)
