"""What a correction leaves out and adds, and which of the two numbers it says to report."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.classify import Decision
from edge.count.concentration import FieldVolume
from edge.count.corrected_concentration import estimate_corrected_concentration
from edge.count.correction import Correction, Validation, correct_counts, corrected_inside
from edge.count.intervals import Estimate
from edge.count.prevalence import Ends, Sampler, count_ends
from edge.count.tally import Tally, tally_decisions
from edge.model import Answers, load_bundle

LABELS, COUNTED = ("debris", "granulocyte", "monocyte"), ("granulocyte", "monocyte")
# of each label's validation cells one in fifty gets no answer
KNOWN = Validation(np.c_[49 * np.eye(3, dtype=int), np.ones(3, int)])


def tally_of(**cells: int) -> Tally:
    decisions = {Decision(label): n for label, n in cells.items() if label in LABELS}
    strangers = {Decision("monocyte", "out_of_distribution"): cells.get("strangers", 0)}
    unsure = {Decision("monocyte", "low_confidence"): cells.get("unsure", 0)}
    return tally_decisions(LABELS, COUNTED, decisions | strangers | unsure, 1, ())


def value(estimate: Estimate | None) -> float:
    assert estimate is not None
    assert estimate.value is not None
    return estimate.value


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000))
def test_strangers_change_no_corrected_number(strangers: int) -> None:
    """50 strangers called monocyte once moved the monocytes among 320 leukocytes from 10 to 23 %."""
    known, among = (
        tally_of(granulocyte=288, monocyte=32),
        tally_of(granulocyte=288, monocyte=32, strangers=strangers),
    )
    corrected = correct_counts(among, KNOWN)
    assert replace(corrected, left_out=0) == correct_counts(known, KNOWN)
    assert corrected.left_out == strangers
    assert value(corrected.fractions["monocyte"]) == pytest.approx(0.1, abs=1e-3)
    assert among.cells == 320 + strangers


def test_what_is_rejected_for_low_confidence_changes_no_corrected_number() -> None:
    plain, unsure = (
        correct_counts(tally, KNOWN)
        for tally in (tally_of(granulocyte=60, monocyte=40), tally_of(granulocyte=60, monocyte=10, unsure=30))
    )
    assert (plain.fractions, plain.counts) == (unsure.fractions, unsure.counts)


def answers(frames: int) -> Answers:
    cells = ((20, 0, 0, 0), (0, 90, 0, 0), (0, 0, 60, 20))
    missed, false = ((0, 10, 20), (0, 10, 0, 3)) if frames else ((0, 0, 0), (0, 0, 0, 0))
    return Answers(cells, missed, false, frames, "frames")


def test_missed_and_false_cells_are_corrected_in_frames_counted_as_they_were_validated() -> None:
    manifest = replace(load_bundle("phantom3").manifest, answers=answers(frames=9))
    tally = tally_of(granulocyte=190, monocyte=60)
    chain, crops = (Validation.of(manifest, usual=usual) for usual in (True, False))
    # 10 false ones among 220 validation cells: 1 of 22 cells brings one
    corrected = correct_counts(tally, chain)
    assert (corrected.misses, corrected.validated) == (True, 220)
    assert value(corrected.counts["monocyte"]) == pytest.approx(100, abs=0.1)
    granulocytes = (190 - 100 / 22) / (0.9 + 1 / 22)
    assert value(corrected.counts["granulocyte"]) == pytest.approx(granulocytes, abs=0.1)
    unusual = correct_counts(tally, crops)
    assert not unusual.misses
    assert value(unusual.counts["granulocyte"]) == pytest.approx(190, abs=0.1)
    assert value(unusual.counts["monocyte"]) == pytest.approx(80, abs=0.1)
    assert not Validation.of(replace(manifest, answers=answers(frames=0)), usual=True).misses


def test_a_bundle_of_before_is_corrected_by_its_confusion_matrix() -> None:
    manifest = replace(load_bundle("phantom3").manifest, answers=None)
    validation = Validation.of(manifest, usual=True)
    assert validation.confusion.tolist() == [list(row) for row in manifest.confusion]
    assert (validation.false, validation.misses) == (None, False)


def test_cells_in_a_field_are_corrected_like_the_count() -> None:
    tally = tally_of(granulocyte=100, monocyte=50, strangers=7)
    inside = {Decision("granulocyte"): 98, Decision("monocyte", "out_of_distribution"): 5}
    found = corrected_inside(inside, tally, KNOWN, COUNTED)
    assert found.value == pytest.approx(100, abs=0.1)
    assert np.quantile(found.low, 0.025) < 85
    assert np.quantile(found.high, 0.975) > 120


def test_a_concentration_is_as_unsure_as_its_cells_and_its_volume() -> None:
    exact, unsure = (FieldVolume(0.01, relative, 2.0, 100.0) for relative in (0.0, 0.2))
    matrix = np.eye(2, dtype=int) * 10**7
    cells = count_ends(Sampler(np.array([400, 0]), matrix, np.array([True, False])), np.array([True, False]))
    found = estimate_corrected_concentration(cells, 20, exact)
    assert value(found) == pytest.approx(4000)
    assert [found.low, found.high] == pytest.approx([3617, 4412], rel=0.01)  # Garwood's 361.7 and 441.2
    wider = estimate_corrected_concentration(cells, 20, unsure)
    assert wider.low < 2800 < 5800 < wider.high
    with pytest.raises(ValueError, match="0 fields"):
        estimate_corrected_concentration(cells, 0, exact)
    none = Ends(0.0, np.zeros(3), np.ones(3))
    assert estimate_corrected_concentration(none, 20, exact).low == 0


def corrected(answers: list[int], confusion: list[list[int]]) -> Correction:
    tally = tally_of(**dict(zip(LABELS, answers, strict=True)))
    return correct_counts(tally, Validation(np.array(confusion)))


def test_the_better_numbers_are_the_ones_to_report() -> None:
    """Errors of two labels that cancel leave the raw shares right; those of one label do not."""
    few = [[20, 0, 0], [0, 17, 3], [0, 3, 17]]
    cancelling = corrected([0, 50, 50], few)
    assert cancelling.report == "raw"
    assert cancelling.errors is not None
    assert cancelling.errors.raw < cancelling.errors.corrected
    biased = corrected([0, 500, 500], [[2000, 0, 0], [0, 1600, 400], [0, 0, 2000]])
    assert biased.report == "corrected"
    assert biased.errors is not None
    assert biased.errors.raw == pytest.approx(0.125, abs=0.02)
    assert corrected([0, 0, 0], few).errors is None


def test_it_says_when_validation_cells_set_the_width() -> None:
    few = [[20, 0, 0], [0, 17, 3], [0, 3, 17]]
    assert corrected([0, 50_000, 50_000], few).few_validated
    assert not corrected([0, 50, 50], [[1000 * n for n in row] for row in few]).few_validated
