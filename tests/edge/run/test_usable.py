"""What a count says of cells that it did not see, and when it states no number."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edge.base.cell import Cell
from edge.base.frame import Frame
from edge.calibration.file import Calibration
from edge.classify.decision import Decision
from edge.count.counted_frame import CountedFrame
from edge.count.totals import Totals
from edge.find.quality import Quality, QualityLimits
from edge.find.segmentation import Gates
from edge.model.bundle import load_bundle
from edge.run.config import Analysis, CountConfig
from edge.run.instrument import Instrument
from edge.run.pixel_size import FROM_BUNDLE, FROM_OPTION
from edge.run.remarks import opening_remarks
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


def counted(kept: int, rejected: int, hidden: float = 0.0, *, diameter_um: float = 11, **lost: int) -> Totals:
    totals = Totals(MANIFEST, 0.5)
    totals.add(counted_frame(kept, rejected, hidden, diameter_um=diameter_um, **lost))
    return totals


def counted_frame(
    kept: int, rejected: int, hidden: float = 0.0, *, diameter_um: float = 11, **lost: int
) -> CountedFrame:
    area = np.pi / 4 * (diameter_um / 0.0727) ** 2
    decisions = [KEPT] * kept + [OUT] * rejected
    n = len(decisions)
    cells = [Cell(k, 0, 9, 9, area, border=False, touching=False) for k in range(n)]
    probabilities = np.full((n, len(MANIFEST.labels)), 1 / len(MANIFEST.labels), np.float32)
    quality = Quality(**{**vars(QUALITY), "hidden_share": hidden})
    return CountedFrame(
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


@pytest.mark.parametrize(
    ("kept", "rejected", "known"),
    [
        (1360, 6136, False),  # stem cells
        (100, 3, True),
        (66, 34, False),
        (75, 25, True),
        (640, 360, False),
        (10, 8, False),  # real cells at 1.3 times their size
        (12, 9, False),  # real cells with a bundle for simulated ones
        (0, 1, True),  # a single cell may be rejected by chance
        (0, 2, False),
        (0, 5, False),
        (3, 2, True),
        (3, 4, False),
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


def near(below: int, above: int, clear: int) -> Totals:
    """Return a count with bodies just below the smallest diameter, cells just above it, and clear of it."""
    totals = counted(clear, 0, just_below=below)
    totals.add(counted_frame(above, 0, diameter_um=8))
    return totals


@pytest.mark.parametrize(
    ("below", "above", "clear", "remarked", "usable"),
    [
        (128, 40, 1033, False, True),  # the 140 real frames
        (9, 2, 28, False, True),  # the worst five of them in a row
        (10, 10, 163, False, True),  # simulated, with much debris
        (1, 1, 0, False, True),
        (20, 34, 81, True, True),  # simulated, at 0.7 times their size
        (2, 17, 14, True, True),  # five real frames at 0.7 times their size
        (34, 10, 17, True, False),  # simulated, at half their size
        (114, 14, 25, True, False),  # real, at 0.6 times their size
        (14, 3, 2, True, False),  # simulated, at 0.4 times their size
    ],
)
def test_a_smallest_diameter_that_cuts_through_the_cells_is_remarked(
    below: int, above: int, clear: int, remarked: bool, usable: bool
) -> None:
    """A wrong pixel size loses the small cells first: the fractions of the others look sound."""
    totals = near(below, above, clear)
    for source in (FROM_BUNDLE, FROM_OPTION):  # a stated pixel may be wrong too
        remarks = list(loss_remarks(config(source), totals))
        assert len(remarks) == remarked
        if remarked:
            assert (
                f"{below} bodies are just below --min-diameter-um 7.5, and {above} of {above + clear}"
                in remarks[0]
            )
            assert f"check the pixel size (0.0727 µm, {source}; pass --pixel-um" in remarks[0]
        why = why_unusable(config(source), totals)
        assert bool(why) != usable
        assert usable or f"{below} bodies are just below 7.5 µm, and only {clear} cells" in why


def test_who_raised_the_smallest_diameter_gets_numbers_and_the_remark() -> None:
    raised = replace(config(), analysis=replace(config().analysis, gates=Gates(min_diameter_um=8)))
    assert why_unusable(raised, near(34, 10, 17)) == ""
    assert len(list(loss_remarks(raised, near(34, 10, 17)))) == 1


def test_without_a_cell_a_pixel_that_nobody_stated_is_a_cause_beside_the_contrast() -> None:
    totals = counted(0, 0, too_faint=133, too_small=50, just_below=12)
    (remark,) = loss_remarks(config(FROM_BUNDLE), totals)
    for words in (
        "62 smaller than",
        "contrast is too low",
        "as nothing states it, the pixel size",
        "--pixel-um",
    ):
        assert words in remark
    (stated,) = loss_remarks(config(FROM_OPTION), totals)
    assert "--pixel-um" not in stated


def test_cells_on_an_outline_are_no_unknown_cells() -> None:
    assert why_unusable(config(), counted(28, 15)).endswith("(35 % rejected)")
    assert why_unusable(config(), counted(28, 15, outline=1)) == ""
    assert why_unusable(config(), counted(28, 30, outline=1)).endswith("(52 % rejected)")


def test_outlines_and_hidden_parts_of_the_field_are_said() -> None:
    (rim, hidden) = loss_remarks(config(), counted(9, 0, hidden=0.46, outline=1))
    assert rim.startswith("1 outline lies in the frames")
    assert hidden.startswith("46 % of the field is hidden")
    assert "cells/µL" in hidden
    assert list(loss_remarks(config(), counted(9, 0, hidden=0.009))) == []


def test_without_a_frame_nothing_is_said() -> None:
    totals = Totals(MANIFEST, 0.5)
    assert (why_unusable(config(), totals), list(loss_remarks(config(), totals))) == ("", [])


def narrowed(**gates: Any) -> CountConfig:
    return replace(config(), analysis=replace(config().analysis, gates=Gates(**gates)))


@pytest.mark.parametrize(
    ("gates", "lost", "option"),
    [
        ({"min_solidity": 1.0}, {"not_round": 140, "too_small": 21, "too_faint": 137}, "--min-solidity 1"),
        ({"max_diameter_um": 8.0}, {"too_large": 90, "too_small": 20}, "--max-diameter-um 8"),
        ({"min_diameter_um": 30.0}, {"too_small": 130}, "--min-diameter-um 30"),
        ({}, {"not_round": 140, "too_small": 21}, ""),
        ({"min_solidity": 0.8}, {"not_round": 1, "too_small": 130}, ""),
        ({"min_solidity": 0.5}, {"not_round": 140}, ""),  # wider than usual
    ],
)
def test_a_gate_that_someone_narrowed_is_the_cause(
    gates: dict[str, float], lost: dict[str, int], option: str
) -> None:
    (remark,) = loss_remarks(narrowed(**gates), counted(0, 0, **lost))
    assert (f": {option} leaves out {max(lost.values())} bodies" in remark) == bool(option)
    assert "the contrast is too low" not in remark or not option


def test_a_gate_that_someone_narrowed_loses_most_cells() -> None:
    totals = counted(1, 0, too_large=90, too_small=20)
    gates = narrowed(max_diameter_um=8.0)
    assert why_unusable(gates, totals) == ""  # the pixel size is not to blame
    assert list(loss_remarks(gates, totals)) == [
        "--max-diameter-um 8 leaves out 90 bodies; by default it is 40: raise it"
    ]
    assert any(
        "--max-diameter-um 8 leaves out 25" in one
        for one in loss_remarks(gates, counted(90, 0, too_large=25))
    )
    assert not any("by default" in one for one in loss_remarks(gates, counted(90, 0, too_large=5)))


def test_cells_that_the_option_rejects_are_known_to_the_bundle() -> None:
    below = Decision("leukocyte", "low_confidence")
    totals = Totals(MANIFEST, 0.999)
    frame = counted_frame(10, 0)
    totals.add(replace(frame, decisions=[below] * 9 + [OUT]))
    strict = replace(config(), analysis=replace(config().analysis, reject_below=0.999))
    assert why_unusable(strict, totals) == "--reject-below 0.999 rejects 100 % of the cells"
    (remark,) = loss_remarks(strict, totals)
    limit = f"{MANIFEST.reject_below:g}"
    assert remark == (
        f"--reject-below 0.999 rejected 9 of 10 bodies; the bundle's own limit is {limit}: leave the option"
        " out, or lower it"
    )
    own = replace(config(), analysis=replace(config().analysis, reject_below=MANIFEST.reject_below))
    assert "does not know these cells" in why_unusable(own, totals)
    foreign = Totals(MANIFEST, 0.999)
    foreign.add(counted_frame(4, 6))
    assert "does not know these cells" in why_unusable(strict, foreign)


def test_a_calibration_without_content_is_remarked() -> None:
    instrument, named = Instrument(load_bundle("hemocytometer")), replace(config(), calibration="c.toml")
    (remark,) = opening_remarks(named, instrument)
    assert remark.startswith("calibration c.toml has no effect: nothing is calibrated in it")
    limits = Calibration(quality=QualityLimits(min_focus=0.3))
    assert opening_remarks(named, replace(instrument, calibration=limits)) == ()
    assert opening_remarks(config(), instrument) == ()
