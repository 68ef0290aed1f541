"""A threshold keeps the precision and coverage that it was chosen for."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convert.thresholds import (
    guaranteed_precisions,
    guaranteed_threshold,
    least_precision,
    reject_threshold,
)
from edge.count.intervals import clopper_pearson

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
    with pytest.raises(ValueError, match=reason):
        guaranteed_threshold(np.ones(n), np.ones(n, bool), precision)


def drawn(n: int, seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Confidences, and answers that are right with a probability of their square root: 0.923 in the mean."""
    rng = np.random.default_rng(seed)
    scores = rng.beta(6, 1, n)
    return scores, rng.random(n) < scores**0.5


def test_a_guarantee_is_broken_in_less_than_one_of_twenty_draws_and_a_plain_threshold_in_half() -> None:
    many, _ = drawn(50_000, 0)
    broken, plain, limits, reached = 0, 0, 0, 0
    for seed in range(1, 151):
        scores, right = drawn(500, seed)
        chosen = reject_threshold(scores, right, 0.95)
        truth = (many[many >= chosen] ** 0.5).mean()
        plain += truth < 0.95
        limits += least_precision(scores, right, chosen, chosen=True) <= truth
        try:
            sure = guaranteed_threshold(scores, right, 0.95)
        except ValueError:
            continue
        reached += 1
        broken += (many[many >= sure] ** 0.5).mean() < 0.95
        assert least_precision(scores, right, sure, chosen=True) >= 0.95
    assert plain > 60
    assert broken <= 5
    assert limits >= 142
    assert reached > 75


@given(cells, st.floats(0.1, 1))
def test_what_is_guaranteed_is_never_more_than_the_limit_of_the_accepted_cells(
    answers: list[tuple[int, bool]], independent: float
) -> None:
    scores = np.array([score for score, _ in answers], np.float64)
    right = np.array([r for _, r in answers])
    accepted, limits = guaranteed_precisions(scores, right, independent)
    assert accepted[-1] == len(scores)
    for n, limit in zip(accepted.tolist(), limits.tolist(), strict=True):
        kept = scores >= np.sort(scores)[::-1][n - 1]
        assert kept.sum() == n  # equal scores stay together
        assert 0 <= limit <= clopper_pearson(right[kept].sum(), n, 0.9)[0] + 1e-9


@pytest.mark.parametrize(("cells", "reached"), [(85, False), (86, True)])
def test_answers_without_a_mistake_guarantee_only_what_so_many_can(cells: int, reached: bool) -> None:
    scores = np.linspace(0.6, 0.9, cells)
    if reached:
        assert guaranteed_threshold(scores, np.ones(cells, bool), 0.95) == -np.inf
        return
    with pytest.raises(ValueError, match="given 85 validation cells: without a mistake it takes 86;"):
        guaranteed_threshold(scores, np.ones(cells, bool), 0.95)


def test_the_limit_of_a_threshold_that_nothing_chose_is_clopper_and_pearsons() -> None:
    scores = np.linspace(0, 1, 40)
    right = scores > 0.2
    kept = scores >= 0.5
    limit = clopper_pearson(right[kept].sum(), kept.sum(), 0.9)[0]
    assert least_precision(scores, right, 0.5, chosen=False) == pytest.approx(limit)
    assert least_precision(scores, right, 2.0, chosen=False) == 0
