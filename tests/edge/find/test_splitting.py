"""Two discs that touch are divided, in whatever direction and place they lie."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from edge.find.splitting import split_at_necks

RADIUS = 18


def discs(*middles: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    body = np.zeros((160, 160), np.uint8)
    for middle in middles:
        cv2.circle(body, middle, RADIUS, (1,), -1)
    return body


@pytest.mark.parametrize("first", [(50, 60), (60, 24), (60, 60), (60, 96)])
@pytest.mark.parametrize("step", [(36, 0), (0, 36), (25, 25), (-25, 25)])
def test_two_discs_that_touch_are_two_parts(first: tuple[int, int], step: tuple[int, int]) -> None:
    second = (first[0] + step[0], first[1] + step[1])
    body = discs(first, second)
    parts = split_at_necks(body, 8, 1.0)
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
