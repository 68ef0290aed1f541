"""Corrected counts: coverage on simulated samples, their limits, and what cannot be corrected."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats

from edge.count.intervals import Estimate, clopper_pearson
from edge.count.prevalence import estimate_prevalence, unfold

Sample = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_], NDArray[np.float64]]
"""Answers, confusion matrix, counted labels, and the true shares of these."""

# phantom3's: debris, erythrocyte, granulocyte, lymphocyte, monocyte
PHANTOM = np.array(
    [[307, 2, 0, 0, 0], [0, 420, 0, 0, 0], [0, 0, 339, 1, 0], [0, 1, 2, 345, 0], [0, 0, 15, 8, 299]]
)
MIXTURES = ((60, 30, 10), (88, 9, 3), (15, 80, 5), (20, 20, 60), (65, 35, 0))


def array(*estimates: Estimate) -> NDArray[np.float64]:
    """Value, low and high of each estimate in a row; NaN for None."""
    return np.array([(one.value, one.low, one.high) for one in estimates], float)


def observe(
    rng: np.random.Generator,
    rates: NDArray[np.float64],
    mixture: NDArray[np.float64],
    cells: int,
    validation: NDArray[np.int64],
    counted: NDArray[np.bool_],
) -> Sample:
    confusion = np.array([rng.multinomial(n, row) for n, row in zip(validation, rates, strict=True)])
    shares = mixture[counted] / mixture[counted].sum()
    return rng.multinomial(cells, mixture @ rates), confusion, counted, shares


def phantom_sample(rng: np.random.Generator, mixture: tuple[int, int, int]) -> Sample:
    rates = np.array([rng.dirichlet(row + 0.2) for row in PHANTOM])
    whole = np.array([0.05, 0.15, *0.8 * np.array(mixture) / 100])
    return observe(rng, rates, whole, 160, PHANTOM.sum(1), np.arange(5) > 1)


def random_sample(rng: np.random.Generator, kind: str) -> Sample:
    """Two labels; a good and a poor network of several; one without a label that was validated."""
    labels = 2 if kind == "two" else int(rng.integers(3, 7))
    right = {"two": (0.7, 1.0), "good": (0.85, 1.0), "poor": (0.5, 0.8), "absent": (0.85, 1.0)}[kind]
    rates = rng.dirichlet(np.full(labels, 0.4), labels) + 1e-9
    np.fill_diagonal(rates, 0)
    recall = rng.uniform(*right, labels)
    rates *= ((1 - recall) / rates.sum(1))[:, None]
    np.fill_diagonal(rates, recall)
    mixture = rng.dirichlet(np.full(labels, 0.7))
    counted = np.arange(labels) > (0 if labels > 2 else -1)
    if kind == "absent":
        mixture[-1] = 0
    mixture = 0.98 * mixture + 0.02 * (np.arange(labels) == 1)
    validation = rng.integers(15, 400, labels)
    return observe(rng, rates, mixture / mixture.sum(), int(10 ** rng.uniform(1.6, 3)), validation, counted)


def outcome(sample: Sample) -> tuple[float, float, float]:
    """Error of the raw and of the corrected fractions; the part of the intervals that hold the truth."""
    answers, confusion, counted, truth = sample
    value, low, high = array(*estimate_prevalence(answers, confusion, counted, draws=200).shares).T
    raw = answers[counted] / answers[counted].sum()
    inside = (low <= truth + 1e-12) & (truth <= high + 1e-12)
    return float(np.abs(raw - truth).mean()), float(np.abs(value - truth).mean()), float(inside.mean())


@pytest.mark.parametrize("mixture", MIXTURES)
def test_intervals_hold_the_truth_whatever_the_mixture(mixture: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(sum(mixture[:2]))
    assert np.mean([outcome(phantom_sample(rng, mixture))[2] for _ in range(40)]) >= 0.93


@pytest.mark.parametrize("kind", ["two", "good", "poor", "absent"])
def test_intervals_hold_the_truth_and_the_error_falls_with_any_network(kind: str) -> None:
    rng = np.random.default_rng(5)
    raw, corrected, inside = np.mean([outcome(random_sample(rng, kind)) for _ in range(50)], axis=0)
    assert inside >= 0.93
    assert corrected < raw


@pytest.mark.parametrize("answers", [(40, 25, 6), (300, 0, 2), (1, 0, 0)])
def test_a_perfect_network_gives_the_exact_intervals(answers: tuple[int, ...]) -> None:
    found = estimate_prevalence(
        np.array(answers), np.eye(3, dtype=int) * 10**7, np.ones(3, bool), draws=20_000
    )
    n = sum(answers)
    for k, share, count in zip(answers, array(*found.shares), array(*found.counts), strict=True):
        assert share == pytest.approx([k / n, *clopper_pearson(k, n)], abs=0.006)
        garwood = [stats.gamma.ppf(0.025, k) if k else 0, stats.gamma.ppf(0.975, k + 1)]
        assert count == pytest.approx([k, *garwood], abs=1 + 0.02 * k**0.5 + 0.2)
    assert found.total.value == pytest.approx(n)


def test_without_a_cell_every_share_is_possible() -> None:
    crossed = np.array([[0, 1], [1, 0]])
    found = estimate_prevalence(np.zeros(2, np.int64), crossed, np.array([True, True]), draws=60)
    assert found.shares == (Estimate(None, 0, 1),) * 2


@settings(max_examples=40, deadline=None)
@given(st.data(), st.integers(2, 5), st.booleans())
def test_numbers_are_always_possible(data: st.DataObject, labels: int, unanswered: bool) -> None:
    cells = st.integers(0, 60)
    row = st.lists(cells, min_size=labels + unanswered, max_size=labels + unanswered)
    rows = st.lists(row.filter(lambda row: any(row[:labels])), min_size=labels, max_size=labels)
    confusion = np.array(data.draw(rows))
    answers = np.array(data.draw(st.lists(cells, min_size=labels, max_size=labels)))
    counted = np.array(data.draw(st.lists(st.booleans(), min_size=labels, max_size=labels).filter(any)))
    found = estimate_prevalence(answers, confusion, counted, draws=60)
    again = estimate_prevalence(answers, confusion, counted, draws=60)
    assert found == again
    shares, counts = array(*found.shares), array(*found.counts, found.total)
    assert np.isfinite(counts).all()
    assert (counts[:, 1] >= 0).all()
    assert (counts[:, 1] <= counts[:, 0]).all()
    assert (counts[:, 0] <= counts[:, 2]).all()
    assert counts[:-1, 0].sum() == pytest.approx(found.total.value)
    if np.isnan(shares[:, 0]).any():
        assert np.isnan(shares[:, 0]).all()
        assert found.total.value == pytest.approx(0, abs=1e-6)
    else:
        assert shares[:, 0].sum() == pytest.approx(1)
        assert (shares[:, 1] <= shares[:, 0]).all()
        assert (shares[:, 0] <= shares[:, 2]).all()
    assert (shares[:, 1] >= 0).all()
    assert (shares[:, 1] <= shares[:, 2]).all()
    assert (shares[:, 2] <= 1).all()


def test_only_labels_that_the_network_confuses_completely_stay_open() -> None:
    confusion = np.array([[100, 100, 0], [100, 100, 0], [0, 0, 200]])
    found = estimate_prevalence(np.array([60, 60, 80]), confusion, np.ones(3, bool))
    for k in (0, 1):
        assert found.shares[k].low < 0.1
        assert found.shares[k].high > 0.5
    assert array(*found.shares)[2] == pytest.approx([0.4, *clopper_pearson(80, 200)], abs=0.02)


def test_more_validation_cells_narrow_the_interval() -> None:
    few, many = array(
        *(
            estimate_prevalence(
                np.array([300, 700]), np.array([[9, 1], [1, 9]]) * factor, np.ones(2, bool)
            ).shares[0]
            for factor in (2, 200)
        )
    )
    assert few[0] == pytest.approx(many[0]) == pytest.approx(0.25, abs=1e-3)
    assert few[1] < many[1] < many[2] < few[2]


def test_cells_without_an_answer_are_estimated() -> None:
    """Half of the second kind are rejected: as many of each are there, though twice as many are counted."""
    confusion = np.array([[100, 0, 0], [0, 50, 50]])
    found = estimate_prevalence(np.array([200, 100]), confusion, np.ones(2, bool))
    assert array(*found.shares)[:, 0] == pytest.approx([0.5, 0.5], abs=1e-3)
    assert array(*found.counts)[:, 0] == pytest.approx([200, 200], abs=0.5)


def test_false_leukocytes_are_subtracted() -> None:
    """Of 1,000 erythrocytes 2 % are called leukocytes."""
    confusion = np.array([[980, 20], [0, 1000]])
    found = estimate_prevalence(np.array([980, 100]), confusion, np.array([False, True]))
    assert found.shares == (Estimate(1, 1, 1),)
    assert found.total.value == pytest.approx(80, abs=0.1)
    assert found.total.low < 62 < 98 < found.total.high


def test_no_cell_leaves_everything_open() -> None:
    found = estimate_prevalence(np.zeros(3, int), np.eye(3, dtype=int) * 50, np.arange(3) > 0)
    assert found.shares == (Estimate(None, 0, 1),) * 2
    assert (found.total.value, found.total.low) == (0, 0)
    assert 4 <= found.total.high <= 7


@pytest.mark.parametrize(
    ("confusion", "message"),
    [([[5, 0], [0, 0]], "no validation cell"), ([[5, 0, 0], [0, 0, 4]], "answer"), ([[5]], "shape")],
)
def test_what_cannot_be_corrected_is_refused(confusion: list[list[int]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        estimate_prevalence(np.array([3, 4]), np.array(confusion), np.ones(2, bool))


@given(st.lists(st.floats(1, 1000), min_size=4, max_size=4))
def test_unfolding_finds_the_numbers_that_made_the_answers(truth: list[float]) -> None:
    rates = np.full((4, 5), 0.05)
    np.fill_diagonal(rates, 0.8)
    cells = np.array(truth)
    answers = cells @ rates
    solved = unfold(np.ones((1, 4)), rates[None], answers[None], rounds=5000, tolerance=1e-12)
    assert solved[0] == pytest.approx(cells, rel=1e-4, abs=1e-3 * cells.sum())
