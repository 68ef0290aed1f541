from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.simulate.frame import simulate_frame
from edge.simulate.scene import Scene, SimulatedFrame
from train.label.field import label_field, looks_stained
from train.label.register import MismatchError

PIXEL_UM = 0.125
HEMOCYTOMETER = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "hemocytometer"


@pytest.fixture(scope="module", params=[(2, 0), (9, 3), (25, 10)])
def frame(request: pytest.FixtureRequest) -> SimulatedFrame:
    leukocytes, erythrocytes = request.param
    scene = Scene(width_px=900, height_px=700, leukocytes=leukocytes, erythrocytes=erythrocytes, debris=2)
    return simulate_frame(7, 0, scene=scene, fluorescence=True)


def stain_of(frame: SimulatedFrame) -> NDArray[np.uint8]:
    assert frame.fluorescence is not None
    return frame.fluorescence


@pytest.mark.parametrize("reduced", [1, 2, 5])
def test_a_stain_is_distinguished_from_bright_field(frame: SimulatedFrame, reduced: int) -> None:
    for image, expected in ((stain_of(frame), True), (frame.image, False)):
        small = np.asarray(image[::reduced, ::reduced])
        assert looks_stained(small, PIXEL_UM * reduced) is expected


def changed(image: NDArray[np.uint8]) -> Iterator[NDArray[np.uint8]]:
    """The frame fainter, in haze, and where that grows to the right; with the noise of counted photons."""
    rng = np.random.default_rng(0)
    across = np.linspace(0, 1, image.shape[1])
    for gain, haze, slope in ((0.1, 0, 0), (1, 60, 0), (0.3, 20, 80)):
        photons = 2 * (image * gain + haze + slope * across)
        yield np.clip(rng.poisson(photons) / 2, 0, 255).astype(np.uint8)


def test_haze_and_faintness_do_not_matter(frame: SimulatedFrame) -> None:
    assert all(looks_stained(image, PIXEL_UM) for image in changed(stain_of(frame)))


def test_what_holds_no_nuclei_is_no_stain() -> None:
    noise = np.random.default_rng(0).normal(100, 5, (700, 900)).astype(np.uint8)
    for image in (noise, np.full((700, 900), 90, np.uint8), np.zeros((1, 1), np.uint8)):
        assert not looks_stained(image, PIXEL_UM)


@pytest.mark.skipif(not HEMOCYTOMETER.is_dir(), reason="needs ../shared/data/hemocytometer")
def test_bright_grid_lines_are_no_stain() -> None:
    for path in sorted((HEMOCYTOMETER / "frames").iterdir())[::50]:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        assert not looks_stained(np.asarray(image, np.uint8), 0.0727)


def test_swapped_frames_are_refused(frame: SimulatedFrame) -> None:
    with pytest.raises(MismatchError, match="BRIGHTFIELD and FLUORESCENCE appear to be swapped"):
        label_field(stain_of(frame), frame.image, pixel_um=PIXEL_UM)
