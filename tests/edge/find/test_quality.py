"""Quality: focus falls with defocus and blur at any scale and light, and breaches read well."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.base.cell import Cell
from edge.base.frame import Frame
from edge.capture.frames import read_frames
from edge.find.focus import focus
from edge.find.quality import Quality, QualityLimits, breaches, light, measure_quality
from edge.find.reduction import reduced
from edge.find.segmentation import segment
from edge.simulate.frame import simulate_frame
from edge.simulate.optics import Optics
from edge.simulate.scene import Scene

Image = NDArray[np.uint8]
HEMOCYTOMETER = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "hemocytometer"
REAL_UM = 0.0727
SIMULATED_UM = Optics().pixel_um
SMALL = Scene(width_px=1000, height_px=800)

needs_real = pytest.mark.skipif(
    not HEMOCYTOMETER.exists(), reason="real frames (../shared/data) are not here"
)


@lru_cache
def simulated(focus_um: float, seed: int = 0, leukocytes: float = 12.0) -> Image:
    others = 4.0 if leukocytes else 0.0
    scene = replace(
        SMALL, focus_um=(focus_um, 0.0), leukocytes=leukocytes, erythrocytes=others, debris=others
    )
    return simulate_frame(seed, scene=scene).image


@lru_cache
def real(number: int) -> Image:
    image = cv2.imread(str(HEMOCYTOMETER / "frames" / f"frame_{number:04d}.jpg"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return image.astype(np.uint8)


def score(image: Image, pixel_um: float) -> float:
    found = focus(image, pixel_um)
    assert found is not None
    return found


@pytest.mark.parametrize("seed", [0, 1])
def test_focus_falls_on_both_sides_of_the_focal_plane(seed: int) -> None:
    """The cells' middle is 4 µm above the slide; from 10 µm off there is nothing left that could fall."""
    above = [score(simulated(z, seed), SIMULATED_UM) for z in (5.5, 8.0, 10.5, 13.0)]
    below = [score(simulated(z, seed), SIMULATED_UM) for z in (4.0, 1.0, -2.0, -5.0, -8.0)]
    assert above == sorted(above, reverse=True)
    assert below == sorted(below, reverse=True)
    assert min(above[0], below[0]) - max(above[-1], below[-1]) > 0.2


@pytest.mark.parametrize("leukocytes", [1.0, 3.0, 40.0])
def test_focus_does_not_depend_on_the_number_of_cells(leukocytes: float) -> None:
    sharp = score(simulated(6.0, 4, leukocytes), SIMULATED_UM)
    off = score(simulated(13.0, 4, leukocytes), SIMULATED_UM)
    assert sharp > 0.7
    assert off < 0.65


def test_an_empty_field_has_no_focus() -> None:
    assert focus(simulated(6.0, 1, 0.0), SIMULATED_UM) is None
    assert focus(np.full((600, 800), 150, np.uint8), 0.2) is None
    assert focus(np.zeros((600, 800), np.uint8), 0.2) is None
    assert focus(simulated(6.0)[:60, :60], SIMULATED_UM) is None


