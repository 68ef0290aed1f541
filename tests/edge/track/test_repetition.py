"""How often cells are counted: Kish's design effect, from links of detections."""

from __future__ import annotations

import numpy as np
import pytest

from edge.track.repetition import Link, repetition

ALL = np.ones(10, bool)


def pairs(*rows: tuple[int, int]) -> np.ndarray[tuple[int, int], np.dtype[np.intp]]:
    return np.array(rows, np.intp).reshape(-1, 2)


SAME = pairs(*((k, k) for k in range(10)))


@pytest.mark.parametrize("copies", [1, 2, 7])
def test_copies_of_a_frame_are_worth_one(copies: int) -> None:
    links = [Link(k, k + 1, SAME) for k in range(copies - 1)]
    assert repetition([ALL] * copies, [10] * copies, links) == copies


def test_half_of_the_cells_twice() -> None:
    """Five cells once and five twice, of fifteen: Σk² / Σk = 25 / 15."""
    five = np.ones(5, bool)
    assert repetition([ALL, five], [10, 5], [Link(0, 1, SAME[:5])]) == pytest.approx(25 / 15)


def test_links_join_through_other_frames_and_any_number_of_times() -> None:
    links = [Link(0, 1, SAME), Link(1, 2, SAME), Link(0, 2, SAME), Link(0, 1, SAME)]
    assert repetition([ALL] * 3, [10] * 3, links) == 3


def test_a_crowded_frame_counts_for_all_of_its_cells() -> None:
    """Its ten largest cells stand for a hundred."""
    alone, linked = repetition([ALL] * 3, [10, 10, 100], []), [Link(0, 1, SAME)]
    assert alone == 1
    assert repetition([ALL] * 3, [10, 10, 100], linked) == pytest.approx((20 * 2 + 100) / 120)


def test_a_tracked_cell_is_counted_once() -> None:
    assert repetition([ALL, ~ALL], [10, 10], [Link(0, 1, SAME)]) == 1


def test_nothing_is_repeated_in_no_frame() -> None:
    assert repetition([], [], []) == repetition([np.zeros(0, bool)], [0], []) == 1
