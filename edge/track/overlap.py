"""How many cells of a frame the frame before shows too, from fingerprints: a fiftieth of a tracker's work."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.find import Fingerprint

SIMILAR = 0.7
"""Least correlation of two patches that vote for a shift."""

VOTES = 300
"""Most pairs of similar cells, the most similar ones, that vote."""

COINCIDE_UM = 2.5
"""Farthest, along each axis, that two centres of one cell may lie apart."""

AGREE = 0.5
"""Least share, of the cells that both frames should show at a shift, that vote for it; two must."""

MANY = 4
"""Votes from which `AGREE_MANY` is enough: so many similar cells do not lie alike by chance."""

AGREE_MANY = 0.3


def shared_cells(before: Fingerprint, now: Fingerprint) -> int:
    """Return how many cells of a frame the frame before shows at the shift that most similar cells vote for.

    Fields that share one cell count as separate. Of the 140 hemocytometer frames 220 of 1,069 cells are seen
    in the frame before, and a tracker, which also knows older frames, finds 321; none are in separate fields,
    real or simulated (tests/edge/track/test_fields.py).
    """
    agreeing, near = _coinciding(before, now)
    return max(agreeing, int(near.any(axis=0).sum()))


def shared_places(before: Fingerprint, now: Fingerprint) -> NDArray[np.intp]:
    """Return the rows of the places of those cells, in the frame before and in this one, int [n, 2]."""
    return np.asarray(np.argwhere(_coinciding(before, now)[1]), np.intp)


def _coinciding(before: Fingerprint, now: Fingerprint) -> tuple[int, NDArray[np.bool_]]:
    """Return how many cells vote for a shift, and which places coincide at it, bool [before, now]."""
    votes, nothing = _votes(before, now), np.zeros((len(before.places), len(now.places)), bool)
    if len(votes) < 2:
        return 0, nothing
    shifts = before.places[votes[:, 0]] - now.places[votes[:, 1]]
    agree = np.abs(shifts[:, None] - shifts).max(axis=2) < COINCIDE_UM
    best = agree[np.argmax(agree.sum(axis=1))]
    agreeing = min(len(set(votes[best, column])) for column in (0, 1))
    shift = np.median(shifts[best], axis=0)
    expected = max(
        _inside(places, before.size_um)
        for places in (before.places[: len(before.patches)] - shift, now.places[: len(now.patches)] + shift)
    )
    least = AGREE_MANY if agreeing >= MANY else AGREE
    if agreeing < 2 or agreeing < least * expected:
        return 0, nothing
    apart = np.abs(before.places[:, None] - (now.places + shift)).max(axis=2)
    return agreeing, apart < COINCIDE_UM


def _votes(before: Fingerprint, now: Fingerprint) -> NDArray[np.intp]:
    """Return the pairs of similar cells, those of the earlier frame first, int [n, 2]."""
    similarity = _unit(before.patches) @ _unit(now.patches).T
    pairs = np.argwhere(similarity >= SIMILAR)
    strongest = np.argsort(-similarity[pairs[:, 0], pairs[:, 1]], kind="stable")[:VOTES]
    return np.asarray(pairs[strongest], np.intp)


def _unit(patches: NDArray[np.int8]) -> NDArray[np.float32]:
    values = patches.astype(np.float32)
    return np.asarray(values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-6), np.float32)


def _inside(places: NDArray[np.float64], size_um: tuple[float, float]) -> int:
    return int(((places > 0) & (places < size_um)).all(axis=1).sum())
