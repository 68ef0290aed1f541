"""Thresholds and temperatures that keep what they promise."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convert.calibrate import TEMPERATURES, reject_threshold, temperature, temperature_interval

cells = st.lists(st.tuples(st.integers(0, 12), st.booleans()), min_size=1, max_size=60)


def drawn(t: float, n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 3, (n, 4)).astype(np.float32)
    chances = np.exp(logits / t) / np.exp(logits / t).sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 3)
    return logits, truth.astype(np.int64)


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
    found = reject_threshold(scores, right, precision, coverage=coverage)
    kept = scores >= found.threshold
    assert keeps(found.threshold)
    np.testing.assert_array_equal(kept, scores >= min(possible))
    assert found.coverage == pytest.approx(kept.mean())
    assert found.precision == pytest.approx(right[kept].mean())
    assert 0 <= found.low <= found.precision


def test_no_cell_lies_on_the_threshold() -> None:
    scores = np.array([0.9, 0.8, 0.6, 0.5])
    found = reject_threshold(scores, np.array([True, True, False, False]), 0.99)
    assert found.threshold == pytest.approx(0.7)
    assert found.coverage == 0.5
    assert found.low == pytest.approx(0.05**0.5, abs=1e-6)
    assert reject_threshold(scores, np.ones(4, bool), 0.99).threshold == -np.inf


@pytest.mark.parametrize(("n", "precision", "reason"), [(0, 0.9, "needs validation cells"), (3, 1.2, "1.2")])
def test_what_makes_no_sense_is_refused(n: int, precision: float, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        reject_threshold(np.ones(n), np.ones(n, bool), precision)


def test_the_interval_holds_the_temperature_as_often_as_it_says() -> None:
    held, widths = 0, []
    for seed in range(100):
        low, high = temperature_interval(*drawn(1.5, 200, seed))
        assert low <= temperature(*drawn(1.5, 200, seed)) <= high
        held += low <= 1.5 <= high
        widths.append(high - low)
    assert 89 <= held <= 100
    low, high = temperature_interval(*drawn(1.5, 4000, 5))
    assert high - low < np.median(widths) / 3


def test_without_cells_any_temperature_is_possible() -> None:
    nothing = np.zeros((0, 3), np.float32), np.zeros(0, np.int64)
    assert temperature_interval(*nothing) == (TEMPERATURES[0], TEMPERATURES[-1])
