"""Frames of another contrast than the bundle's training: negatives, dark field, faint and enhanced ones."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.capture.frames import read_frames
from edge.classify.classifier import Classifier
from edge.count.result import CountResult
from edge.count.totals import Totals
from edge.model.bundle import load_bundle
from edge.run.config import Analysis
from edge.run.contrast import contrast_remark, contrast_unusable
from edge.run.pipeline import count_frames
from edge.simulate.frame import simulate_frame
from edge.simulate.scene import Scene
from tests.edge.run.test_count_run import config_for, counted

Image = NDArray[np.uint8]
DATA = Path(__file__).parents[4] / "shared" / "data"
SCENE = Scene(width_px=1230, height_px=924, leukocytes=14, erythrocytes=5, debris=4)


def grey(values: NDArray[np.float64]) -> Image:
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def scaled(share: float) -> Callable[[Image], Image]:
    return lambda image: grey(159 + share * (image.astype(float) - 159))


def dark_field(image: Image) -> Image:
    return grey(3 * np.abs(image.astype(float) - cv2.GaussianBlur(image, (0, 0), 20)))


def negative(image: Image) -> Image:
    return np.asarray(255 - image, np.uint8)


@cache
def field(number: int) -> Image:
    return simulate_frame(21, number, scene=SCENE).image


def count_of(folder: Path, change: Callable[[Image], Image]) -> CountResult:
    for k in range(2):
        cv2.imwrite(str(folder / f"{k}.png"), change(field(k)))
    return counted(config_for(folder))


@pytest.mark.parametrize("share", [0.8, 1.0, 1.2])
def test_contrast_as_in_training_is_not_remarked(tmp_path: Path, share: float) -> None:
    run = count_of(tmp_path, scaled(share))
    assert (run.remarks, run.unusable) == ((), "")
    assert 0.7 < run.quality["contrast"].median < 1.5


@pytest.mark.parametrize("share", [0.3, 0.45])
def test_faint_cells_are_remarked(tmp_path: Path, share: float) -> None:
    run = count_of(tmp_path, scaled(share))
    remark, doubt = run.remarks
    assert "times the contrast of those that bundle phantom3 was trained on: faint cells are missed" in remark
    assert "stop down the condenser" in remark
    # at half the contrast more than a third of the granulocytes are taken for monocytes
    assert "bundle phantom3 doubts" in doubt
    assert "labels do not hold in these frames" in run.unusable


def test_cells_that_hardly_stand_out_are_not_a_number_without_words(tmp_path: Path) -> None:
    run = count_of(tmp_path, scaled(0.22))
    assert 0 < run.tally.cells < 20
    assert run.unusable or any("contrast" in remark for remark in run.remarks)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (negative, "light and dark are reversed in these frames, as in a negative"),
        (lambda image: negative(scaled(0.8)(image)), "light and dark are reversed"),
        (dark_field, "this is dark field"),
    ],
)
def test_no_number_of_a_negative_or_of_dark_field(
    tmp_path: Path, change: Callable[[Image], Image], why: str
) -> None:
    run = count_of(tmp_path, change)
    assert why in run.unusable
    assert any("times the contrast" in remark for remark in run.remarks)


def test_enhanced_contrast_is_remarked(tmp_path: Path) -> None:
    run = count_of(tmp_path, scaled(1.7))
    # of simulated samples with 8 to 13 monocytes 1 to 3 are left
    assert "too strong contrast" in run.unusable
    assert any("enhanced images" in remark for remark in run.remarks)


@pytest.mark.parametrize("reverse", [False, True])
def test_real_frames(reverse: bool) -> None:
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data")  # real images, which may not be committed
    bundle = load_bundle("hemocytometer")
    totals = Totals(bundle.manifest, 0.5)
    files = sorted((DATA / "hemocytometer" / "frames").iterdir())[::20]
    frames = list(read_frames(files))
    if reverse:
        for frame in frames:
            frame.image[:] = 255 - frame.image  # type: ignore[union-attr]  # all can be read
    analysis = Analysis(pixel_um=0.0727, reject_below=0.5)
    for result in count_frames(frames, Classifier(bundle), analysis):
        totals.add(result)
    remark = contrast_remark(totals, bundle.manifest)
    assert (remark != "") == reverse
    assert contrast_unusable(totals) == ""  # the grid is bright in one and dark in the other: rejection tells
