"""What a plan promises is what simulated counts give."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.count.concentration import FieldVolume
from edge.count.dispersion import MANY_FIELDS, of_concentration
from edge.count.field_plan import FieldPlan, PrecisionError

VOLUME = FieldVolume(0.0065, 0.0, 20.0, depth_um=100.0)
PLAN = FieldPlan(VOLUME, 7000.0)
SHARE = replace(PLAN, share=0.06)


def test_a_field_of_diluted_blood_shows_two_leukocytes() -> None:
    assert PLAN.cells_per_field == pytest.approx(2.275)
    assert PLAN.after(400).fields == 176


@given(st.integers(30, 5000), st.floats(1, 100), st.floats(1000, 50_000))
def test_twice_the_dilution_takes_twice_the_fields(cells: int, dilution: float, per_ul: float) -> None:
    """Half the sample per field, or half the field's volume, do the same."""
    plan = FieldPlan(replace(VOLUME, dilution=dilution), per_ul, 0.5)
    once = plan.after(cells)
    for other in (
        replace(plan, volume=replace(plan.volume, dilution=2 * dilution)),
        replace(plan, volume=replace(plan.volume, field_ul=VOLUME.field_ul / 2)),
        replace(plan, per_ul=per_ul / 2),
    ):
        twice = other.after(cells)
        if once.fields > MANY_FIELDS:
            assert 0 <= 2 * once.fields - twice.fields <= 1
            assert (twice.cells, twice.halfwidth, twice.cv) == (once.cells, once.halfwidth, once.cv)
        assert twice.fields >= MANY_FIELDS


@pytest.mark.parametrize("uncertainty", [0.0, 0.03])
def test_concentrations_of_simulated_counts_scatter_as_planned(uncertainty: float) -> None:
    plan = FieldPlan(replace(VOLUME, relative_uncertainty=uncertainty), 7000.0)
    row = plan.after(400)
    rng = np.random.default_rng(1)
    mean = plan.cells_per_field * rng.lognormal(0, uncertainty, 20_000)
    counts = rng.poisson(row.fields * mean)
    errors = counts / (row.fields * plan.cells_per_field) - 1
    assert errors.std() == pytest.approx(row.cv, rel=0.03)
    # exact intervals hold a little more than they promise
    assert 0.95 <= np.mean(np.abs(errors) <= row.halfwidth) <= 0.965


def test_shares_of_simulated_counts_scatter_as_planned() -> None:
    row = SHARE.after(600)
    shares = np.random.default_rng(2).binomial(600, 0.06, 20_000) / 600
    assert shares.std() / 0.06 == pytest.approx(row.cv, rel=0.03)
    assert 0.95 <= np.mean(np.abs(shares - 0.06) <= row.halfwidth) <= 0.975


@pytest.mark.parametrize(
    ("plan", "asked", "cells"),
    [
        (PLAN, {"halfwidth": 0.1}, 396),  # 1.96² / 0.1² and a little for small numbers
        (PLAN, {"cv": 0.05}, 400),
        (SHARE, {"halfwidth": 0.02}, 593),
        (SHARE, {"cv": 0.2}, 392),  # 0.94 / 0.06 / 0.2²
        (PLAN, {"halfwidth": 0.1, "cv": 0.05}, 400),
    ],
)
def test_the_fewest_cells_reach_what_is_asked(plan: FieldPlan, asked: dict[str, float], cells: int) -> None:
    found = plan.fewest(**asked)
    assert found.cells == pytest.approx(cells, rel=0.02)
    assert all(getattr(found, name) <= most for name, most in asked.items())
    fewer = plan.after(found.cells - 5)
    assert any(getattr(fewer, name) > most for name, most in asked.items())


def test_more_fields_do_not_reduce_the_volumes_uncertainty() -> None:
    unsure = replace(PLAN, volume=replace(VOLUME, relative_uncertainty=0.06))
    with pytest.raises(
        PrecisionError, match=r"^±10 % cannot be reached: the volume alone leaves ±12 %.* better$"
    ):
        unsure.fewest(halfwidth=0.1)
    with pytest.raises(PrecisionError, match="the volume alone leaves ±6 %"):
        unsure.fewest(cv=0.05)
    assert replace(unsure, share=0.06).fewest(cv=0.05).cells == pytest.approx(0.94 / 0.06 / 0.0025, rel=0.01)


def test_a_precision_beyond_reach_is_refused() -> None:
    with pytest.raises(PrecisionError, match=r"more than 1,000,000 leukocytes; ask for less"):
        PLAN.fewest(halfwidth=0.001)


def test_four_of_five_counts_print_the_planned_interval() -> None:
    """Of fewer fields only half would: what a count prints allows for clumps that may be chance."""
    dense = replace(PLAN, per_ul=100_000.0)
    row = dense.after(1)
    assert (row.fields, row.cells) == (MANY_FIELDS, 325)
    assert row.cv == pytest.approx(325**-0.5)
    rng = np.random.default_rng(3)
    areas = np.ones(row.fields)
    ratios = [
        of_concentration(rng.poisson(dense.cells_per_field, row.fields), areas).ratio for _ in range(300)
    ]
    assert 0.75 <= np.mean(np.array(ratios) == 1) <= 0.87
