"""Whether the detections of tracked cells agree."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from edge.base.cell import Cell
from edge.track.agreement import Agreement


def cells(places: Sequence[tuple[int, int]], *, border: bool = False) -> list[Cell]:
    return [Cell(x, y, 80, 80, 5000.0, border=border, touching=False) for x, y in places]


def test_labels_of_one_cell_that_differ_contradict_each_other() -> None:
    seen = Agreement()
    seen.add(cells([(0, 0), (200, 0), (400, 0)]), ["a", "b", "a"], np.array([0, 1, 2]))
    seen.add(cells([(0, 0), (200, 0), (400, 0)]), ["a", "a", "a"], np.array([0, 1, 3]))
    assert (seen.joined, seen.contradictions) == (2, 1)


def test_cells_that_have_not_moved_with_most_are_astray() -> None:
    seen = Agreement()
    seen.add(cells([(100, 0), (300, 0), (500, 0)]), ["a"] * 3, np.arange(3))
    seen.add(cells([(50, 0), (250, 10), (450, 20)]), ["a"] * 3, np.arange(3))
    assert (seen.shifted, seen.astray) == (3, 0)
    seen.add(cells([(0, 0), (200, 10), (413, 20)]), ["a"] * 3, np.arange(3))
    assert (seen.shifted, seen.astray) == (6, 1)


def test_cells_that_an_edge_cuts_and_single_cells_do_not_tell() -> None:
    seen = Agreement()
    seen.add(cells([(0, 0), (200, 0)], border=True), ["a", "a"], np.array([0, 1]))
    seen.add(cells([(0, 0), (300, 0)], border=True), ["b", "b"], np.array([0, 1]))
    assert (seen.joined, seen.shifted) == (0, 0)
    seen.add(cells([(0, 0)]), ["a"], np.array([2]))
    seen.add(cells([(90, 0)]), ["a"], np.array([2]))
    assert (seen.joined, seen.shifted) == (1, 0)
