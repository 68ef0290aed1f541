from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from edge.base.cell import Cell
from edge.find.crops import crop_cells, crop_scale, grey_quantiles, level


def cell(x: int, y: int, width: int, height: int) -> Cell:
    return Cell(x, y, width, height, area_px=float(width * height), border=False, touching=False)


def noise(height: int, width: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


@given(st.integers(40, 120), st.integers(50, 130), st.integers(1, 30), st.integers(1, 30), st.integers(1, 40))
def test_inside_the_frame_a_crop_is_a_copy(x: int, y: int, width: int, height: int, size: int) -> None:
    image = noise(200, 190)
    (crop,) = crop_cells(image, [cell(x, y, width, height)], size_px=size)
    left, top = x + (width - size) // 2, y + (height - size) // 2
    np.testing.assert_array_equal(crop, image[top : top + size, left : left + size])
    # the middles agree to half a pixel
    assert abs((x + width / 2) - (left + size / 2)) <= 0.5
    assert abs((y + height / 2) - (top + size / 2)) <= 0.5


@settings(max_examples=60)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(-20, 40), st.integers(-20, 40), st.integers(1, 90))
def test_beyond_the_edges_the_frame_is_mirrored(height: int, width: int, x: int, y: int, size: int) -> None:
    image = noise(height, width)
    (crop,) = crop_cells(image, [cell(x, y, 9, 7)], size_px=size)
    mirrored = np.pad(image, 150, mode="reflect")
    left, top = x + (9 - size) // 2 + 150, y + (7 - size) // 2 + 150
    np.testing.assert_array_equal(crop, mirrored[top : top + size, left : left + size])


def test_a_pixel_becomes_a_whole_crop() -> None:
    crops = crop_cells(np.full((1, 1), 7, np.uint8), [cell(0, 0, 1, 1)], size_px=5, scale=2.5)
    np.testing.assert_array_equal(crops, np.full((1, 5, 5), 7, np.uint8))


@pytest.mark.parametrize("scale", [0.4, 0.9, 1.0, 1.3, 2.0, 3.7])
def test_shape_and_type_for_any_number_of_cells(scale: float) -> None:
    image = noise(60, 80)
    none = crop_cells(image, [], size_px=20, scale=scale)
    assert none.shape == (0, 20, 20)
    assert none.dtype == np.uint8
    three = crop_cells(image, [cell(5, 5, 10, 10)] * 3, size_px=20, scale=scale)
    assert three.shape == (3, 20, 20)
    np.testing.assert_array_equal(three[0], three[2])


def test_a_whole_scale_takes_block_means() -> None:
    image = noise(100, 100)
    (crop,) = crop_cells(image, [cell(45, 45, 10, 10)], size_px=20, scale=3)
    window = image[20:80, 20:80].astype(float)
    means = window.reshape(20, 3, 20, 3).mean(axis=(1, 3))
    assert np.abs(crop - means).max() <= 0.5 + 1e-6


@given(st.floats(0.3, 4))
def test_scaling_keeps_a_cell_in_the_middle_and_its_size(scale: float) -> None:
    y, x = np.indices((400, 400))
    radius = 12 * scale
    image = np.where((x - 199.5) ** 2 + (y - 199.5) ** 2 <= radius**2, 255, 0).astype(np.uint8)
    (crop,) = crop_cells(image, [cell(190, 190, 20, 20)], size_px=48, scale=scale)
    weight = crop / 255.0
    rows, columns = np.indices(crop.shape)
    half_a_frame_pixel = 0.5 / scale
    assert abs((weight * columns).sum() / weight.sum() - 23.5) < half_a_frame_pixel + 0.1
    assert abs((weight * rows).sum() / weight.sum() - 23.5) < half_a_frame_pixel + 0.1
    assert 2 * np.sqrt(weight.sum() / np.pi) == pytest.approx(24, rel=0.12)


def test_the_frame_is_unchanged() -> None:
    image = noise(50, 50)
    before = image.copy()
    crops = crop_cells(image, [cell(0, 0, 50, 50)], size_px=50)
    crops[:] = 0
    np.testing.assert_array_equal(image, before)


def test_a_read_only_frame_is_accepted() -> None:
    image = noise(50, 50)
    image.flags.writeable = False
    assert crop_cells(image, [cell(3, 3, 9, 9)], size_px=10).shape == (1, 10, 10)


@pytest.mark.parametrize(
    "image",
    [np.zeros((5, 5, 3), np.uint8), np.zeros((5, 5), np.float32), np.zeros((0, 5), np.uint8)],
    ids=["colour", "float", "empty"],
)
def test_images_that_are_not_grey_are_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="crops need a grey uint8 image"):
        crop_cells(image, [])


@pytest.mark.parametrize(("size", "scale"), [(0, 1.0), (10, 0.0), (10, -1.0), (10, float("nan"))])
def test_invalid_sizes_and_scales_are_refused(size: int, scale: float) -> None:
    with pytest.raises(ValueError, match="positive size and scale"):
        crop_cells(noise(5, 5), [], size_px=size, scale=scale)


@given(st.floats(0.01, 10), st.floats(0.9801, 1.0199))
def test_pixel_sizes_within_two_per_cent_count_as_equal(pixel_um: float, ratio: float) -> None:
    assert crop_scale(pixel_um, pixel_um * ratio) == 1.0


@given(st.floats(0.01, 10), st.floats(1.021, 20))
def test_a_finer_frame_gives_a_scale_above_one(pixel_um: float, ratio: float) -> None:
    assert crop_scale(pixel_um, pixel_um * ratio) == pytest.approx(ratio)
    assert crop_scale(pixel_um * ratio, pixel_um) == pytest.approx(1 / ratio)


@pytest.mark.parametrize("pair", [(0.0, 1.0), (1.0, -1.0), (float("nan"), 1.0), (1.0, float("inf"))])
def test_invalid_pixel_sizes_are_refused(pair: tuple[float, float]) -> None:
    with pytest.raises(ValueError, match="pixel size must be positive"):
        crop_scale(*pair)


@given(arrays(np.uint8, st.tuples(st.just(2), st.integers(1, 9), st.integers(1, 9))), st.integers(1, 255))
def test_levelling_puts_the_median_at_the_background(crops: NDArray[np.uint8], background: int) -> None:
    for crop, levelled in zip(crops, level(crops, background), strict=True):
        factor = background / max(1.0, float(np.median(crop)))
        np.testing.assert_array_equal(levelled, np.clip(np.rint(crop * factor), 0, 255))


@given(
    arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))),
    st.lists(st.floats(0, 1), min_size=1, max_size=4),
)
def test_quantiles_are_those_of_the_pixels(image: NDArray[np.uint8], shares: list[float]) -> None:
    np.testing.assert_allclose(grey_quantiles(image, shares), np.quantile(image, shares), atol=1e-9)
