"""The live line: what it says, what it leaves out, and that it predicts only what it can know."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest

from edge.base.frame import FailedFrame, Frame
from edge.classify.decision import Decision
from edge.cli.standing import Course, Standing
from edge.count.counted_frame import CountedFrame
from edge.count.stop_rule import StopRule
from edge.count.tally import Tally, tally_decisions

LABELS = ("granulocyte", "lymphocyte", "monocyte", "debris")


def tally(granulocytes: int, lymphocytes: int = 0, rejected: int = 0, frames: int = 1) -> Tally:
    decisions = {
        Decision("granulocyte"): granulocytes,
        Decision("lymphocyte"): lymphocytes,
        Decision("granulocyte", "low_confidence"): rejected,
    }
    return tally_decisions(LABELS, LABELS[:3], decisions, frames, ())


def frame(name: str, *breaches: str) -> CountedFrame:
    none = np.zeros((0, 0), np.uint8)
    return CountedFrame(
        Frame(none, name, 0, 0), "", [], none[None], none.astype(np.float32), [], breaches=breaches
    )


def course(rule: StopRule, files: int | None, times: Iterator[float], seconds: float = 0.0) -> Course:
    return Course(rule, files, seconds, clock=lambda: next(times))


def test_the_line_says_target_differential_time_left_and_what_is_wrong() -> None:
    times = itertools.chain([0.0], itertools.count(10.0, 10.0))
    watched = course(StopRule(until_cells=400), None, times)
    watched.standing(frame("c#0"), tally(20, 20))
    standing = watched.standing(frame("c#1", "too dark (grey level 31)"), tally(60, 40, rejected=7, frames=2))
    # 60 leukocytes in 10 s, and 300 are missing
    assert standing.seconds_left == pytest.approx(50)
    assert standing.share == pytest.approx(0.25)
    assert standing.line() == (
        "100 of 400 leukocytes, granulocyte 60 %, lymphocyte 40 %, monocyte 0 %, 7 rejected, about 50 s left,"
        " 2 frames, too dark (grey level 31)"
    )
    assert standing.facts() == {
        "leukocytes": 100,
        "until_cells": 400,
        "fractions": {"granulocyte": 0.6, "lymphocyte": 0.4, "monocyte": 0.0},
        "unusable": None,
        "rejected": 7,
        "seconds_left": 50,
    }


@pytest.mark.parametrize(
    ("width", "line"),
    [
        (120, "100 of 400 leukocytes, basophil 60 %, monocyte 40 %, about 50 s left, 12 frames, too dark"),
        (85, "100 of 400 leukocytes, basophil 60 %, monocyte 40 %, about 50 s left, too dark"),
        (75, "100 of 400 leukocytes, baso 60 %, mono 40 %, about 50 s left, too dark"),
        (60, "100 of 400 leukocytes, about 50 s left, too dark"),
        (40, "100 of 400 leukocytes, too dark"),
        (10, "too dark"),
    ],
)
def test_a_narrow_terminal_gets_what_matters_most(width: int, line: str) -> None:
    labels = ("basophil", "monocyte")
    counted = tally_decisions(labels, labels, {Decision("basophil"): 60, Decision("monocyte"): 40}, 12, ())
    assert Standing(counted, StopRule(until_cells=400), 0.25, 50.0, ("too dark",)).line(width) == line


def test_labels_that_begin_alike_are_not_shortened() -> None:
    labels = ("erythroblast", "erythrocyte")
    counted = tally_decisions(labels, labels, {Decision(label): 1 for label in labels}, 1, ())
    standing = Standing(counted, StopRule(), None, None)
    assert standing.line(50) == "2 leukocytes, erythroblast 50 %, erythrocyte 50 %"
    assert standing.line(40) == "2 leukocytes"


def test_what_cannot_be_meant_is_not_stated() -> None:
    watched = course(StopRule(until_cells=400, until_halfwidth=0.05), None, iter([0.0, 1.0]))
    why = "this bundle does not know these cells (80 % rejected)"
    standing = watched.standing(frame("c#0"), tally(10, 10, rejected=80), why)
    assert standing.line() == f"{why}, 80 rejected, 1 frame"
    assert (standing.facts()["fractions"], standing.facts()["unusable"]) == ({}, why)


def test_nothing_is_said_of_what_is_not_known() -> None:
    standing = Standing(tally(0, frames=1), StopRule(), None, None)
    assert standing.line() == "0 leukocytes, 1 frame"
    assert standing.facts()["fractions"] == {}


def test_no_time_left_before_the_rate_is_known() -> None:
    watched = course(StopRule(until_cells=400), None, iter([0.0, 1.0, 3.0, 20.0, 40.0]))
    assert watched.standing(frame("c#0"), tally(100)).seconds_left is None
    assert watched.standing(frame("c#1"), tally(150)).seconds_left is None, "2 s are too few"
    assert watched.standing(frame("c#2"), tally(119)).seconds_left is None, "19 cells are too few"
    assert watched.standing(frame("c#3"), tally(200)).seconds_left == pytest.approx(200 * 39 / 100)


def test_a_time_limit_counts_interruptions_and_the_nearest_limit_is_meant() -> None:
    watched = course(StopRule(until_cells=1000, until_seconds=100), None, iter([0.0, 10.0, 40.0]), seconds=30)
    first = watched.standing(frame("c#0"), tally(10))
    assert first.seconds_left == pytest.approx(60)
    assert first.share == pytest.approx(0.4)
    assert watched.standing(frame("c#1"), tally(100)).seconds_left == pytest.approx(30)


def test_by_an_intervals_width_a_count_may_end_at_any_frame() -> None:
    rule = StopRule(until_halfwidth=0.05)
    watched = course(rule, None, iter([0.0, 1.0]))
    standing = watched.standing(frame("c#0"), tally(50, 50))
    assert (standing.share, standing.seconds_left) == (None, None)
    assert "widest interval ±10.2 of 5 points" in standing.line()
    rule = StopRule(until_halfwidth=0.05, until_seconds=60)
    standing = course(rule, None, iter([0.0, 0.0])).standing(frame("c#0"), tally(50, 50))
    assert "at most 60 s left" in standing.line()


def test_files_that_cannot_be_read_are_done_too() -> None:
    watched = course(StopRule(), 20, itertools.chain([0.0], itertools.count(2.0, 2.0)))
    for k in range(5):
        assert watched.standing(frame(f"{k}.png"), tally(k)).seconds_left is None
    standing = watched.standing(FailedFrame("5.png", 5, "the file is empty"), tally(5))
    assert standing.share == pytest.approx(6 / 20)
    assert standing.seconds_left == pytest.approx(14 * 2)
    assert standing.line().endswith("the file is empty")


def test_of_a_stack_or_a_video_the_end_is_not_known() -> None:
    watched = course(StopRule(until_cells=50), 2, itertools.count(0.0, 10.0))
    for k in range(4):
        standing = watched.standing(frame(f"a.tif#{k}"), tally(30 * k))
        assert standing.seconds_left is None
    assert standing.share == 1.0
    assert course(StopRule(), 1, itertools.count(0.0)).standing(frame("a.avi#0"), tally(3)).share is None
    assert watched.standing(frame("b#1.png"), tally(90)).share == 1.0


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1.0, "5 s"),
        (48.0, "50 s"),
        (99.0, "100 s"),
        (101.0, "2 min"),
        (5400.0, "90 min"),
        (7300.0, "2 h 02 min"),
    ],
)
def test_a_time_is_as_coarse_as_an_estimate_is(seconds: float, words: str) -> None:
    line = Standing(tally(1), StopRule(until_cells=9), 0.1, seconds).line()
    assert f"about {words} left" in line
