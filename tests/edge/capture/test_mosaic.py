"""The raw frame of a colour camera is named for what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base import FailedFrame, Frame
from edge.capture import read_frames
from edge.simulate.camera import SimulatedCamera

SIZES = [(320, 240), (321, 243), (64, 64), (2048, 1536)]


def _frame(size: tuple[int, int]) -> NDArray[np.float32]:
    frame = SimulatedCamera(3, size=(320, 240)).grab(1)
    assert isinstance(frame, Frame)
    return np.asarray(cv2.resize(frame.image, size), np.float32)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("gains", [(0.6, 1, 1, 0.7), (1, 0.7, 0.5, 1), (1, 1, 0.8, 1), (0.8, 1, 0.8, 1)])
@pytest.mark.parametrize("suffix", [".png", ".jpg", ".avi"])
def test_a_mosaic_is_named(
    tmp_path: Path, size: tuple[int, int], gains: tuple[float, ...], suffix: str
) -> None:
    image = _frame(size)
    for place, gain in enumerate(gains):
        image[place // 2 :: 2, place % 2 :: 2] *= gain
    file = tmp_path / f"raw{suffix}"
    if suffix == ".avi":
        video = cv2.VideoWriter(str(file), cv2.VideoWriter.fourcc(*"FFV1"), 5, size, isColor=False)
        video.write(image.astype(np.uint8))
        video.release()
    else:
        cv2.imwrite(str(file), image.astype(np.uint8))
    (item,) = read_frames([file])
    assert isinstance(item, FailedFrame)
    assert item.reason.startswith("a raw mosaic of colour filters (Bayer)")
    assert "save frames in colour" in item.reason
    assert item.kind == "unreadable"


@pytest.mark.parametrize("size", SIZES)
def test_other_images_are_none(tmp_path: Path, size: tuple[int, int]) -> None:
    width, height = size
    rng = np.random.default_rng(1)
    images: dict[str, NDArray[Any]] = {
        "cells": _frame(size),
        "noise": rng.integers(0, 256, (height, width)),
        "ramp": np.linspace(0, 255, width)[None].repeat(height, 0),
        "black": np.zeros((height, width)),
        "white": np.full((height, width), 255),
        "dark noise": rng.poisson(0.5, (height, width)),
        "rows of fixed pattern": 150 + 4.0 * (np.arange(height) % 2)[:, None].repeat(width, 1),
        "stripes": 100 + 50.0 * (np.arange(width) // 3 % 2)[None].repeat(height, 0),
        "tiny": rng.integers(0, 256, (3, 3)),
        "pixel": np.full((1, 1), 99),
    }
    for name, image in images.items():
        cv2.imwrite(str(tmp_path / f"{name}.png"), image.astype(np.uint8))
    assert [item for item in read_frames([tmp_path]) if isinstance(item, FailedFrame)] == []
