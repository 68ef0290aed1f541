"""Where a frame of a scan may lie: origins proposed by phase correlation and by similar cells."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from edge.track.appearance import PATCH_PX, Appearance, Image, centres
from edge.track.known import Known, Point, ScanState
from edge.track.registration import foreground, proposed_shifts

Points = NDArray[np.float64]

SIMILAR, VERY_SIMILAR = 0.7, 0.8
"""Least correlation of two coarse patches that vote for an origin, and of two that propose one alone."""

CUT_SIMILARITY = 0.5
"""Assumed correlation where the edge of a frame cuts one of the cells."""

SAMPLE = 200
"""Most cells of a frame that propose origins: bounds the time that a frame full of debris takes."""

SINGLE = 32
"""Most pairs, the most similar ones, that propose an origin alone."""

VOTES = 300
"""Most pairs, the most similar ones, that vote."""

COINCIDE_UM = 2.5
"""Farthest, along each axis, that two centres of one cell may lie apart."""

TRIED = 6
"""Most shifts from the last frame that are tried, and most origins that are voted for."""

LONELY = 0.1
"""What each cell in the part that both frames show takes off the score of a shift; between 0.05 and 0.1 no
true shift of the real frames is lost."""


def proposed_origins(state: ScanState, frame: Appearance) -> Iterator[tuple[int, Point]]:
    """Yield islands and origins on them that are worth a closer look."""
    yield from ((state.island, state.origin + shift) for shift in _shifts(state, frame))
    yield from _voted(state.cells, frame)


def _shifts(state: ScanState, frame: Appearance) -> Points:
    """Return shifts from the last frame that bring most similar cells together, float64 [k, 2]."""
    before, now = (
        foreground(picture, boxes, frame.picture_um)
        for picture, boxes in ((state.picture, state.boxes), (frame.picture, frame.boxes))
    )
    correlated = proposed_shifts(before, now, frame.picture_um)
    last = state.cells.take(np.arange(-len(state.boxes), 0))  # in the order of its boxes
    old, new = _sample(np.arange(len(state.boxes))), _sample(np.arange(len(frame.boxes)))
    similarity = _similarity(last.patch[old], frame.patches[new])
    similarity[~last.whole[old]] = similarity[:, ~frame.whole[new]] = CUT_SIMILARITY
    places = centres(state.boxes[old]), centres(frame.boxes[new])
    ways = places[0][:, None] - places[1]
    single = np.argsort(-similarity, axis=None, kind="stable")[:SINGLE]
    single = single[similarity.ravel()[single] >= VERY_SIMILAR]
    shifts = np.concatenate([correlated, ways.reshape(-1, 2)[single]])
    scores = np.array([_score(shift, ways, similarity, places, frame.size) for shift in shifts])
    best = np.argsort(-scores, kind="stable")[:TRIED]
    return np.asarray(shifts[best[np.isfinite(scores[best])]], np.float64)


def _sample(cells: NDArray[np.intp]) -> NDArray[np.intp]:
    """Return every cell, or every second, third … where there are more than SAMPLE of them."""
    return cells[:: math.ceil(len(cells) / SAMPLE) or 1]


def _score(
    shift: Point, ways: Points, similarity: NDArray[np.float32], places: tuple[Points, Points], size: Point
) -> float:
    """Return the similarity of the cells that a shift brings together, less `LONELY` per cell in common."""
    together = (np.abs(ways - shift) < COINCIDE_UM).all(axis=2)
    if not together.any():
        return -math.inf
    common = sum(
        int(((there > 0) & (there < size)).all(axis=1).sum())
        for there in (places[0] - shift, places[1] + shift)
    )
    return float(np.maximum(similarity[together], 0).sum()) - LONELY * common


def _voted(known: Known, frame: Appearance) -> Iterator[tuple[int, Point]]:
    """Yield origins for which several pairs of similar cells vote."""
    rows = np.flatnonzero(known.whole & (known.patch.max(axis=(1, 2)) > 0))
    cells = _sample(np.flatnonzero(frame.whole))
    similarity = _similarity(known.patch[rows], frame.patches[cells])
    i, j = np.nonzero(similarity >= SIMILAR)
    strongest = np.argsort(-similarity[i, j], kind="stable")[:VOTES]
    i, j = i[strongest], j[strongest]
    island = known.island[rows[i]]
    origins = centres(known.box[rows[i]]) - centres(frame.boxes[cells[j]])
    agree = np.abs(origins[:, None] - origins).max(axis=2) < COINCIDE_UM
    agree &= island[:, None] == island
    for _ in range(TRIED):
        votes = agree.sum(axis=1)
        if not votes.size or votes.max() < 2:
            return
        together = agree[np.argmax(votes)].copy()
        yield int(island[together][0]), np.median(origins[together], axis=0)
        agree[together] = agree[:, together] = False


def _similarity(before: Image, now: Image) -> NDArray[np.float32]:
    """Return the correlations of coarse patches, each with each, float32 [m, n]."""
    # not by BLAS, whose threads would take the other stages' cores
    return np.asarray(np.einsum("ik,jk->ij", _coarse(before), _coarse(now)), np.float32)


def _coarse(patches: Image) -> NDArray[np.float32]:
    """Return patches at a third of their size, of mean 0 and norm 1, float32 [n, PATCH_PX² / 9]."""
    side = PATCH_PX // 3
    rows = patches.reshape(-1, side, 3, PATCH_PX).sum(axis=2, dtype=np.uint16)
    small = rows.reshape(-1, side**2, 3).sum(axis=2, dtype=np.float32)
    small -= small.mean(axis=1, keepdims=True)
    return np.asarray(small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6), np.float32)
