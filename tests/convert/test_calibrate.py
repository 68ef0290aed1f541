"""Which threshold a conversion chooses, and what it states of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from convert.calibrate import _reject_below
from convert.cli.convert import convert, threshold_words
from convert.settings import Settings
from edge.count.intervals import clopper_pearson
from edge.model.bundle import load_bundle

N = 400
CONFIDENCE = np.linspace(0.5, 1, N).astype(np.float32)
RIGHT = np.random.default_rng(2).random(N) < CONFIDENCE
ALONE = [str(k) for k in range(N)]


def test_what_was_asked_for_is_not_what_is_stated() -> None:
    known = np.ones(N, bool)
    fixed, least = _reject_below(CONFIDENCE, RIGHT, known, ALONE, Settings())
    assert fixed == 0.5
    assert least == pytest.approx(clopper_pearson(RIGHT.sum(), N, 0.9)[0])
    asked, least = _reject_below(CONFIDENCE, RIGHT, known, ALONE, Settings(precision=0.9))
    assert RIGHT[asked <= CONFIDENCE].mean() >= 0.9
    assert least < 0.9
    sure, least = _reject_below(CONFIDENCE, RIGHT, known, ALONE, Settings(precision_guaranteed=0.85))
    assert least >= 0.85
    assert sure > _reject_below(CONFIDENCE, RIGHT, known, ALONE, Settings(precision=0.85))[0]


def test_only_cells_in_distribution_choose_the_threshold() -> None:
    known = CONFIDENCE < 0.9
    wrong = RIGHT & known
    everyone = _reject_below(CONFIDENCE[known], RIGHT[known], known[known], ALONE[: known.sum()], Settings())
    assert _reject_below(CONFIDENCE, wrong, known, ALONE, Settings()) == everyone
    assert _reject_below(CONFIDENCE, RIGHT, np.zeros(N, bool), ALONE, Settings()) == (0.5, 0.0)


def test_cells_that_come_in_groups_guarantee_less() -> None:
    known = np.ones(N, bool)
    groups = [str(k // 20) for k in range(N)]  # what is alike in confidence is so in groups
    alone, grouped = (
        _reject_below(CONFIDENCE, RIGHT, known, which, Settings())[1] for which in (ALONE, groups)
    )
    assert grouped < alone
    with pytest.raises(ValueError, match=r"no threshold guarantees that 0\.85"):
        _reject_below(CONFIDENCE, RIGHT, known, ["slide"] * N, Settings(precision_guaranteed=0.85))


def test_both_ways_to_choose_a_threshold_are_refused(tmp_path: Path) -> None:
    words = [str(tmp_path), "--out", str(tmp_path / "b.tflite"), "--precision", "0.9"]
    refused = CliRunner().invoke(convert, [*words, "--precision-guaranteed", "0.9"])
    assert refused.exit_code == 2
    assert "pass one" in refused.stderr


@pytest.mark.parametrize(
    ("name", "words"), [("hemocytometer", "94.6 % are right, at least 90.4 % of new ones")]
)
def test_what_is_found_and_what_is_sure_stand_together(name: str, words: str) -> None:
    manifest = load_bundle(name).manifest
    assert manifest.rejection is not None
    assert words in threshold_words(manifest.reject_below, manifest.rejection)
