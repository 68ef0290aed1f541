"""Pairs of triangles are looked at in bounded memory, however many are alike."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.track import triangles as module
from edge.track.triangles import DIAMETER, SIDE_UM, _same_shape


def shapes(number: int, spread: float, seed: int = 0) -> NDArray[np.float64]:
    rng = np.random.default_rng(seed)
    sides, diameters = rng.uniform(40 - spread, 40 + spread, (number, 3)), rng.uniform(9, 11, (number, 3))
    return np.hstack([np.sort(sides, axis=1), diameters])


def alike(before: NDArray[np.float64], now: NDArray[np.float64]) -> set[tuple[int, int]]:
    apart = np.abs(before[:, None] - now)
    near = (apart[..., :3] < SIDE_UM).all(axis=2) & (apart[..., 3:] < DIAMETER * now[:, 3:]).all(axis=2)
    return {(int(a), int(b)) for a, b in np.argwhere(near)}


@pytest.mark.parametrize("at_once", [1 << 17, 7])
def test_pairs_are_those_of_the_same_shape(monkeypatch: pytest.MonkeyPatch, at_once: int) -> None:
    monkeypatch.setattr(module, "AT_ONCE", at_once)
    before, now = shapes(200, 30), shapes(60, 30, seed=1)
    found = list(zip(*(column.tolist() for column in _same_shape(before, now)), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == alike(before, now) != set()


def test_of_many_pairs_every_so_many_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_PAIRS", 1000)
    before, now = shapes(300, 0.5), shapes(200, 0.5, seed=1)
    found = set(zip(*(column.tolist() for column in _same_shape(before, now)), strict=True))
    assert 50 < len(found) <= 1000 < len(alike(before, now))
    assert found <= alike(before, now)
    assert {b for _, b in found} >= set(range(0, 200, 50)), "from all of them"


def test_no_triangles_have_no_pairs() -> None:
    before, now = _same_shape(np.zeros((0, 6)), shapes(3, 1))
    assert len(before) == len(now) == 0
