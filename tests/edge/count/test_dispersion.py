"""Fields that differ by more than chance widen intervals as far as they should."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import beta, chi2, gamma, t

from edge.count.concentration import FieldVolume, estimate_concentration
from edge.count.dispersion import (
    ENOUGH_FIELDS,
    FieldCounts,
    chi_square_tail,
    of_concentration,
    of_share,
)
from edge.count.intervals import estimate_proportion

Counts = NDArray[np.int64]


def fields_of(rng: np.random.Generator, fields: int, mean: float, cv2: float) -> Counts:
    means = rng.gamma(1 / cv2, mean * cv2, fields) if cv2 else np.full(fields, mean)
    return np.asarray(rng.poisson(means), np.int64)


@pytest.mark.parametrize("freedom", [1, 2, 5, 9, 30, 500])
def test_the_tail_of_chi_square_is_scipys(freedom: int) -> None:
    for p in (0.5, 0.2, 0.05, 0.01, 1e-4):
        assert chi_square_tail(chi2.isf(p, freedom), freedom) == pytest.approx(p, abs=0.01, rel=0.5)


@pytest.mark.parametrize("fields", [6, 11, 40])
@pytest.mark.parametrize("times", [4.0, 9.0])
def test_clear_clumps_widen_by_students_t(fields: int, times: float) -> None:
    """The interval of Student's t, as the variance is estimated from the fields."""
    step = np.sqrt(400 * times)
    cells = np.round(400 + step * np.where(np.arange(fields) % 2, 1, -1)).astype(np.int64)
    found = of_concentration(cells, np.ones(fields))
    x2 = ((cells - cells.mean()) ** 2).sum() / cells.mean()
    expected = x2 / (fields - 1) * (t.ppf(0.975, fields - 1) / 1.96) ** 2
    assert found.ratio == pytest.approx(expected, rel=0.04)
    assert found.clear


@settings(max_examples=30)
@given(
    cells=st.lists(st.integers(0, 60), min_size=1, max_size=30),
    area=st.floats(0.1, 10),
    seed=st.integers(0, 9),
)
def test_a_dispersion_is_no_less_than_one_and_knows_no_unit_of_area(
    cells: list[int], area: float, seed: int
) -> None:
    areas = np.random.default_rng(seed).uniform(0.5, 1, len(cells))
    found = of_concentration(np.array(cells), areas)
    again = of_concentration(np.array(cells[::-1]), area * areas[::-1])
    assert found.ratio >= 1
    assert 0 <= found.p <= 1
    assert again.ratio == pytest.approx(found.ratio)
    assert of_share(np.array(cells), np.array(cells) + 3).ratio >= 1


def test_without_spread_many_fields_are_poisson_and_few_may_hide_some() -> None:
    assert of_concentration(np.full(ENOUGH_FIELDS, 9), np.ones(ENOUGH_FIELDS)).ratio == 1
    few = [of_concentration(np.full(n, 9), np.ones(n)).ratio for n in range(1, ENOUGH_FIELDS)]
    assert few == sorted(few, reverse=True)
    assert few[-1] > 1.3
    nothing = of_concentration(np.zeros(0, np.int64), np.zeros(0))
    assert (nothing.ratio, nothing.fields) == (1, 0)
    hidden = of_concentration(np.array([9, 0, 9]), np.array([1.0, 0.0, 1.0]))
    assert hidden.fields == 2


def test_few_fields_say_nothing_of_shares_that_agree() -> None:
    assert of_share(np.array([30, 31, 29]), np.array([50, 50, 50])).ratio == 1
    assert of_share(np.array([50, 50]), np.array([50, 50])).ratio == 1  # all of one kind
    assert of_share(np.array([3]), np.array([50])).ratio == 1
    assert of_share(np.array([50, 0, 50]), np.array([50, 50, 50])).clear


@pytest.mark.parametrize(("fields", "mean"), [(1, 30.0), (3, 9.0), (6, 9.0), (20, 3.0), (20, 30.0)])
def test_the_interval_of_a_concentration_holds_the_truth_of_clumped_cells(fields: int, mean: float) -> None:
    """Of 300 counts at a squared coefficient of variation of 0.3 (Poisson's hold it in 0.5 to 0.85)."""
    rng, covered = np.random.default_rng((fields, round(mean))), 0
    for _ in range(300):
        cells = fields_of(rng, fields, mean, 0.3)
        ratio, total = of_concentration(cells, np.ones(fields)).ratio, int(cells.sum())
        low = gamma.ppf(0.025, total / ratio) * ratio if total else 0.0
        covered += low <= fields * mean <= gamma.ppf(0.975, total / ratio + 1) * ratio
    assert covered / 300 >= 0.91  # 0.93 less its error


@pytest.mark.parametrize(("fields", "mean"), [(2, 150.0), (3, 150.0), (6, 20.0), (20, 5.0)])
def test_the_interval_of_a_share_holds_the_truth_of_clumped_kinds(fields: int, mean: float) -> None:
    rng, covered = np.random.default_rng((fields, round(mean))), 0
    for _ in range(200):
        cells, others = fields_of(rng, fields, 0.3 * mean, 0.3), fields_of(rng, fields, 0.7 * mean, 0.3)
        ratio = of_share(cells, cells + others).ratio
        found = estimate_proportion(int(cells.sum()), int((cells + others).sum()), ratio)
        covered += found.low <= 0.3 <= found.high
    assert covered / 200 >= 0.92  # 0.95 less twice its error


def test_a_dispersion_divides_the_numbers_of_cells() -> None:
    assert estimate_proportion(60, 200, 4.0).low == pytest.approx(beta.ppf(0.025, 15, 36))
    assert estimate_proportion(60, 200, 4.0).value == 0.3
    volume = FieldVolume(0.01, 0.05, 1.0, depth_um=100.0)
    plain, wide = (estimate_concentration(200, 4, volume, dispersion=ratio) for ratio in (1.0, 9.0))
    assert wide.value == plain.value
    assert wide.high - wide.low > 2 * (plain.high - plain.low)


def test_clumps_of_all_cells_widen_the_interval_of_each_kind() -> None:
    """Few cells of a kind show no dispersion by themselves, and lie in the same clumps."""
    many, few = np.tile([10, 90], 5), np.tile([1, 3], 5)
    counts = FieldCounts({"many": many, "few": few}, {"many": many, "few": few}, np.ones(10))
    numbers = counts.of_concentrations("all")
    assert of_concentration(few, np.ones(10)).ratio == 1
    assert numbers["few"].ratio > 1
    assert numbers["all"].clear
