"""When a count ends, and what ending by an interval's width does to it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.classify.decision import Decision
from edge.count.stop_rule import StopRule, after_stopping, halfwidth
from edge.count.tally import Tally, tally_decisions

LABELS = ("a", "b", "dust")


def counted(a: int, b: int, dust: int = 0) -> Tally:
    return tally_decisions(
        LABELS, LABELS[:2], {Decision("a"): a, Decision("b"): b, Decision("dust"): dust}, 1, ()
    )


def test_without_a_plan_nothing_ends_a_count() -> None:
    assert StopRule().reached(counted(10_000, 10_000), 1e9) == ""
    assert StopRule().stated() == {}


def test_cells_are_those_of_counted_labels() -> None:
    plan = StopRule(until_cells=10)
    assert plan.reached(counted(5, 4, dust=50), 0) == ""
    assert plan.reached(counted(6, 7), 0) == "13 leukocytes of 10 asked for"


def test_the_widest_interval_decides() -> None:
    plan = StopRule(until_halfwidth=0.05)
    assert halfwidth(counted(0, 0)) == 0.5
    assert plan.reached(counted(200, 180), 0) == ""
    assert plan.reached(counted(210, 200), 0) == "fractions within ±4.9 points, ±5 asked for"


def test_time() -> None:
    plan = StopRule(until_seconds=2.5)
    assert plan.reached(counted(1, 1), 2.4) == ""
    assert plan.reached(counted(1, 1), 2.5) == "2.5 s asked for"


@given(
    st.builds(
        StopRule,
        st.none() | st.integers(1, 1000),
        st.none() | st.floats(0.001, 0.5),
        st.none() | st.floats(0, 1e6),
    )
)
def test_what_is_stated_makes_the_plan_again(plan: StopRule) -> None:
    assert StopRule(**plan.stated()) == plan  # type: ignore[arg-type]


def test_ending_by_the_width_makes_small_fractions_smaller() -> None:
    """The numbers of `Plan`'s notes: the exact distribution of the end, looked for after every cell."""
    plan, truth = StopRule(until_halfwidth=0.1), 0.1
    running = {0: 1.0}  # cells of the small class so far → probability of being there, still counting
    mean = covered = ended = 0.0
    for n in range(1, 110):
        following: dict[int, float] = {}
        for k, weight in running.items():
            following[k] = following.get(k, 0) + weight * (1 - truth)
            following[k + 1] = following.get(k + 1, 0) + weight * truth
        running = {}
        for k, weight in following.items():
            if weight < 1e-6:
                continue
            result = counted(k, n - k)
            if plan.reached(result, 0) == "":
                running[k] = weight
                continue
            ended += weight
            mean += weight * k / n
            covered += weight * (result.fractions["a"].low <= truth <= result.fractions["a"].high)
    assert ended == pytest.approx(1, abs=1e-4)
    assert mean == pytest.approx(0.081, abs=0.001)
    assert covered == pytest.approx(0.988, abs=0.001)
    assert mean < truth


@pytest.mark.parametrize(("asked", "mean"), [(10, 0.5), (10, 4.0), (10, 30.0), (60, 4.0)])
def test_a_number_of_cells_leaves_no_bias_in_concentrations(asked: int, mean: float) -> None:
    """Of 2,000 counts until N cells, cells per field are right on average; N/M is 1/(N − 1) too large."""
    rng = np.random.default_rng(asked)
    plain, found = [], []
    for _ in range(2000):
        cells = rng.poisson(mean, round(4 * asked / mean + 20))
        cells = cells[: int(np.argmax(cells.cumsum() >= asked)) + 1].tolist()
        areas = [1.0] * len(cells)
        plain.append(sum(cells) / len(cells))
        found.append(plain[-1] * after_stopping(cells, areas, asked))
    error = np.std(found) / 2000**0.5
    assert abs(np.mean(found) - mean) < 3.5 * error
    if mean < asked / 10:
        assert np.mean(plain) - mean > 3.5 * error


def test_a_count_that_ended_otherwise_is_left_as_it_is() -> None:
    assert after_stopping([3, 3], [1.0, 1.0], 7) == after_stopping([], [], 7) == 1
    assert after_stopping([7], [1.0], 7) == after_stopping([9], [0.5], 7) == 1  # one field: as its cells lie
    assert after_stopping([8, 1], [1.0, 1.0], 7) == 8 / 9  # tracked cells, whose labels have changed since
    half = after_stopping([3, 4], [1.0, 0.5], 7)
    assert half == after_stopping([3, 4], [2.0, 1.0], 7) < 1
