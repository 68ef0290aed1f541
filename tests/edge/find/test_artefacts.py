"""Traces of compression and of few grey levels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.find.artefacts import blockiness, used_levels

NOISE = np.random.default_rng(3).normal(0, 1, (400, 600))
WAVES = 40 * np.sin(np.arange(600) / 23)
GREY = np.clip(150 + WAVES + 6 * NOISE, 0, 255).astype(np.uint8)
SMOOTH = np.asarray(cv2.GaussianBlur(GREY, (0, 0), 1), np.uint8)


@pytest.mark.parametrize("image", [GREY, SMOOTH])
@pytest.mark.parametrize("begin", [0, 3])
@pytest.mark.parametrize("jpeg", [75, 30, 10])
def test_blocks_of_compression_wherever_they_begin(image: NDArray[np.uint8], begin: int, jpeg: int) -> None:
    compressed = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, jpeg])[1], 0)
    assert (blockiness(image) or 0) < 1.3
    assert (blockiness(np.asarray(compressed[:, begin:], np.uint8)) or 0) > 1.5


@pytest.mark.parametrize("shape", [(50, 0), (1, 1), (0, 9), (50, 31)])
def test_blocks_of_narrow_frames_are_not_known(shape: tuple[int, int]) -> None:
    assert blockiness(np.zeros(shape, np.uint8)) is None


@pytest.mark.parametrize(("step", "share"), [(1, 1.0), (2, 0.5), (8, 0.125)])
def test_used_levels(step: int, share: float) -> None:
    wide = np.clip(150 + 30 * NOISE, 0, 255).astype(np.uint8)
    assert used_levels(wide // np.uint8(step) * np.uint8(step)) == pytest.approx(share, abs=0.06)


@pytest.mark.parametrize("shape", [(50, 40), (1, 1), (0, 9)])
def test_levels_of_a_flat_frame_are_not_known(shape: tuple[int, int]) -> None:
    assert used_levels(np.full(shape, 7, np.uint8)) is None
