from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.stats
import sklearn.calibration  # type: ignore[import-untyped]
import sklearn.metrics  # type: ignore[import-untyped]
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.count.intervals import clopper_pearson
from train.confidence import (
    brier_score,
    calibration_error,
    chance_calibration_error,
    coverage_curve,
    largest_coverage,
    reliability,
)
from train.dependence import independent_share, independent_share_of_gains
from train.metrics import confusion_matrix, rates, score, score_intervals

LABELS = ["a", "b", "c", "d"]
PAIRS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)
ANSWERS = st.lists(
    st.tuples(st.floats(0, 1, width=32, allow_subnormal=False), st.booleans()), min_size=1, max_size=60
)


def some_answers(cells: int, seed: int = 0) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Truth and answers of four classes, four in five right."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, cells)
    return truth, np.where(rng.random(cells) < 0.8, truth, rng.integers(0, 4, cells))


def arrays(answers: list[tuple[float, bool]]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    confidence, right = zip(*answers, strict=True)
    return np.array(confidence, np.float32), np.array(right)


def width(interval: tuple[float, float] | None) -> float:
    assert interval is not None
    return interval[1] - interval[0]


def test_scores_of_a_worked_example() -> None:
    truth, answers = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 1])
    scores = score(truth, answers, ["a", "b", "c"])
    assert scores["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert scores["accuracy"] == pytest.approx(0.5)
    assert scores["precision"] == {"a": pytest.approx(2 / 3), "b": pytest.approx(1 / 3), "c": None}
    assert scores["recall"] == pytest.approx({"a": 2 / 3, "b": 1 / 2, "c": 0.0})
    assert scores["f1"] == pytest.approx({"a": 2 / 3, "b": 0.4, "c": 0.0})
    assert (scores["labels"], scores["cells"]) == (["a", "b", "c"], 6)


def test_what_is_undefined_is_none() -> None:
    scores = score(np.array([0, 0]), np.array([0, 1]), ["a", "b", "c"])
    assert scores["recall"] == {"a": 0.5, "b": None, "c": None}
    assert scores["precision"] == {"a": 1.0, "b": 0.0, "c": None}
    # b was answered and is absent: each answer was wrong, so its F1 is 0; nothing is known about c
    assert scores["f1"] == {"a": pytest.approx(2 / 3), "b": 0.0, "c": None}
    assert scores["accuracy"] == 0.5
    with pytest.raises(ValueError, match="no cells"):
        score(np.zeros(0, np.int64), np.zeros(0, np.int64), ["a"])


@given(PAIRS)
def test_scores_are_those_of_scikit_learn(pairs: list[tuple[int, int]]) -> None:
    truth, answers = np.array(pairs).T
    scores = score(truth, answers, LABELS)
    precision, recall, f1, _ = sklearn.metrics.precision_recall_fscore_support(
        truth, answers, labels=range(4), zero_division=np.nan
    )
    for k, label in enumerate(LABELS):
        for ours, theirs in (
            (scores["precision"][label], precision[k]),
            (scores["recall"][label], recall[k]),
            (scores["f1"][label], f1[k]),
        ):
            assert math.isnan(theirs) if ours is None else ours == pytest.approx(theirs)
    assert scores["accuracy"] == pytest.approx(sklearn.metrics.accuracy_score(truth, answers))
    assert scores["confusion"] == sklearn.metrics.confusion_matrix(truth, answers, labels=range(4)).tolist()


@given(PAIRS)
def test_accuracy_is_the_recall_weighted_by_the_cells(pairs: list[tuple[int, int]]) -> None:
    truth, answers = np.array(pairs).T
    matrix = confusion_matrix(truth, answers, 4)
    found = rates(matrix)
    assert np.nansum(found.recall * matrix.sum(axis=1)) == pytest.approx(found.accuracy * len(pairs))


def test_rates_of_many_matrices_are_those_of_each() -> None:
    matrices = np.random.default_rng(0).integers(0, 5, (6, 3, 3))
    together = rates(matrices)
    for k, matrix in enumerate(matrices):
        for all_of_them, one in zip(together, rates(matrix), strict=True):
            np.testing.assert_array_equal(all_of_them[k], one)


def test_the_intervals_of_single_cells_are_scipys_exact_ones() -> None:
    truth, answers = some_answers(300)
    intervals = score_intervals(truth, answers, LABELS)
    right = truth == answers

    def exact(of: NDArray[np.bool_]) -> tuple[float, float]:
        return tuple(scipy.stats.binomtest(int(right[of].sum()), int(of.sum())).proportion_ci())

    assert intervals["accuracy"] == pytest.approx(exact(truth >= 0))
    for k, label in enumerate(LABELS):
        assert intervals["recall"][label] == pytest.approx(exact(truth == k))
        assert intervals["precision"][label] == pytest.approx(exact(answers == k))
        low, high = exact((truth == k) | (answers == k))
        assert intervals["f1"][label] == pytest.approx((2 * low / (1 + low), 2 * high / (1 + high)))


@given(PAIRS, st.booleans())
def test_every_interval_contains_its_score_and_is_never_certain(
    pairs: list[tuple[int, int]], grouped: bool
) -> None:
    truth, answers = np.array(pairs).T
    groups = [str(k // 3) for k in range(len(pairs))] if grouped else None
    scores, intervals = score(truth, answers, LABELS), score_intervals(truth, answers, LABELS, groups)
    found: list[tuple[float | None, tuple[float, float] | None]]
    found = [(scores["accuracy"], intervals["accuracy"])]
    for label in LABELS:
        found += [
            (scores["precision"][label], intervals["precision"][label]),
            (scores["recall"][label], intervals["recall"][label]),
            (scores["f1"][label], intervals["f1"][label]),
        ]
    for value, interval in found:
        assert interval is None or value is not None
        assert grouped or (interval is None) is (value is None)
        if interval is not None and value is not None:
            assert 0 <= interval[0] <= value + 1e-12
            assert value - 1e-12 <= interval[1] <= 1
            assert interval[0] < interval[1]


def test_a_recall_of_1_has_the_lower_end_that_so_few_cells_allow() -> None:
    truth = np.repeat([0, 1], [16, 173])
    low, high = score_intervals(truth, truth, ["a", "b"])["recall"]["a"] or (0.0, 0.0)
    assert (low, high) == pytest.approx((0.025 ** (1 / 16), 1.0))


def test_copies_of_a_cell_add_nothing_when_they_are_a_group() -> None:
    truth, answers = some_answers(100)
    truth[truth == 3] = answers[truth == 3] = 3  # a class without mistakes
    answers[(answers == 3) & (truth != 3)] = 0
    groups = [str(k) for k in range(100) for _ in range(5)]
    once = score_intervals(truth, answers, LABELS)
    by_group = score_intervals(truth.repeat(5), answers.repeat(5), LABELS, groups)
    by_cell = score_intervals(truth.repeat(5), answers.repeat(5), LABELS)
    assert by_group["accuracy"] == pytest.approx(once["accuracy"], abs=0.005)
    assert by_group["recall"]["d"] == pytest.approx(once["recall"]["d"], abs=0.005)
    assert width(by_group["accuracy"]) == pytest.approx(math.sqrt(5) * width(by_cell["accuracy"]), rel=0.15)


@given(st.lists(st.integers(0, 1), min_size=2, max_size=30), st.integers(2, 6))
def test_groups_never_count_more_than_their_cells(hits: list[int], size: int) -> None:
    groups = [str(k // size) for k in range(len(hits))]
    assert (
        0
        <= independent_share(np.array(hits, np.bool_), groups)
        <= independent_share(np.array(hits, np.bool_))
        == 1
    )
    assert independent_share(np.array(hits, np.bool_), ["one"] * len(hits)) == 0


def test_few_mistakes_do_not_hide_that_groups_differ() -> None:
    """At 28 groups and a correlation of 0.2, Student's t of one estimated design effect covers 0.91."""
    rng, covered = np.random.default_rng(4), 0
    for _ in range(150):
        group = rng.integers(0, 28, 189)
        right = rng.random(189) < rng.beta(4 * 0.95, 4 * 0.05, 28)[group]
        cells = 189 * independent_share(right, group)
        low, high = clopper_pearson(cells * right.mean(), cells)
        covered += low <= 0.95 <= high
    assert covered / 150 >= 0.95


def test_the_design_effect_of_many_groups_is_that_of_their_correlation() -> None:
    rng = np.random.default_rng(6)
    for correlation in (0.0, 0.1, 0.5):
        group = np.repeat(np.arange(500), 10)
        rates = np.full(500, 0.7)
        if correlation:
            rates = rng.beta(0.7 / correlation - 0.7, 0.3 / correlation - 0.3, 500)
        right = rng.random(5000) < rates[group]
        assert 1 / independent_share(right, group) == pytest.approx(1 + 9 * correlation, rel=0.15, abs=0.1)
        assert independent_share(~right, group) == pytest.approx(independent_share(right, group), rel=1e-6)


def test_the_less_is_known_of_groups_the_fewer_cells_count() -> None:
    """Without mistakes nothing shows how alike cells are: neither independent nor one per group."""
    group = np.repeat(np.arange(28), 7)
    faultless = independent_share(np.ones(196, bool), group)
    spread_out = np.ones(196, bool)
    spread_out[::14] = False  # a mistake in every other group
    assert 1 / 7 < faultless < independent_share(spread_out, group) < 1


def test_gains_and_losses_that_cancel_within_groups_count_more_than_those_that_do_not() -> None:
    group = np.repeat(np.arange(60), 10)
    changed = group % 6 == 0  # all cells of every sixth group
    within = np.where(changed, np.where(np.arange(600) % 2, 1, -1), 0)
    between = np.where(changed, np.where(group % 12, 1, -1), 0)
    apart, alike = (independent_share_of_gains(gains, group) for gains in (within, between))
    assert alike == pytest.approx(0.1, abs=0.03)
    assert apart > 0.6
    assert independent_share_of_gains(np.zeros(600, np.int64), group) < 1
    assert independent_share_of_gains(-between, group) == pytest.approx(alike)
    assert independent_share_of_gains(between) == 1
    assert independent_share_of_gains(between, ["one"] * 600) == 0


def test_intervals_depend_on_neither_the_order_nor_the_names_of_groups() -> None:
    truth, answers = some_answers(90)
    groups = [f"{k // 3:02d}" for k in range(90)]
    order = np.random.default_rng(5).permutation(90)
    shuffled = score_intervals(truth[order], answers[order], LABELS, [f"frame {groups[k]}" for k in order])
    plain = score_intervals(truth, answers, LABELS, groups)
    assert shuffled["accuracy"] == pytest.approx(plain["accuracy"])
    assert shuffled["f1"]["b"] == pytest.approx(plain["f1"]["b"])


def test_without_two_groups_there_are_no_intervals() -> None:
    truth, answers = some_answers(9)
    one = score_intervals(truth, answers, LABELS, ["slide"] * 9)
    assert one["accuracy"] is None
    assert one["f1"] == dict.fromkeys(LABELS)
    absent = score_intervals(np.array([0, 0, 0]), np.array([0, 1, 0]), ["a", "b"])
    assert absent["recall"]["b"] is None
    assert absent["precision"]["b"] == pytest.approx((0.0, 0.975))


def test_an_overconfident_model_by_hand() -> None:
    confidence = np.array([0.95, 0.95, 0.55, 0.55], np.float32)
    right = np.array([True, False, True, False])
    assert calibration_error(confidence, right) == pytest.approx(0.5 * 0.45 + 0.5 * 0.05)
    found = reliability(confidence, right)
    assert [(one["cells"], one["accuracy"]) for one in found] == [(2, 0.5), (2, 0.5)]


@given(ANSWERS, st.integers(1, 20))
def test_the_reliability_diagram_is_that_of_scikit_learn(
    answers: list[tuple[float, bool]], bins: int
) -> None:
    confidence, right = arrays(answers)
    accuracy, mean = sklearn.calibration.calibration_curve(right, confidence, n_bins=bins, pos_label=True)
    found = reliability(confidence, right, bins)
    assert [one["accuracy"] for one in found] == pytest.approx(accuracy)
    assert [one["confidence"] for one in found] == pytest.approx(mean)
    weights = np.array([one["cells"] for one in found]) / len(right)
    assert calibration_error(confidence, right, bins) == pytest.approx(weights @ np.abs(accuracy - mean))


def test_bins_are_closed_above() -> None:
    found = reliability(np.array([0.0, 0.5, 0.50001, 1.0]), np.ones(4, bool), bins=2)
    assert [(one["low"], one["high"], one["cells"]) for one in found] == [(0, 0.5, 2), (0.5, 1, 2)]


@given(ANSWERS)
def test_bins_of_equal_mass_hold_every_cell_and_keep_equal_confidences_together(
    answers: list[tuple[float, bool]],
) -> None:
    confidence, right = arrays(answers)
    found = reliability(confidence, right, 5, equal_mass=True)
    assert sum(one["cells"] for one in found) == len(right)
    for one in found:
        above = (confidence > one["low"]) | (one is found[0])
        assert (above & (confidence <= one["high"])).sum() == one["cells"]
    assert sum(one["accuracy"] * one["cells"] for one in found) == pytest.approx(right.sum())
    assert max(one["cells"] for one in found) >= len(right) / 5


def test_bins_of_equal_mass_are_equal_where_all_confidences_differ() -> None:
    confidence = np.random.default_rng(0).random(150)
    assert {one["cells"] for one in reliability(confidence, confidence > 0.5, equal_mass=True)} == {10}


@pytest.mark.parametrize("equal_mass", [False, True])
def test_the_error_of_a_calibrated_model_tends_to_0(equal_mass: bool) -> None:
    rng = np.random.default_rng(0)
    errors = []
    for cells in (100, 3000, 100_000):
        confidence = rng.uniform(0.3, 1, cells)
        errors.append(calibration_error(confidence, rng.random(cells) < confidence, equal_mass=equal_mass))
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 0.01


def test_chance_tells_a_calibrated_model_from_another() -> None:
    rng = np.random.default_rng(1)
    confidence = rng.uniform(0.5, 1, 400)
    limit = chance_calibration_error(confidence)
    below = [calibration_error(confidence, rng.random(400) < confidence) < limit for _ in range(200)]
    assert np.mean(below) == pytest.approx(0.95, abs=0.05)
    assert calibration_error(confidence, rng.random(400) < confidence - 0.15) > limit
    assert limit == chance_calibration_error(confidence)


@given(ANSWERS)
def test_the_coverage_curve_ends_with_all_cells(answers: list[tuple[float, bool]]) -> None:
    confidence, right = arrays(answers)
    curve = coverage_curve(confidence, right)
    assert curve[-1]["coverage"] == 1
    assert curve[-1]["accuracy"] == pytest.approx(right.mean())
    assert (np.diff([point["coverage"] for point in curve]) > 0).all()
    assert (np.diff([point["threshold"] for point in curve]) < 0).all()
    for point in curve:
        kept = confidence >= point["threshold"]
        assert point["coverage"] == pytest.approx(kept.mean())
        assert point["accuracy"] == pytest.approx(right[kept].mean())


def test_the_largest_coverage_of_an_accuracy() -> None:
    curve = coverage_curve(np.array([0.9, 0.8, 0.8, 0.7, 0.6]), np.array([True, False, True, True, False]))
    assert [point["coverage"] for point in curve] == [0.2, 0.6, 0.8, 1.0]
    assert largest_coverage(curve, 0.75) is curve[2]
    assert largest_coverage(curve, 0.7) is curve[2]
    assert largest_coverage(curve, 0.9) is curve[0]
    assert largest_coverage(coverage_curve(np.array([0.9]), np.array([False])), 0.5) is None


def test_the_brier_score_of_two_classes_is_twice_that_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    second, truth = rng.random(50), rng.integers(0, 2, 50)
    ours = brier_score(np.stack([1 - second, second], axis=1), truth)
    assert ours == pytest.approx(2 * sklearn.metrics.brier_score_loss(truth, second))
