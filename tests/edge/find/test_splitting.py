"""Two discs that touch are divided, in whatever direction and place they lie."""

from __future__ import annotations

import tracemalloc

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.find import texture
from edge.find.splitting import TILE_PX, deepest, split_at_necks

RADIUS = 18


def discs(*middles: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    body = np.zeros((160, 160), np.uint8)
    for middle in middles:
        cv2.circle(body, middle, RADIUS, (1,), -1)
    return body


def whole_parts(body: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """Return the parts at their places in a body."""
    parts = []
    for mask, left, top in split_at_necks(body, 8, 1.0):
        parts.append(np.zeros_like(body))
        parts[-1][top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return parts


@pytest.mark.parametrize("first", [(50, 60), (60, 24), (60, 60), (60, 96)])
@pytest.mark.parametrize("step", [(36, 0), (0, 36), (25, 25), (-25, 25)])
def test_two_discs_that_touch_are_two_parts(first: tuple[int, int], step: tuple[int, int]) -> None:
    second = (first[0] + step[0], first[1] + step[1])
    body = discs(first, second)
    parts = whole_parts(body)
    assert len(parts) == 2
    assert np.array_equal(sum(parts), body)
    for middle in (first, second):
        (own,) = [part for part in parts if part[middle[1], middle[0]]]
        assert (own & discs(middle)).sum() > 0.97 * own.sum()


def test_a_disc_with_a_dent_and_one_too_small_to_be_a_cell_stay_whole() -> None:
    body = discs((60, 60))
    cv2.circle(body, (60 + RADIUS, 60), 4, (0,), -1)
    assert len(split_at_necks(body, 8, 1.0)) == 1
    cv2.circle(body, (60 - RADIUS - 2, 60), 3, (1,), -1)
    assert len(split_at_necks(body, 8, 1.0)) == 1


@pytest.mark.parametrize("step", [33, 36])
def test_many_cells_that_touch_are_divided_one_by_one_in_little_memory(step: int) -> None:
    body = np.zeros((TILE_PX + 100, TILE_PX + 90), np.uint8)
    centres = range(20, TILE_PX + 70, step)
    middles = [(x, y) for y in centres for x in centres]
    for middle in middles:
        cv2.circle(body, middle, RADIUS, (1,), -1)
    tracemalloc.start()
    parts = split_at_necks(body, 8, 1.0)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 * body.size  # a map per cell takes 8 bytes of each pixel, times their number
    x, y = np.arange(body.shape[1]), np.arange(body.shape[0])[:, None]
    nearest = np.argmin([(x - a) ** 2 + (y - b) ** 2 for a, b in middles], axis=0)
    covered, owners = np.zeros_like(body), []
    for mask, left, top in parts:
        here = slice(top, top + mask.shape[0]), slice(left, left + mask.shape[1])
        covered[here] += mask
        pixels = np.bincount(nearest[here][mask > 0])
        owners.append(int(pixels.argmax()))
        assert pixels.max() > 0.93 * pixels.sum()
    assert sorted(owners) == list(range(len(middles)))
    assert np.array_equal(covered, body)


@pytest.mark.parametrize("side", [3, 15])
def test_where_the_depth_is_largest_does_not_depend_on_the_bands(
    monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    depth = np.random.default_rng(0).integers(0, 9, (333, 50)).astype(np.float32)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    monkeypatch.setattr(texture, "BAND_PIXELS", 50 * 64)
    np.testing.assert_array_equal(deepest(depth, disc), depth >= cv2.dilate(depth, disc))
