"""A threshold keeps the precision and coverage that it was chosen for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convert.calibrate import reject_threshold

cells = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=60)


@given(cells, st.sampled_from([0.5, 0.8, 1.0]), st.sampled_from([0.4, 1.0]))
def test_the_smallest_threshold_that_keeps_its_promise(
    answers: list[tuple[int, bool]], precision: float, coverage: float
) -> None:
    scores = np.array([score for score, _ in answers], np.float64)
    right = np.array([r for _, r in answers])

    def keeps(threshold: float) -> bool:
        kept = scores >= threshold
        return bool(kept.any() and right[kept].mean() >= precision and kept.mean() <= coverage)

    possible = [t for t in np.unique(scores) if keeps(t)]
    if not possible:
        with pytest.raises(ValueError, match="no threshold makes"):
            reject_threshold(scores, right, precision, coverage=coverage)
        return
    threshold = reject_threshold(scores, right, precision, coverage=coverage)
    assert keeps(threshold)
    np.testing.assert_array_equal(scores >= threshold, scores >= min(possible))


def test_no_cell_lies_on_the_threshold() -> None:
    scores = np.array([0.9, 0.8, 0.6, 0.5])
    threshold = reject_threshold(scores, np.array([True, True, False, False]), 0.99)
    assert threshold == pytest.approx(0.7)
    assert reject_threshold(scores, np.ones(4, bool), 0.99) == -np.inf


@pytest.mark.parametrize(("n", "precision", "reason"), [(0, 0.9, "needs validation cells"), (3, 1.2, "1.2")])
def test_invalid_input_is_refused(n: int, precision: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        reject_threshold(np.ones(n), np.ones(n, bool), precision)
