"""Frames in which nothing can be seen, and empty fields, which are a fact about the sample."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base.frame import Frame
from edge.capture.frames import read_frames
from edge.find.quality import measure_quality
from edge.find.reduction import reduced
from edge.find.segmentation import segment
from edge.find.visibility import unseen
from edge.simulate.frame import simulate_frame
from edge.simulate.scene import Scene

DATA = Path(__file__).parents[4] / "shared" / "data"
PIXEL_UM = 0.125
EMPTY = Scene(width_px=820, height_px=616, leukocytes=0, erythrocytes=0, debris=0)
SPARSE = replace(EMPTY, leukocytes=6, erythrocytes=3, debris=2)
SHAPE = (616, 820)
Image = NDArray[np.uint8]


def reason(image: Image, likely_bit_depth: int | None = None, pixel_um: float = PIXEL_UM) -> str:
    small = reduced(image, pixel_um)
    cells = segment(image, pixel_um=pixel_um, work=small[0])
    quality = measure_quality(Frame(image, "frame", 0, 0), cells, pixel_um=pixel_um)
    return unseen(image, small, quality, likely_bit_depth=likely_bit_depth)


def grey(values: NDArray[np.float64]) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def noisy(level: float, sigma: float = 2) -> Image:
    return grey(np.random.default_rng(0).normal(level, sigma, SHAPE))


@pytest.mark.parametrize(
    ("image", "begins"),
    [
        (np.zeros(SHAPE, np.uint8), "black (grey level 0): check the lamp"),
        (noisy(0), "black"),
        (noisy(6), "black"),
        (noisy(15), "black (grey level 15)"),
        (grey(simulate_frame(1, scene=SPARSE).image * 0.03), "black"),
        (np.full(SHAPE, 255, np.uint8), "white (100% of the pixels at 255): lower the exposure"),
        (noisy(258, 2), "white"),
        (np.full(SHAPE, 128, np.uint8), "flat (all pixels at grey level 128"),
        (np.full(SHAPE, 20, np.uint8), "flat"),
    ],
)
def test_nothing_can_be_seen(image: Image, begins: str) -> None:
    assert reason(image).startswith(begins)


def test_a_black_frame_of_a_16_bit_file_names_the_bit_depth() -> None:
    assert reason(noisy(9), 12) == (
        "black (grey level 9): a 16-bit file that uses 12 bits, pass --bit-depth 12"
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("light", [0.15, 0.5, 1.0, 1.5])
def test_an_empty_field_with_the_lamp_on_counts(seed: int, light: float) -> None:
    empty = simulate_frame(seed, scene=EMPTY).image
    assert reason(grey(empty * light)) == ""


@pytest.mark.parametrize("level", [30, 128, 250])
def test_even_light_counts(level: int) -> None:
    """A perfectly even lamp leaves the sensor's noise, and a JPEG of it little else."""
    even = noisy(level)
    assert reason(even) == ""
    stored = cv2.imencode(".jpg", noisy(level, 1), [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    assert reason(np.asarray(cv2.imdecode(stored, cv2.IMREAD_GRAYSCALE), np.uint8)) == ""


def test_cells_that_are_seen_count_however_bad_the_light() -> None:
    """These frames are beyond a quality limit; dark field has a black background."""
    image = simulate_frame(1, scene=SPARSE).image
    assert reason(grey(image * 0.1)) == ""
    assert reason(grey(image * 1.7)) == ""
    deviation = np.abs(image.astype(float) - cv2.GaussianBlur(image, (0, 0), 20))
    assert reason(grey(4 * deviation)) == ""


@pytest.mark.parametrize("number", [0, 60])
def test_real_cells_and_grid_far_out_of_focus_are_not_seen(number: int) -> None:
    files = sorted((DATA / "hemocytometer" / "frames").glob("*"))
    if not files:
        pytest.skip("needs ../shared/data")  # real images, which may not be committed
    (frame,) = read_frames([files[number]])
    assert isinstance(frame, Frame)
    assert reason(frame.image, pixel_um=0.0727) == ""
    blurred = np.asarray(cv2.GaussianBlur(frame.image, (0, 0), 30), np.uint8)
    assert reason(blurred, pixel_um=0.0727).startswith("far out of focus (0.0")
