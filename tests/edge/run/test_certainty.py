"""Frames that are degraded until labels go wrong: blurred, denoised, compressed, resized, interlaced."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base.cell import Cell
from edge.base.frame import Frame
from edge.classify.classifier import Classifier
from edge.classify.decision import Decision
from edge.count.counted_frame import CountedFrame
from edge.count.totals import Totals
from edge.find.quality import Quality
from edge.model.bundle import load_bundle
from edge.run.certainty import certainty_remark, certainty_unusable
from edge.run.config import Analysis
from edge.run.pipeline import count_frames
from edge.simulate.frame import simulate_frame
from edge.simulate.scene import Scene
from tests.edge.run.test_count_run import comparable, config_for
from tests.edge.run.test_count_run import counted as count_of
from tests.edge.run.test_file_facts import interrupted

Image = NDArray[np.uint8]
BUNDLE = load_bundle("phantom3")
SCENE = Scene(leukocytes=60, erythrocytes=0, debris=0)


@cache
def classifier() -> Classifier:
    return Classifier(BUNDLE)


@cache
def field() -> Image:
    return simulate_frame(23, scene=SCENE).image


def counted(image: Image) -> Totals:
    totals = Totals(BUNDLE.manifest, 0.5)
    analysis = Analysis(pixel_um=0.125, reject_below=0.5)
    for result in count_frames([Frame(image, "f.png", 0, 0)], classifier(), analysis):
        totals.add(result)
    return totals


def blurred(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 2), np.uint8)


def denoised(image: Image) -> Image:
    return np.asarray(cv2.medianBlur(image, 9), np.uint8)


def posterised(image: Image) -> Image:
    return np.asarray(image // 32 * 32 + 16, np.uint8)


def noisy(image: Image) -> Image:
    noise = np.random.default_rng(1).normal(0, 12, image.shape)
    return np.clip(np.rint(image + noise), 0, 255).astype(np.uint8)


def interlaced(image: Image) -> Image:
    made = image.copy()
    made[1::2] = np.roll(image[1::2], 6, axis=1)
    return made


def binned(image: Image) -> Image:
    small = cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def slightly_blurred(image: Image) -> Image:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), 0.8), np.uint8)


def compressed(image: Image) -> Image:
    return np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 75])[1], 0), np.uint8
    )


@pytest.mark.parametrize("change", [slightly_blurred, compressed])
def test_labels_that_hold_are_not_remarked(change: Callable[[Image], Image]) -> None:
    totals = counted(change(field()))
    assert (certainty_remark(totals, BUNDLE.manifest), certainty_unusable(totals, BUNDLE.manifest)) == (
        "",
        "",
    )


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (blurred, "finest detail is weaker than in"),
        (denoised, "turn off denoising, binning and strong compression"),
        (binned, "finest detail is weaker than in"),
        (posterised, "finest detail is stronger than in"),
        (noisy, "more light against noise"),
        (interlaced, "that frames are as the camera gives them"),
    ],
)
def test_no_number_where_labels_go_wrong(change: Callable[[Image], Image], cause: str) -> None:
    totals = counted(change(field()))
    assert "labels do not hold in these frames (it doubts" in certainty_unusable(totals, BUNDLE.manifest)
    remark = certainty_remark(totals, BUNDLE.manifest)
    assert cause in remark
    assert "0.79 % of them were wrong in its validation" in remark
    assert "leuko train" in remark


def doubted(*labels: tuple[int, float, str], quality: dict[str, float] | None = None) -> Totals:
    """Return totals of cells of some labels, half of each doubted a third more and half a third less."""
    totals = Totals(BUNDLE.manifest, 0.5)
    for cells, doubt, label in labels:
        probabilities = np.zeros((cells, len(BUNDLE.manifest.labels)), np.float32)
        probabilities[:, 0] = 1 - doubt * np.where(np.arange(cells) % 2, 2 / 3, 4 / 3)
        totals.add(
            CountedFrame(
                Frame(np.zeros((9, 9), np.uint8), "f.png", 0, 0),
                "0" * 64,
                [Cell(k, 0, 9, 9, 64, border=False, touching=False) for k in range(cells)],
                np.zeros((cells, 8, 8), np.uint8),
                probabilities,
                [Decision(label)] * cells,
                Quality(0.5, 150.0, None, 0.0, cells, 100.0, 0.0, 0.0, 0, 0.0, **(quality or {})),
            )
        )
    return totals


@pytest.mark.parametrize(
    ("labels", "remarked", "unusable"),
    [
        ([(100, 0.02, "monocyte")], False, False),
        ([(100, 0.03, "monocyte")], True, False),
        ([(100, 0.05, "monocyte")], True, True),
        ([(9, 0.3, "monocyte")], False, False),  # too few to say
        ([(10, 0.3, "monocyte")], True, True),
        ([(100, 0.008, "debris")], False, False),
        ([(100, 0.09, "debris")], True, True),  # blurred until no cell looks like a leukocyte
        ([(25, 0.01, "granulocyte"), (400, 0.07, "debris")], True, True),  # cells of another kind
        ([(60, 0.01, "granulocyte"), (400, 0.07, "debris")], False, False),  # what debris is does not matter
        ([(10, 0.1, "granulocyte"), (400, 0.001, "erythrocyte")], True, True),
    ],
)
def test_how_much_doubt_is_remarked(
    labels: list[tuple[int, float, str]], remarked: bool, unusable: bool
) -> None:
    totals = doubted(*labels)
    assert (certainty_remark(totals, BUNDLE.manifest) != "") == remarked
    assert (certainty_unusable(totals, BUNDLE.manifest) != "") == unusable


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        ({"contrast": 0.7, "detail": 0.0}, ["0.7 times the contrast"]),
        ({"contrast": 1.5, "detail": -1.0}, ["weaker than in 84 %"]),
        ({"contrast": 0.7, "detail": 1.0}, ["0.7 times the contrast", "stronger than in 84 %"]),
        ({"contrast": 1.2, "detail": 0.2}, ["check the focus, the pixel size"]),
        ({}, ["check the focus, the pixel size"]),
    ],
)
def test_remark_names_the_likely_cause(quality: dict[str, float], words: list[str]) -> None:
    remark = certainty_remark(doubted((50, 0.1, "monocyte"), quality=quality), BUNDLE.manifest)
    assert remark.startswith(
        "bundle phantom3 doubts 10 % of the labels that it gives (granulocyte, lymphocyte"
    )
    listed = ["times the contrast", "weaker than", "stronger than", "check the focus, the pixel"]
    assert [one for one in listed if one in remark] == [one for one in listed if one in " ".join(words)]
    assert all(word in remark for word in words)


def test_a_resumed_count_doubts_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = tmp_path / "frames"
    frames.mkdir()
    for k in range(4):
        quarter = field()[616 * (k // 2) :, 820 * (k % 2) :][:616, :820]
        cv2.imwrite(str(frames / f"{k}.png"), cv2.GaussianBlur(quarter, (0, 0), 2.5))
    run = interrupted(frames, tmp_path / "sessions", monkeypatch, {})
    assert any("bundle phantom3 doubts" in remark for remark in run.remarks)
    assert comparable(run) == comparable(count_of(config_for(frames)))
