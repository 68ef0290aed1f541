from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from train.label.register import MIN_NUCLEI, MismatchError, Shift, check_shift, measure_shift, take_off

SHAPE = (600, 800)
PIXEL_UM = 0.25


def middles(seed: int, count: int = 25) -> NDArray[np.float64]:
    """Points at least 10 µm apart."""
    rng = np.random.default_rng(seed)
    points: list[NDArray[np.float64]] = []
    while len(points) < count:
        point = rng.uniform((20, 20), (SHAPE[1] - 20, SHAPE[0] - 20))
        if all(np.linalg.norm(point - other) * PIXEL_UM > 10 for other in points):
            points.append(point)
    return np.array(points)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**31),
    x_um=st.floats(-7, 7),
    y_um=st.floats(-7, 7),
    bare=st.integers(0, 8),
)
def test_a_shift_is_recovered(seed: int, x_um: float, y_um: float, bare: int) -> None:
    """Nuclei lie 0.4 µm beside their cells' middles, and some cells have none."""
    cells = middles(seed)
    rng = np.random.default_rng(seed)
    jitter = rng.normal(0, 0.4 / PIXEL_UM, (len(cells) - bare, 2))
    nuclei = cells[bare:] + jitter + np.array([x_um, y_um]) / PIXEL_UM
    shift = measure_shift(cells, nuclei, SHAPE, PIXEL_UM, 10)
    error_um = np.hypot(shift.x_px * PIXEL_UM - x_um, shift.y_px * PIXEL_UM - y_um)
    assert error_um < 0.5
    check_shift(shift, PIXEL_UM, 10)
    if np.hypot(x_um, y_um) > 1:
        with pytest.raises(MismatchError, match=r"µm, more than 0\.4 µm"):
            check_shift(shift, PIXEL_UM, 0.4)


@pytest.mark.parametrize("seed", range(12))
def test_frames_of_different_fields_do_not_match(seed: int) -> None:
    shift = measure_shift(middles(seed), middles(seed + 1000), SHAPE, PIXEL_UM, 10)
    with pytest.raises(MismatchError, match="frames of different fields"):
        check_shift(shift, PIXEL_UM, 10)


def test_few_nuclei_prove_nothing() -> None:
    """Three that all fit, among eleven cells, do."""
    cells = middles(0)
    few = measure_shift(cells[:11], cells[:3] + 8, SHAPE, PIXEL_UM, 10)
    check_shift(few, PIXEL_UM, 10)
    shift = measure_shift(cells, cells[: MIN_NUCLEI - 1], SHAPE, PIXEL_UM, 10)
    with pytest.raises(MismatchError, match="2 nuclei in the fluorescence: at least 3 are needed"):
        check_shift(shift, PIXEL_UM, 10)
    with pytest.raises(MismatchError, match="1 nucleus in"):
        check_shift(Shift(0, 0, 1, 1, 0, 1), PIXEL_UM, 10)
    check_shift(Shift(0, 0, 1, 1, 0, MIN_NUCLEI), PIXEL_UM, 10)


@given(x=st.integers(-40, 40), y=st.integers(-40, 40), height=st.integers(1, 30), width=st.integers(1, 30))
def test_taking_a_shift_off_moves_pixels_and_fills_with_zero(x: int, y: int, height: int, width: int) -> None:
    image = np.random.default_rng(0).integers(1, 256, (height, width), np.uint8)
    moved = take_off(image, x, y)
    expected = np.zeros_like(image)
    for row in range(height):
        for column in range(width):
            if 0 <= row + y < height and 0 <= column + x < width:
                expected[row, column] = image[row + y, column + x]
    np.testing.assert_array_equal(moved, expected)