@pytest.mark.parametrize("factor", [0.8, 0.6, 0.5, 0.35])
def test_focus_is_that_of_the_specimen_not_of_the_pixels(factor: float) -> None:
    image = simulated(6.0)
    smaller = cv2.resize(image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    coarse = np.asarray(smaller, np.uint8)
    assert score(coarse, SIMULATED_UM / factor) == pytest.approx(score(image, SIMULATED_UM), abs=0.05)
    assert focus(image, 0.6) is None  # too coarse to tell


@settings(max_examples=12)
@given(gain=st.floats(0.5, 1.3))
def test_focus_does_not_depend_on_the_light(gain: float) -> None:
    image = simulated(8.0)
    other = np.clip(image * gain, 0, 255).astype(np.uint8)
    assert score(other, SIMULATED_UM) == pytest.approx(score(image, SIMULATED_UM), abs=0.03)


@needs_real
@pytest.mark.parametrize("number", [379, 484])
def test_any_blur_lowers_the_focus_of_real_frames(number: int) -> None:
    scores = []
    for blur_um in (0, 0.2, 0.4, 0.6, 0.8, 1.2, 1.6, 2.4):
        sigma = blur_um / REAL_UM
        blurred = cv2.GaussianBlur(real(number), (0, 0), sigma) if sigma else real(number)
        scores.append(score(np.asarray(blurred, np.uint8), REAL_UM))
    assert scores == sorted(scores, reverse=True)
    limit = QualityLimits().min_focus
    assert scores[0] > limit + 0.05
    assert scores[5] < limit - 0.02


@needs_real
def test_real_and_simulated_frames_pass_the_default_limits() -> None:
    files = sorted((HEMOCYTOMETER / "frames").glob("*.jpg"))[::12]
    for frame in read_frames(files):
        assert isinstance(frame, Frame)
        cells = segment(frame.image, pixel_um=REAL_UM)
        found = measure_quality(frame, cells, pixel_um=REAL_UM, reference_brightness=157.0)
        assert breaches(found, QualityLimits()) == (), frame.name
    for seed in range(3):
        image = simulate_frame(seed).image
        found = measure_quality(
            Frame(image, "", 0, 0), segment(image, pixel_um=SIMULATED_UM), pixel_um=SIMULATED_UM
        )
        assert breaches(found, QualityLimits()) == ()


def test_light_is_the_median_and_the_share_at_255() -> None:
    rng = np.random.default_rng(1)
    image = rng.integers(100, 140, (3000, 4000), np.uint8)
    image[:60] = 255
    median, saturated = light(image)
    assert median == pytest.approx(np.median(image), abs=1)
    assert saturated == pytest.approx(60 / 3000, rel=0.1)
    small = np.array([[1, 2, 3], [9, 255, 9]], np.uint8)
    assert light(small) == pytest.approx((3.0, 1 / 6))


def cell(x: int, *, border: bool = False, touching: bool = False) -> Cell:
    return Cell(x, 10, 20, 20, 300.0, border, touching)


def test_a_frame_is_measured() -> None:
    image = simulated(6.0)
    cells = [cell(0, border=True), cell(40, touching=True), cell(60, touching=True), cell(90)]
    frame = Frame(image, "camera#7", 7, 0, dropped_before=3, late_ns=1_500_000)
    found = measure_quality(frame, cells, pixel_um=0.5, reference_brightness=light(image)[0] / 1.1)
    assert found.cells == 4
    assert found.density_per_mm2 == pytest.approx(4 / (0.5 * 0.4))  # 1000 × 800 px of 0.5 µm
    assert (found.border_share, found.touching_share) == (0.25, 0.5)
    assert (found.dropped_before, found.late_ms) == (3, 1.5)
    assert found.brightness_drift == pytest.approx(0.1)
    empty = measure_quality(frame, [], pixel_um=0.5)
    assert (empty.border_share, empty.touching_share, empty.brightness_drift) == (None, None, None)


def test_a_flat_field_does_not_hide_saturation() -> None:
    recorded = np.full((200, 300), 150, np.uint8)
    recorded[:50] = 255
    corrected = Frame(np.asarray(recorded * 0.8, np.uint8), "", 0, 0)
    assert measure_quality(corrected, [], pixel_um=0.2).saturated_share == 0
    assert measure_quality(corrected, [], pixel_um=0.2, recorded=recorded).saturated_share == pytest.approx(
        0.25
    )


GOOD = Quality(
    focus=0.5,
    brightness=150.0,
    brightness_drift=0.0,
    saturated_share=0.0,
    cells=50,
    density_per_mm2=500.0,
    border_share=0.1,
    touching_share=0.1,
    dropped_before=0,
    late_ms=5.0,
)


@pytest.mark.parametrize(
    ("changes", "phrase"),
    [
        ({"focus": 0.1}, "out of focus (0.10)"),
        ({"brightness": 20.0}, "too dark (grey level 20)"),
        ({"brightness": 240.0}, "too bright (grey level 240)"),
        ({"brightness_drift": 0.25}, "25% brighter than at calibration"),
        ({"brightness_drift": -0.25}, "25% darker than at calibration"),
        ({"saturated_share": 0.05}, "overexposed (5.0% of the pixels)"),
        ({"density_per_mm2": 9000.0}, "too dense (9000 cells/mm²)"),
        ({"border_share": 0.6}, "60% of the cells cut by the edge"),
        ({"touching_share": 0.7}, "70% of the cells touch another"),
        ({"dropped_before": 2}, "2 frames dropped before it"),
        ({"late_ms": 2500.0}, "2.5 s late"),
        ({"focus": 0.2493}, "out of focus (0.249)"),
        ({"brightness": 49.8}, "too dark (grey level 49.8)"),
        ({"brightness_drift": -0.1004}, "10.04% darker than at calibration"),
        ({"saturated_share": 0.01001}, "overexposed (1.001% of the pixels)"),
        ({"border_share": 0.5 + 1e-9}, "50.0000001% of the cells cut by the edge"),
        ({"late_ms": 2000.2}, "2.0002 s late"),
    ],
)
def test_each_breach_is_named_for_the_operator(changes: dict[str, float], phrase: str) -> None:
    assert breaches(GOOD, QualityLimits()) == ()
    assert breaches(replace(GOOD, **changes), QualityLimits()) == (phrase,)  # type: ignore[arg-type]


def test_unknown_values_breach_nothing_and_limits_can_be_changed() -> None:
    unknown = replace(GOOD, focus=None, brightness_drift=None, border_share=None, touching_share=None)
    assert breaches(unknown, QualityLimits()) == ()
    few = replace(GOOD, cells=3, border_share=0.67, touching_share=0.67)
    assert breaches(few, QualityLimits()) == ()
    assert len(breaches(GOOD, QualityLimits(min_focus=0.6, max_late_ms=1.0, max_density_per_mm2=100.0))) == 3


@pytest.mark.parametrize("shape", [(1, 1), (1, 100), (4, 4), (2, 20000), (8, 8), (40, 40)])
@pytest.mark.parametrize("pixel_um", [0.005, 0.0727, 0.5])
def test_a_frame_too_small_for_a_focus_has_none(shape: tuple[int, int], pixel_um: float) -> None:
    assert focus(np.full(shape, 100, np.uint8), pixel_um) is None


def test_the_reduced_frame_gives_the_same_focus() -> None:
    image = simulate_frame(11).image
    frame = Frame(image, "simulated", 0, 0)
    for pixel_um in (0.0727, 0.1, Optics().pixel_um, 0.19, 0.25):
        alone = measure_quality(frame, [], pixel_um=pixel_um)
        assert alone == measure_quality(frame, [], pixel_um=pixel_um, small=reduced(image, pixel_um))
        assert alone.focus is not None


def test_a_dark_frame_names_the_bit_depth_that_it_probably_needs() -> None:
    quality = Quality(0.5, 10.0, None, 0.0, 0, 0.0, None, None, 0, 0.0)
    assert breaches(quality, QualityLimits()) == ("too dark (grey level 10)",)
    named = "too dark (grey level 10): a 16-bit file that uses 12 bits, pass --bit-depth 12"
    assert breaches(quality, QualityLimits(), likely_bit_depth=12) == (named,)
    assert breaches(replace(quality, brightness=99.0), QualityLimits(), likely_bit_depth=12) == ()
