from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convert.strangers import auroc, spheres

SCORES = st.lists(st.integers(-5, 5), min_size=1, max_size=20).map(lambda row: np.array(row, np.float64))


@given(SCORES, SCORES)
def test_the_area_is_the_chance_to_be_ranked_above(
    known: NDArray[np.float64], strange: NDArray[np.float64]
) -> None:
    area = auroc(known, strange)
    assert area == pytest.approx(1 - auroc(strange, known))
    assert area == pytest.approx(np.mean([(k > s) + (k == s) / 2 for k in known for s in strange]))


@pytest.mark.parametrize("pixel_um", [0.005, 10])
def test_spheres_of_the_least_and_the_largest_pixel(pixel_um: float) -> None:
    assert spheres(8 * pixel_um, 8, 2, seed=1).shape == (2, 8, 8)


def test_spheres_are_drawn_anew_by_their_seed_and_stand_out_of_an_even_field() -> None:
    crops = spheres(14.5, 200, 4, seed=1)
    assert crops.shape == (4, 200, 200)
    np.testing.assert_array_equal(crops, spheres(14.5, 200, 4, seed=1))
    assert (crops != spheres(14.5, 200, 4, seed=2)).any()
    middle, corner = crops[:, 80:120, 80:120].astype(float), crops[:, :20, :20].astype(float)
    assert (middle.std(axis=(1, 2)) > 2 * corner.std(axis=(1, 2))).all()
