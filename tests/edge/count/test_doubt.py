"""The share of labels that is expected to be wrong, by the bundle's probabilities."""

from __future__ import annotations

import numpy as np
import pytest

from edge.classify.decision import Decision
from edge.count.doubt import Doubt
from edge.count.intervals import Estimate

A, B = Decision("a"), Decision("b", "low_confidence")


def doubt(*cells: tuple[Decision, float]) -> Doubt:
    made = Doubt()
    for decision, best in cells:
        made.add([decision], np.array([(best, 1 - best)], np.float32))
    return made


def test_mean_doubt_of_the_named_labels() -> None:
    made = doubt((A, 0.9), (A, 0.7), (B, 0.6))
    assert (made.cells("a"), made.cells("b"), made.cells("ab")) == (2, 1, 3)
    found = made.estimate("a")
    assert found.value == pytest.approx(0.2)
    assert (found.low, found.high) == pytest.approx((0.004, 0.396), abs=1e-6)  # the standard error is 0.1
    assert made.estimate("ab").value == pytest.approx(0.8 / 3)


def test_probabilities_out_of_distribution_mean_nothing() -> None:
    made = doubt((Decision("a", "out_of_distribution"), 0.6), (A, 0.9))
    assert made.cells("a") == 1
    assert made.estimate("a").value == pytest.approx(0.1)


def test_no_cell_and_one_cell_leave_everything_possible() -> None:
    empty = Doubt()
    empty.add([], np.zeros((0, 2), np.float32))
    assert empty.estimate("ab") == Estimate(None, 0.0, 1.0)
    one = doubt((B, 0.6)).estimate("b")
    assert (one.low, one.high) == (0.0, 1.0)
