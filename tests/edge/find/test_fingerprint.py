"""A fingerprint holds size and places in micrometres, the largest cells first, and no patch of a cut cell."""

from __future__ import annotations

import numpy as np

from edge.base.cell import Cell
from edge.find.fingerprint import fingerprint

WORK = np.random.default_rng(4).integers(0, 256, (300, 400), np.uint8)


def test_size_and_places_are_in_micrometres() -> None:
    small, large = Cell(100, 40, 20, 60, 900.0, False, False), Cell(400, 300, 50, 40, 1500.0, False, False)
    found = fingerprint(WORK, 0.5, [small, large], 0.25)
    assert found.size_um == (200.0, 150.0)
    assert found.places.tolist() == [[106.2, 80.0], [27.5, 17.5]]
    assert found.patches.shape == (2, 64)
    assert found.patches.any(axis=1).all()


def test_a_cell_that_the_edge_cuts_has_a_place_and_no_patch() -> None:
    cut, whole = Cell(0, 40, 60, 60, 1900.0, True, False), Cell(300, 300, 50, 40, 1500.0, False, False)
    found = fingerprint(WORK, 0.5, [cut, whole], 0.25)
    assert len(found.places) == 2
    assert found.patches.any(axis=1).tolist() == [False, True]


def test_the_coarsest_pixel_has_a_fingerprint() -> None:
    found = fingerprint(WORK, 3.0, [Cell(100, 40, 20, 20, 300.0, False, False)], 3.0)
    assert (found.size_um, found.places.tolist()) == ((1200.0, 900.0), [[330.0, 150.0]])
