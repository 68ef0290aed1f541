"""Sharpened, enhanced and strongly compressed frames: labels change while the cells stay."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base.cell import Cell
from edge.base.frame import Frame
from edge.classify.decision import Decision
from edge.count.counted_frame import CountedFrame
from edge.count.totals import Totals
from edge.find.quality import Quality
from edge.model.bundle import load_bundle
from edge.run.certainty import certainty_remark
from edge.run.enhanced import enhanced_remark, enhanced_unusable
from edge.run.traces import or_traces
from tests.edge.run.test_certainty import counted, field

Image = NDArray[np.uint8]
PHANTOM3, HEMOCYTOMETER = (load_bundle(name).manifest for name in ("phantom3", "hemocytometer"))


def sharpened(amount: float, sigma: float) -> Callable[[Image], Image]:
    return lambda image: np.asarray(
        cv2.addWeighted(image, 1 + amount, cv2.GaussianBlur(image, (0, 0), sigma), -amount, 0), np.uint8
    )


@pytest.mark.parametrize("change", [sharpened(1.5, 3), sharpened(1.5, 2), sharpened(3, 1), sharpened(1, 6)])
def test_sharpened_frames_are_remarked(change: Callable[[Image], Image]) -> None:
    totals = counted(change(field()))
    assert "turn off the camera's sharpening" in enhanced_remark(totals, PHANTOM3)


def test_frames_in_order_are_not() -> None:
    totals = counted(field())
    assert (enhanced_remark(totals, PHANTOM3), enhanced_unusable(totals, PHANTOM3), or_traces(totals)) == (
        "",
        "",
        "",
    )


def totals_of(cells: int, doubt: float = 0.0, manifest: object = PHANTOM3, **quality: float | None) -> Totals:
    totals = Totals(PHANTOM3, 0.5)
    label = "granulocyte" if manifest is PHANTOM3 else "leukocyte"
    totals.add(
        CountedFrame(
            Frame(np.zeros((9, 9), np.uint8), "f.png", 0, 0),
            "0" * 64,
            [Cell(k, 0, 9, 9, 64, border=False, touching=False) for k in range(cells)],
            np.zeros((cells, 8, 8), np.uint8),
            np.stack([1 - doubt * np.where(np.arange(cells) % 2, 2 / 3, 4 / 3)], axis=1).astype(np.float32),
            [Decision(label)] * cells,
            replace(Quality(0.5, 150.0, None, 0.0, cells, 100.0, 0.0, 0.0, 0, 0.0), **quality),  # type: ignore[arg-type]  # measures are numbers
        )
    )
    return totals


@pytest.mark.parametrize(
    ("cells", "contrast", "detail", "remarked", "unusable"),
    [
        (100, 1.24, 0.32, False, False),  # the strongest in order: dense
        (78, 1.07, 0.64, False, False),  # granulocytes alone
        (100, 1.4, 0.0, False, False),
        (100, 1.5, 0.14, True, False),  # sharpened by 1.0
        (100, 1.61, 0.19, True, True),  # by 1.5
        (100, 1.28, 1.1, True, False),  # with a narrow radius
        (100, 1.7, -1.0, True, True),  # finest detail that is weak makes up for nothing
        (9, 2.5, 1.0, False, False),  # too few to say
        (12, 1.5, 0.1, False, False),
        (12, 2.0, 0.1, True, True),
    ],
)
def test_how_strong_cells_are_remarked(
    cells: int, contrast: float, detail: float, remarked: bool, unusable: bool
) -> None:
    totals = totals_of(cells, counted_contrast=contrast, counted_detail=detail)
    assert (enhanced_remark(totals, PHANTOM3) != "") == remarked
    assert (enhanced_unusable(totals, PHANTOM3) != "") == unusable


@pytest.mark.parametrize(
    ("cells", "detail", "remarked"),
    [(18, 2.5, True), (100, 1.3, True), (100, 0.7, False), (10, 1.1, False), (5, 3.0, False)],
)
def test_finest_detail_of_all_cells_is_remarked(cells: int, detail: float, remarked: bool) -> None:
    totals = totals_of(cells, contrast=1.3, detail=detail)
    assert ("the cells have 1.3 times the contrast" in enhanced_remark(totals, PHANTOM3)) == remarked
    assert enhanced_unusable(totals, PHANTOM3) == ""


@pytest.mark.parametrize(
    ("quality", "words"),
    [
        ({"saturated_share": 0.3}, "a white border or overexposure (30 % of the pixels are white)"),
        ({"used_levels": 0.06}, "few grey levels (6 % of them are in use)"),
        ({"blockiness": 3.0}, "strong compression (its blocks"),
        ({"blockiness": 1.2, "used_levels": 1.0, "saturated_share": 0.001}, ""),
        ({}, ""),
    ],
)
def test_what_else_made_bodies_is_named(quality: dict[str, float], words: str) -> None:
    assert (or_traces(totals_of(5, **quality)) != "") == (words != "")
    assert words in or_traces(totals_of(5, **quality))


def test_one_counted_label_has_no_fractions_to_be_wrong() -> None:
    totals = totals_of(30, manifest=HEMOCYTOMETER, counted_contrast=1.25, counted_detail=2.8)
    assert "bundle hemocytometer" in enhanced_remark(totals, HEMOCYTOMETER)
    assert enhanced_unusable(totals, HEMOCYTOMETER) == ""


@pytest.mark.parametrize(
    ("doubt", "blockiness", "remarked"),
    [(0.025, 3.0, True), (0.025, 1.0, False), (0.025, None, False), (0.02, 3.0, False), (0.035, 1.0, True)],
)
def test_less_doubt_is_remarked_where_blocks_are_seen(
    doubt: float, blockiness: float | None, remarked: bool
) -> None:
    remark = certainty_remark(totals_of(200, doubt, blockiness=blockiness), PHANTOM3)
    assert (remark != "") == remarked
    assert ("blocks of 8 x 8 pixels show compression" in remark) == (remarked and blockiness == 3.0)
