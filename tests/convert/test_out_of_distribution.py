"""Simulated spheres, on which the out-of-distribution score is tried."""

from __future__ import annotations

import numpy as np
import pytest

from convert.out_of_distribution import spheres


@pytest.mark.parametrize("pixel_um", [0.005, 10])
def test_spheres_of_the_least_and_the_largest_pixel(pixel_um: float) -> None:
    assert spheres(8 * pixel_um, 8, 2, seed=1).shape == (2, 8, 8)


def test_spheres_repeat_by_seed_and_stand_out_of_an_even_field() -> None:
    crops = spheres(14.5, 200, 4, seed=1)
    assert crops.shape == (4, 200, 200)
    np.testing.assert_array_equal(crops, spheres(14.5, 200, 4, seed=1))
    assert (crops != spheres(14.5, 200, 4, seed=2)).any()
    middle, corner = crops[:, 80:120, 80:120].astype(float), crops[:, :20, :20].astype(float)
    assert (middle.std(axis=(1, 2)) > 2 * corner.std(axis=(1, 2))).all()
