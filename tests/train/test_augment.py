from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from train import augment


def a_crop(size: int = 40, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (size, size), np.uint8)


def a_cell(size: int = 200) -> NDArray[np.uint8]:
    """A smooth, lopsided cell."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    body = 60 * np.exp(-(x**2 + y**2) / 2 / 30**2) + 60 * np.exp(-((x - 25) ** 2 + (y - 10) ** 2) / 2 / 12**2)
    cell: NDArray[np.uint8] = (100 + body).astype(np.uint8)
    return cell


def test_the_papers_counts_give_the_papers_factors() -> None:
    assert augment.expansion_factors([1540, 444, 211]) == [6, 24, 50]
    assert augment.expansion_factors([211, 1540, 444]) == [50, 6, 24]


def test_the_papers_angles() -> None:
    degrees = augment.FINE_ROTATIONS_DEG
    assert set(degrees[24]) == {s * a for a in (3, 5, 7, 9, 11, 13, 15, 17, 19) for s in (1, -1)}
    assert set(degrees[50]) == {s * a for a in range(4, 26) for s in (1, -1)}
    assert {factor: 6 + len(angles) for factor, angles in degrees.items()} == {6: 6, 24: 24, 50: 50}


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=6))
def test_the_largest_class_is_expanded_least(counts: list[int]) -> None:
    factors = augment.expansion_factors(counts)
    assert factors[int(np.argmax(counts))] == 6
    assert [f for _, f in sorted(zip(counts, factors, strict=True))] == sorted(factors, reverse=True)


def test_the_expansion_lists_every_variant_once() -> None:
    rows = augment.expansion(np.array([0, 1, 0]), [6, 24])
    assert len(rows) == 6 + 24 + 6
    assert len({tuple(row) for row in rows.tolist()}) == len(rows)
    assert set(rows[rows[:, 0] == 1, 1].tolist()) == {24}


def test_the_first_six_variants_are_exact_and_differ() -> None:
    crop = a_crop()
    variants = [augment.paper_variant(crop, 50, k) for k in range(6)]
    assert len({v.tobytes() for v in variants}) == 6
    assert all(np.array_equal(np.sort(v, axis=None), np.sort(crop, axis=None)) for v in variants)
    np.testing.assert_array_equal(variants[3], np.rot90(crop))
    np.testing.assert_array_equal(variants[5], np.rot90(crop, 3))


def test_fine_rotations_turn_about_the_centre_and_undo_each_other() -> None:
    crop = a_cell()
    there = augment.paper_variant(crop, 24, 22)
    back = augment.paper_variant(there, 24, 23)
    assert np.abs(there.astype(int) - crop).max() > 5
    assert np.abs(back.astype(int) - crop)[40:-40, 40:-40].max() <= 3


def test_fine_rotations_leave_no_empty_corner() -> None:
    crop = np.full((60, 60), 90, np.uint8)
    assert all((augment.paper_variant(crop, 50, k) == 90).all() for k in range(50))


@given(st.integers(0, 2**32 - 1))
def test_random_variants_are_repeatable_and_within_range(seed: int) -> None:
    crop = a_crop()
    one, two = (augment.random_variant(crop, np.random.default_rng(seed)) for _ in range(2))
    np.testing.assert_array_equal(one, two)
    assert one.shape == crop.shape
    assert one.dtype == np.float32
    assert one.min() >= 0
    assert one.max() <= 1


@given(st.integers(0, 2**32 - 1))
def test_a_random_variant_without_range_is_a_rotation_about_the_centre(seed: int) -> None:
    y, x = np.mgrid[:101, :101] - 50.0
    ring = (100 + 100 * np.exp(-((np.hypot(x, y) - 25) ** 2) / 50)).astype(np.uint8)
    rng = np.random.default_rng(seed)
    turned = augment.random_variant(ring, rng, shift=0, zoom=0, gain=0, offset=0, blur=0.0015)
    assert np.abs(turned * 255 - ring)[10:-10, 10:-10].max() <= 4


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=5), st.integers(0, 99), st.sampled_from([0.0, 0.5, 1.0])
)
def test_epochs_are_as_balanced_as_asked_and_even(counts: list[int], seed: int, balance: float) -> None:
    truth = np.repeat(np.arange(len(counts)), counts)
    order = augment.balanced_order(truth, np.random.default_rng(seed), balance)
    drawn = np.bincount(truth[order], minlength=len(counts))
    assert drawn.tolist() == [round(n ** (1 - balance) * max(counts) ** balance) for n in counts]
    for label in range(len(counts)):
        repeats = np.bincount(order, minlength=len(truth))[truth == label]
        assert repeats.max() - repeats.min() <= 1
        assert repeats.min() >= 1


@pytest.mark.parametrize("factor", [6, 24, 50])
def test_variants_keep_shape_and_type(factor: int) -> None:
    variants = [augment.paper_variant(a_crop(), factor, k) for k in range(factor)]
    assert {(v.shape, v.dtype) for v in variants} == {((40, 40), np.dtype(np.uint8))}


@given(st.integers(0, 2**32 - 1))
def test_a_crop_laid_over_a_background_keeps_what_the_light_lets_through(seed: int) -> None:
    crop = a_crop()
    flat = np.full_like(crop, 77)
    np.testing.assert_array_equal(augment.lay_over(crop, flat, np.random.default_rng(seed)), crop)
    lined = flat.copy()
    lined[:, 10:20] = 154
    laid = augment.lay_over(crop, lined, np.random.default_rng(seed))
    turned = [np.clip(crop * np.rint(np.rot90(lined, k) / 77), 0, 255) for k in range(4)]
    assert laid.dtype == np.uint8
    assert any((laid == expected).all() for expected in turned)
