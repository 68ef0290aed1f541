"""SIGKILL while counting: what was reported as counted is there afterwards."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from benchmarks.power_cuts import CHECK, LONGEST_S, WRITER, examine, kill, make_frames
from edge.session.writer import create_session
from tests.edge.session.test_session import header, record


@pytest.mark.parametrize("kills", [5, 20])
def test_no_frame_that_was_reported_is_lost(tmp_path: Path, kills: int) -> None:
    """``python -m benchmarks.power_cuts`` makes two hundred."""
    make_frames(tmp_path / "frames")
    moments = random.Random(kills)
    missed = [kill(WRITER, CHECK, tmp_path, moments.uniform(0, LONGEST_S)) for _ in range(kills)]
    assert missed == [None] * kills


@pytest.mark.parametrize(
    ("reported", "said"),
    [
        (("begun", "0 1", "1 2"), ""),
        (("begun", "0 1"), ""),
        (("begun",), "reported"),
        (("begun", "0 1", "1 3"), "reported"),
        (("begun", "0 1", "1 2", "2 2"), "reported"),
        (("begun", "0 1", "1 2", "finished"), "reported"),
    ],
)
def test_a_lost_frame_would_be_noticed(tmp_path: Path, reported: tuple[str, ...], said: str) -> None:
    with create_session(header(), tmp_path) as session:
        session.add(record(0, cells=1))
        session.add(record(1))
    missed = examine(tmp_path, [f"{session.id} {step}" for step in reported])
    assert said in "".join(missed)
    assert bool(missed) == bool(said)


def test_a_lost_session_would_be_noticed(tmp_path: Path) -> None:
    assert examine(tmp_path, ["2031-01-01T000000Z begun"]) == ["2031-01-01T000000Z is missing"]
