"""Cells/µL: intervals hold what they promise, and without a known volume there is a reason instead."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import gamma

from edge.base.cell import Cell
from edge.calibration.file import Calibration, PixelCalibration, Uncertainty, VolumeCalibration
from edge.calibration.volume import UnknownVolumeError, field_volume
from edge.count.concentration import FieldVolume, estimate_concentration, in_field
from edge.count.intervals import Estimate

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
PROFILE = Calibration(
    pixel=PixelCalibration(0.1, 0.001, 4000, 3000, "grid", NOON),
    volume=VolumeCalibration(100.0, 2.0, 10.0, NOON),
)


def test_a_field_is_depth_times_area() -> None:
    volume = field_volume(PROFILE)
    assert volume.field_ul == pytest.approx(400 * 300 * 100 * 1e-9)  # µm³ → µL
    assert volume.relative_uncertainty == pytest.approx(math.hypot(0.02, 0.02))
    assert volume.dilution == 10
    assert volume.exact == ("pitch", "dilution")  # as of a file that states neither


@pytest.mark.parametrize(
    ("pitch", "depth", "dilution", "exact", "relative"),
    [
        (0.01, 3.0, 0.4, (), math.hypot(0.02, 0.03, 0.04)),
        ("exact", 3.0, 0.4, ("pitch",), math.hypot(0.02, 0.03, 0.04)),
        (0.01, "exact", 0.4, ("depth",), math.hypot(0.02, 0.04)),
        (0.01, 3.0, "exact", ("dilution",), math.hypot(0.02, 0.03)),
        ("exact", "exact", "exact", ("depth", "pitch", "dilution"), 0.02),
        (None, 0.0, None, ("depth", "pitch", "dilution"), 0.02),
    ],
)
def test_what_is_uncertain_is_joined_and_what_is_taken_as_exact_is_named(
    pitch: Uncertainty | None,
    depth: Uncertainty,
    dilution: Uncertainty | None,
    exact: tuple[str, ...],
    relative: float,
) -> None:
    pixel = PixelCalibration(0.1, 0.001, 4000, 3000, "grid", NOON, pitch_uncertainty=pitch)
    calibration = Calibration(
        pixel=pixel, volume=VolumeCalibration(100.0, depth, 10.0, NOON, dilution_uncertainty=dilution)
    )
    volume = field_volume(calibration)
    assert volume.exact == exact
    assert volume.relative_uncertainty == pytest.approx(relative)


def test_an_undiluted_sample_has_no_dilution_to_be_unsure_of() -> None:
    calibration = replace(PROFILE, volume=VolumeCalibration(100.0, 2.0, 1.0, NOON))
    assert field_volume(calibration).exact == ("pitch",)


def test_a_volume_of_three_errors_covers_the_truth() -> None:
    """Depth, pixel and dilution are each off by up to a few percent, and the count is large."""
    rng = np.random.default_rng(6)
    pixel, depth, dilution = 0.02, 0.05, 0.03
    relative = math.hypot(2 * pixel, depth, dilution)
    found = estimate_concentration(2000, 20, FieldVolume(0.01, relative, 20.0, depth_um=100.0))
    mean = 2000 / 0.2 * 20
    errors = rng.normal(0, [2 * pixel, depth, dilution], (4000, 3))
    true = rng.poisson(2000, 4000) / 2000 * mean * np.exp(errors.sum(axis=1))
    assert np.mean((found.low <= true) & (true <= found.high)) >= 0.94


@pytest.mark.parametrize(
    ("calibration", "said"),
    [
        (Calibration(), "no cells/µL: the pixel size was not measured (leuko calibrate pixel)"),
        (
            replace(PROFILE, volume=None),
            "no cells/µL: the chamber's depth is not known (leuko calibrate volume)",
        ),
        (
            replace(PROFILE, volume=VolumeCalibration(10.0, 6.0, 1.0, NOON)),
            "no cells/µL: the volume of a field is uncertain by 60% (leuko calibrate volume)",
        ),
    ],
)
def test_without_a_volume_there_is_a_reason(calibration: Calibration, said: str) -> None:
    with pytest.raises(UnknownVolumeError) as unknown:
        field_volume(calibration)
    assert str(unknown.value) == said


@pytest.mark.parametrize("count", [0, 1, 7, 400, 20_000])
def test_with_a_certain_volume_the_interval_is_garwoods(count: int) -> None:
    found = estimate_concentration(count, 4, FieldVolume(0.01, 0.0, 1.0, depth_um=100.0))
    low, high = gamma.ppf(0.025, count) if count else 0.0, gamma.ppf(0.975, count + 1)
    assert found.value == pytest.approx(count / 0.04)
    slack = (high - low) / 2 / 0.04 * 0.02
    assert found.low == pytest.approx(low / 0.04, abs=slack)
    assert found.high == pytest.approx(high / 0.04, abs=slack)


def test_many_cells_leave_the_volume_s_uncertainty() -> None:
    """Counting is certain to 0.1 %, and the interval of a log-normal volume remains."""
    found = estimate_concentration(1_000_000, 100, FieldVolume(0.01, 0.05, 1.0, depth_um=100.0))
    assert found.low == pytest.approx(1e6 * math.exp(-1.96 * 0.05), rel=0.002)
    assert found.high == pytest.approx(1e6 * math.exp(1.96 * 0.05), rel=0.002)


def test_dilution_is_undone() -> None:
    plain, diluted = (
        estimate_concentration(50, 2, FieldVolume(0.01, 0.1, factor, depth_um=100.0))
        for factor in (1.0, 20.0)
    )
    assert diluted == Estimate(*(20 * end for end in (plain.value or 0, plain.low, plain.high)))


@settings(max_examples=20)
@given(count=st.integers(0, 3000), fields=st.integers(1, 300), relative=st.floats(0, 0.4))
def test_value_and_ends_are_in_order(count: int, fields: int, relative: float) -> None:
    volume = FieldVolume(0.008, relative, 1.0, depth_um=100.0)
    found, surer = (
        estimate_concentration(count, fields, volume),
        estimate_concentration(count, fields, FieldVolume(0.008, 0.0, 1.0, depth_um=100.0)),
    )
    assert found.value is not None
    assert 0 <= found.low <= found.value <= found.high
    if relative > 0.05 and count:
        assert found.high - found.low > surer.high - surer.low


@pytest.mark.parametrize(("mean", "relative"), [(2.0, 0.05), (40.0, 0.02), (40.0, 0.2), (400.0, 0.05)])
def test_the_interval_covers_the_truth(mean: float, relative: float) -> None:
    """2,000 simulated measurements: Poisson counts in a volume that is known with an error."""
    rng = np.random.default_rng(round(mean * 1000 * relative))
    intervals: dict[int, Estimate] = {}
    covered = 0
    for _ in range(2000):
        count = int(rng.poisson(mean))  # of a true volume of 1 µL at `mean` cells/µL
        supposed = math.exp(relative * rng.standard_normal())
        if count not in intervals:
            intervals[count] = estimate_concentration(
                count, 1, FieldVolume(1.0, relative, 1.0, depth_um=100.0)
            )
        found = intervals[count]
        covered += found.low / supposed <= mean <= found.high / supposed
    assert covered / 2000 >= 0.95 - 2 * math.sqrt(0.95 * 0.05 / 2000)


@pytest.mark.parametrize(("count", "fields"), [(-1, 1), (1, 0)])
def test_an_impossible_count_is_refused(count: int, fields: int) -> None:
    with pytest.raises(ValueError, match="is not a count"):
        estimate_concentration(count, fields, FieldVolume(1.0, 0.0, 1.0, depth_um=100.0))


@settings(max_examples=10)
@given(diameter=st.integers(10, 60), seed=st.integers(0, 99))
def test_as_many_cells_have_their_middle_in_a_field_as_its_area_holds(diameter: int, seed: int) -> None:
    """Discs all over the plane: what shows of them decides whether their middle lies in the frame."""
    width, height, rng = 400, 300, np.random.default_rng(seed)
    middles = rng.uniform(-diameter, [width + diameter, height + diameter], (300, 2))
    cells, truth = [], []
    for x, y in middles:
        left, top = max(0.0, x - diameter / 2), max(0.0, y - diameter / 2)
        right, bottom = min(width, x + diameter / 2), min(height, y + diameter / 2)
        corner = min(abs(x), abs(width - x)) < diameter and min(abs(y), abs(height - y)) < diameter
        edge = min(abs(x), abs(width - x), abs(y), abs(height - y)) < 2  # rounding decides
        if right - left < 3 or bottom - top < 3 or corner or edge:
            continue
        # what shows of a disc beyond its middle is narrower along the edge
        depth_x, depth_y = right - left, bottom - top
        if depth_x < diameter / 2:
            half = math.sqrt(depth_x * (diameter - depth_x))
            top, bottom = y - half, y + half
        if depth_y < diameter / 2:
            half = math.sqrt(depth_y * (diameter - depth_y))
            left, right = x - half, x + half
        x0, y0 = round(left), round(top)
        cells.append(Cell(x0, y0, round(right) - x0, round(bottom) - y0, 1.0, False, False))
        truth.append(0 <= x <= width and 0 <= y <= height)
    inside = in_field(cells, width, height)
    assert inside.dtype == bool
    assert np.mean(inside != np.array(truth)) <= 0.02


def test_without_cells_none_is_in_the_field() -> None:
    assert in_field([], 10, 10).shape == (0,)
