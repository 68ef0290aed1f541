"""What a count says of cells that it did not see, and when it states no number."""

from __future__ import annotations

import numpy as np
import pytest

from edge.base.cell import Cell
from edge.base.frame import Frame
from edge.classify.decision import Decision
from edge.count.counted_frame import CountedFrame
from edge.count.totals import Totals
from edge.find.quality import Quality
from edge.model.bundle import load_bundle
from edge.run.config import Analysis, CountConfig
from edge.run.pixel_size import FROM_BUNDLE, FROM_OPTION
from edge.run.usable import loss_remarks, why_unusable

MANIFEST = load_bundle("hemocytometer").manifest
KEPT, OUT = Decision("leukocyte"), Decision("leukocyte", "out_of_distribution")
QUALITY = Quality(0.5, 150.0, None, 0.0, 1, 100.0, 0.0, 0.0, 0, 0.0)


def config(pixel_from: str = FROM_OPTION) -> CountConfig:
    return CountConfig(
        sources=("f",),
        folder="/",
        files=("f.png",),
        bundle="hemocytometer",
        pixel_from=pixel_from,
        analysis=Analysis(pixel_um=0.0727, reject_below=0.5),
    )


def counted(kept: int, rejected: int, hidden: float = 0.0, **lost: int) -> Totals:
    totals = Totals(MANIFEST, 0.5)
    decisions = [KEPT] * kept + [OUT] * rejected
    n = len(decisions)
    cells = [Cell(k, 0, 9, 9, 60.0, border=False, touching=False) for k in range(n)]
    probabilities = np.full((n, len(MANIFEST.labels)), 1 / len(MANIFEST.labels), np.float32)
    quality = Quality(**{**vars(QUALITY), "hidden_share": hidden})
    totals.add(
        CountedFrame(
            Frame(np.zeros((9, 9), np.uint8), "f.png", 0, 0),
            "0" * 64,
            cells,
            np.zeros((n, 8, 8), np.uint8),
            probabilities,
            decisions,
            quality,
            (),
            lost,
        )
    )
    return totals


@pytest.mark.parametrize(
    ("kept", "rejected", "known"),
    [
        (1360, 6136, False),  # stem cells
        (100, 3, True),
        (66, 34, True),  # the interval's lower end is 0.248
        (640, 360, False),
        (0, 2, True),  # of two cells both may be rejected by chance
        (0, 5, False),
        (3, 4, True),
    ],
)
def test_a_bundle_that_rejects_many_cells_does_not_know_them(kept: int, rejected: int, known: bool) -> None:
    totals = counted(kept, rejected)
    share = f"({100 * rejected / (kept + rejected):.0f} % rejected)"
    remarks = list(loss_remarks(config(), totals))
    if known:
        assert (why_unusable(config(), totals), remarks) == ("", [])
    else:
        assert why_unusable(config(), totals) == f"this bundle does not know these cells {share}"
        (remark,) = remarks
        assert f"rejected {rejected:,} of {kept + rejected:,} bodies" in remark
        assert "leuko train" in remark


@pytest.mark.parametrize(
    ("lost", "words"),
    [
        (
            {"too_small": 311},
            ("311 smaller than --min-diameter-um 7.5", "pixel size of 0.0727 µm is wrong"),
        ),
        (
            {"too_large": 4, "too_small": 1},
            ("4 larger than --max-diameter-um 40", "pixel size", "--pixel-um"),
        ),
        ({"not_round": 9}, ("9 less solid than --min-solidity 0.6", "focus")),
        ({"too_faint": 50, "too_small": 3}, ("50 hardly above the noise", "contrast", "condenser")),
        ({"cut": 5}, ("5 cut by the frame's edge", "--keep-border")),
        ({}, ("nothing stands out from the noise", "focus, light and contrast")),
    ],
)
def test_a_count_that_found_nothing_says_why(lost: dict[str, int], words: tuple[str, ...]) -> None:
    totals = counted(0, 0, **lost)
    assert why_unusable(config(), totals) == "no cell was found"
    (remark,) = loss_remarks(config(), totals)
    for word in words:
        assert word in remark


def test_many_bodies_too_small_for_cells_question_the_pixel_size() -> None:
    """If nobody stated it, the numbers cannot be meant; a sample may also hold many platelets."""
    totals = counted(91, 0, too_small=3102)
    assert why_unusable(config(), totals) == ""
    assert "the pixel size is not known, and 3,102 bodies are too small" in why_unusable(
        config(FROM_BUNDLE), totals
    )
    (remark,) = loss_remarks(config(), totals)
    assert "3,102 bodies are too small for cells, and 91 are cells: check the pixel size, 0.0727 µm" in remark
    fewer = counted(91, 0, too_small=900)
    assert (why_unusable(config(FROM_BUNDLE), fewer), list(loss_remarks(config(), fewer))) == ("", [])


def test_outlines_and_hidden_parts_of_the_field_are_said() -> None:
    (rim, hidden) = loss_remarks(config(), counted(9, 0, hidden=0.46, outline=1))
    assert rim.startswith("1 outline lies in the frames")
    assert hidden.startswith("46 % of the field is hidden")
    assert "cells/µL" in hidden
    assert list(loss_remarks(config(), counted(9, 0, hidden=0.009))) == []


def test_without_a_frame_nothing_is_said() -> None:
    totals = Totals(MANIFEST, 0.5)
    assert (why_unusable(config(), totals), list(loss_remarks(config(), totals))) == ("", [])
