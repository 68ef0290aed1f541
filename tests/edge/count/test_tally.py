"""Counting: intervals against SciPy's, coverage, and the arithmetic of a tally."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from edge.base.frame import FailedFrame
from edge.classify.decision import Decision, decide_labels
from edge.count.correction import Validation, correct_counts
from edge.count.intervals import LEVEL, NORMAL, clopper_pearson, student_t
from edge.count.tally import Tally, tally_decisions


def tally_of(labels: tuple[str, ...], counts: dict[str, int]) -> Tally:
    """A tally without rejected cells; the first two labels are counted."""
    decisions = {Decision(label): cells for label, cells in counts.items()}
    return tally_decisions(labels, labels[:2], decisions, 1, ())


@given(st.integers(0, 5000), st.integers(0, 5000), st.sampled_from([0.5, 0.9, 0.95, 0.999]))
def test_interval_is_scipys(a: int, b: int, level: float) -> None:
    k, n = a, a + b
    low, high = clopper_pearson(k, n, level)
    if n:
        exact = stats.binomtest(k, n).proportion_ci(level, method="exact")
        assert (low, high) == pytest.approx((exact.low, exact.high), rel=1e-9, abs=1e-12)
    else:
        assert (low, high) == (0.0, 1.0)


@given(st.integers(0, 300), st.integers(1, 300))
def test_interval_is_mirrored_and_holds_the_estimate(a: int, b: int) -> None:
    k, n = a, a + b
    low, high = clopper_pearson(k, n)
    assert 0 <= low <= k / n <= high <= 1
    assert clopper_pearson(n - k, n) == pytest.approx((1 - high, 1 - low), abs=1e-12)


@given(st.just(0.0) | st.floats(0.01, 300), st.floats(0.01, 300))
def test_interval_of_effective_numbers_is_of_the_beta_distribution(a: float, b: float) -> None:
    low, high = clopper_pearson(a, a + b)
    assert low == pytest.approx(stats.beta.ppf(0.025, a, b + 1) if a else 0, rel=1e-6, abs=1e-9)
    assert high == pytest.approx(stats.beta.ppf(0.975, a + 1, b), rel=1e-6, abs=1e-9)


@given(st.floats(1, 1e6), st.sampled_from([0.8, 0.95, 0.99]))
def test_students_t_is_scipys(freedom: float, level: float) -> None:
    assert student_t(freedom, level) == pytest.approx(stats.t.ppf((1 + level) / 2, freedom), rel=1e-6)
    assert pytest.approx(stats.norm.ppf((1 + LEVEL) / 2), rel=1e-12) == NORMAL


def test_interval_covers_at_least_as_often_as_it_says() -> None:
    n = 40
    for p in np.linspace(0.01, 0.99, 33):
        inside = [low <= p <= high for low, high in (clopper_pearson(k, n) for k in range(n + 1))]
        assert stats.binom.pmf(np.flatnonzero(inside), n, p).sum() >= 0.95


@pytest.mark.parametrize(("k", "n", "level"), [(-1, 3, 0.95), (4, 3, 0.95), (1, 3, 0.0), (1, 3, 1.0)])
def test_no_interval_without_a_proportion(k: int, n: int, level: float) -> None:
    with pytest.raises(ValueError, match=r"proportion|level"):
        clopper_pearson(k, n, level)


def test_low_confidence_is_rejected_and_stays_out_of_the_differential() -> None:
    labels = ("granulocyte", "lymphocyte", "debris")
    probabilities = np.array([[0.9, 0.05, 0.05], [0.4, 0.35, 0.25], [0.1, 0.6, 0.3], [0, 0, 1]], np.float32)
    decisions = decide_labels(probabilities, np.full(4, True), labels, 0.6)
    assert [one.label for one in decisions] == ["granulocyte", "rejected", "lymphocyte", "debris"]
    total = tally_decisions(labels, labels[:2], decisions, 3, [FailedFrame("a.png", 1, "empty file")])
    assert dict(total.counts) == {"granulocyte": 1, "lymphocyte": 1, "debris": 1}
    assert (total.rejected, total.cells, total.leukocytes) == (1, 4, 2)
    share = total.fractions["granulocyte"]
    assert share.value == 0.5
    assert (share.low, share.high) == pytest.approx(clopper_pearson(1, 2))
    assert set(total.fractions) == {"granulocyte", "lymphocyte"}


def test_shares_of_no_cells_have_no_value() -> None:
    decisions = decide_labels(np.zeros((0, 1), np.float32), np.zeros(0, bool), ("leukocyte",), 0.5)
    empty = tally_decisions(("leukocyte",), ("leukocyte",), decisions, 1, [])
    share = empty.fractions["leukocyte"]
    assert (share.value, share.low, share.high) == (None, 0.0, 1.0)


def test_answers_of_low_confidence_are_corrected_too_and_strangers_left_out() -> None:
    labels = ("debris", "granulocyte", "lymphocyte")
    decisions = {
        Decision("granulocyte"): 50,
        Decision("granulocyte", "low_confidence"): 20,
        Decision("lymphocyte"): 29,
        Decision("lymphocyte", "out_of_distribution"): 1,
    }
    tally = tally_decisions(labels, ("lymphocyte", "granulocyte"), decisions, 1, ())
    corrected = correct_counts(tally, Validation(100 * np.eye(3, dtype=int)))
    assert list(corrected.fractions) == list(corrected.counts) == ["lymphocyte", "granulocyte"]
    assert corrected.fractions["lymphocyte"].value == pytest.approx(29 / 99)
    assert corrected.counts["granulocyte"].value == pytest.approx(70)
    assert corrected.leukocytes is not None
    assert corrected.leukocytes.value == pytest.approx(99)
    assert corrected.unvalidated == ()
    assert corrected.left_out == 1


def test_without_validation_cells_of_a_label_nothing_is_corrected() -> None:
    corrected = correct_counts(tally_of(("a", "b", "c"), {"a": 5}), Validation(np.diag([5, 0, 0])))
    assert corrected.unvalidated == ("b", "c")
    assert (corrected.fractions, corrected.counts, corrected.leukocytes) == ({}, {}, None)


def test_corrected_shares_of_no_cell_have_no_value() -> None:
    corrected = correct_counts(tally_of(("a", "b"), {}), Validation(np.array([[50, 1], [0, 50]])))
    share = corrected.fractions["a"]
    assert (share.value, share.low, share.high) == (None, 0.0, 1.0)
