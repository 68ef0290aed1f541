from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.study.compare import Difference, discordant, paired, spread

scipy_stats = pytest.importorskip("scipy.stats")


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=9), st.data())
def test_a_paired_interval_is_scipys(one: list[float], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.floats(-50, 50), min_size=len(one), max_size=len(one)))
    found = paired(dict(enumerate(one)), dict(enumerate(other)))
    assert found is not None
    assert found.n == len(one)
    assert found.low is not None
    assert found.high is not None
    differences = [a - b for a, b in zip(one, other, strict=True)]
    reach = scipy_stats.sem(differences) * scipy_stats.t.ppf(0.975, len(one) - 1)
    assert found.low == pytest.approx(found.mean - reach, abs=1e-6)
    assert found.high == pytest.approx(found.mean + reach, abs=1e-6)
    assert found.holds(found.mean)


def test_only_common_seeds_are_paired() -> None:
    assert paired({0: 1.0, 1: 5.0}, {1: 4.0, 2: 9.0}) == Difference(1, 1.0)
    assert paired({0: 1.0}, {1: 4.0}) is None
    assert not Difference(1, 1.0).significant
    assert not Difference(1, 1.0).holds(1.0)


def test_significant_means_that_zero_is_outside() -> None:
    assert Difference(3, 1.0, 0.1, 0.6, 1.4).significant
    assert Difference(3, -1.0, 0.1, -1.4, -0.6).significant
    assert not Difference(3, 0.1, 0.1, -0.3, 0.5).significant


def test_spread_of_one_value_has_no_sd() -> None:
    assert spread([2.0]).sd is None
    assert spread([1.0, 3.0]).sd == pytest.approx(2**0.5)


def test_discordant_pairs_and_ties() -> None:
    paper = {"a": 3.0, "b": 2.0, "c": 2.0}
    assert discordant({"a": 3, "b": 2, "c": 1}, paper) == []
    assert discordant({"a": 1, "b": 2, "c": 0}, paper) == [("b", "a")]
    assert discordant({"a": 1, "b": 1, "c": 5}, paper) == [("c", "a")]
