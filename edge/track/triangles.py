"""Triangles of neighbouring cells, and which of them two frames show alike, turned or mirrored or not."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product

import numpy as np
from numpy.typing import NDArray

from edge.track.rows import Rows

Indices = NDArray[np.intp]
Real = NDArray[np.float32]
Points = NDArray[np.complex128]
"""Places x + iy in µm: a factor of size 1 turns them, and the complex conjugate mirrors them."""

NEIGHBOURS = 5
"""Nearest cells with which a cell makes triangles."""

SIDE_UM, DIAMETER = 1.8, 0.1
"""Largest difference of the sides of a triangle in two frames, and relative one of the diameters of its
cells: 0.99 of the triangles that overlapping real frames share lie within."""

APART_UM = 1.5
"""Farthest that a cell of a triangle lies from its place in another frame."""

ALIKE = 0.5
"""Least correlation of the patches of one cell in two frames."""

MAX_HITS = 200_000
"""Pairs of triangles of the same shape that are looked at; of more, every so many."""

MAX_PAIRS = 1 << 23
"""Pairs among which those of the same shape are looked for; of more, every so many. The triangles of 500
frames of one field make 5,000 million pairs: 40 GB."""

AT_ONCE = 1 << 17
"""Pairs that are looked at together."""


@dataclass(frozen=True, eq=False)
class Triangles(Rows):
    """Triangles of cells; the `track_id` is the number of their frame.

    Attributes
    ----------
    corner : int [t, 3]
        Their cells; the first lies opposite the shortest side.
    shape : float64 [t, 6]
        Sides in µm, the shortest first, and the diameters of the cells.
    """

    corner: Indices
    shape: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Matches(Rows):
    """Triangles that two frames show; the `track_id` is the number of the later frame.

    Attributes
    ----------
    before : int [m]
        Number of the earlier frame.
    turn, shift : complex128 [m]
        A place of the later frame, mirrored if `mirrored`, times `turn` plus `shift` is one of the earlier.
    mirrored : bool [m]
    likeness : float32 [m]
        Mean correlation of the three cells.
    """

    before: Indices
    turn: Points
    shift: Points
    mirrored: NDArray[np.bool_]
    likeness: Real


def triangles_of(places: Points, diameters: NDArray[np.float64]) -> Triangles:
    """Return the triangles of a frame's n cells, as those of frame 0."""
    n = len(places)
    nearest = min(NEIGHBOURS, n - 1)
    if nearest < 2:
        return Triangles(np.zeros(0, np.int64), np.zeros((0, 3), np.intp), np.zeros((0, 6)))
    apart = np.abs(places[:, None] - places)
    near = np.argsort(apart, axis=1, kind="stable")[:, 1 : nearest + 1]
    rows = [
        np.column_stack([np.arange(n), near[:, a], near[:, b]]) for a, b in combinations(range(nearest), 2)
    ]
    corner = np.sort(np.concatenate(rows), axis=1)
    corner = corner[np.unique(corner @ np.array([n * n, n, 1]), return_index=True)[1]]
    sides = np.column_stack([apart[corner[:, a], corner[:, b]] for a, b in ((1, 2), (0, 2), (0, 1))])
    order = np.argsort(sides, axis=1, kind="stable")
    corner, sides = (np.take_along_axis(one, order, axis=1) for one in (corner, sides))
    return Triangles(np.zeros(len(corner), np.int64), corner, np.hstack([sides, diameters[corner]]))


def sorted_by_shape(triangles: Triangles) -> Triangles:
    """Return triangles in the order in which `matches_of` looks for them: four times as fast."""
    box, longest = _boxes(triangles.shape)
    return triangles.take(np.argsort(_key(box, longest), kind="stable"))


def matches_of(
    triangles: Triangles, new: Triangles, places: Points, patches: Real, *, stretch: float = 1.0
) -> Matches:
    """Return which triangles an earlier frame shows too, as far as their cells look alike.

    Parameters
    ----------
    triangles, new : Triangles
        All of them, and those that are looked for.
    places : complex128 [n]
    patches : float32 [n, side * side]
        Of norm 1.
    stretch : float
        Factor by which the earlier triangles are enlarged: with another one than 1 all matches are chance.
    """
    enlarged = triangles.shape * np.repeat([stretch, 1.0], 3)
    before, now = _same_shape(enlarged, new.shape)
    later = triangles.track_id[before] < new.track_id[now]
    earlier, later_ones = triangles.take(before[later]), new.take(now[later])
    a, b = stretch * places[earlier.corner], places[later_ones.corner]
    middle_a, middle_b = a.mean(axis=1), b.mean(axis=1)
    a, b = a - middle_a[:, None], b - middle_b[:, None]
    straight, flipped = _fit(a, b), _fit(a, b.conj())
    # three cells in a row fit either way, and are not called mirrored
    mirrored = (straight[1] >= APART_UM) & (flipped[1] < APART_UM)
    turn, apart = (np.where(mirrored, *pair) for pair in zip(flipped, straight, strict=True))
    likeness = likenesses(patches, earlier.corner, later_ones.corner, quarter_turns(turn), mirrored)
    held = (apart < APART_UM) & (likeness > ALIKE).all(axis=1)
    shift = middle_a - turn * np.where(mirrored, middle_b.conj(), middle_b)
    found = Matches(
        later_ones.track_id,
        earlier.track_id.astype(np.intp),
        turn,
        shift,
        mirrored,
        likeness.mean(axis=1),
    )
    return found.take(held)


def _fit(a: Points, b: Points) -> tuple[Points, NDArray[np.float64]]:
    """Return the turn of each row of b that brings it closest to that of a, and how far apart they stay."""
    turn = (a * b.conj()).sum(axis=1)
    turn /= np.maximum(np.abs(turn), 1e-9)
    return turn, np.abs(turn[:, None] * b - a).max(axis=1)


def _same_shape(before: NDArray[np.float64], now: NDArray[np.float64]) -> tuple[Indices, Indices]:
    """Return the pairs of rows of the same shape.

    Rows are sorted by the box of their shorter sides, and then by the longest: those near a row are four
    runs.
    """
    keys = _key(np.floor(before[:, :2] / (2 * SIDE_UM)), before[:, 2])
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    corner, longest = _boxes(now)
    runs = [
        [np.searchsorted(keys, _key(corner + step, longest + d)) for d in (-SIDE_UM, SIDE_UM)]
        for step in product((0, 1), repeat=2)
    ]
    first, end = np.concatenate(runs, axis=1)
    ends = np.cumsum(end - first)
    total = int(ends[-1]) if len(ends) else 0
    every = 1 + total // MAX_PAIRS
    pairs: list[tuple[Indices, Indices]] = [(order[:0], order[:0])]
    for start in range(0, total, AT_ONCE * every):
        place = np.arange(start, min(total, start + AT_ONCE * every), every)
        run = np.searchsorted(ends, place, side="right")
        a, b = order[end[run] - ends[run] + place], run % len(now)
        for k in (0, 3, 4, 5, 1):
            limit = SIDE_UM if k < 3 else DIAMETER * now[b, k]
            near = np.abs(before[a, k] - now[b, k]) < limit
            a, b = a[near], b[near]
        pairs.append((a, b))
    a, b = (np.concatenate(rows) for rows in zip(*pairs, strict=True))
    every = 1 + len(a) // MAX_HITS
    return a[::every], b[::every]


def _boxes(shape: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the first of the four boxes that may hold a triangle of such a shape, and the longest side."""
    return np.floor((shape[:, :2] - SIDE_UM) / (2 * SIDE_UM)), shape[:, 2]


def _key(box: NDArray[np.float64], longest: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return numbers that sort by box (x, y) and then by the longest side; a frame is smaller than 10 cm."""
    return np.asarray((box[:, 0] * 1e5 + box[:, 1]) * 1e5 + longest, np.float64)


def quarter_turns(turn: Points) -> Indices:
    """Return the nearest number of quarter turns, 0 to 3."""
    return np.asarray(np.rint(np.angle(turn) / (np.pi / 2)), np.intp) % 4


def likenesses(
    patches: Real, before: Indices, now: Indices, turns: Indices, mirrored: NDArray[np.bool_]
) -> Real:
    """Return how cells correlate once those of the later frame are mirrored and turned, float32 [m, k].

    Parameters
    ----------
    before, now : int [m, k]
        Rows of `patches`.
    turns, mirrored : [m]
    """
    found = np.zeros(before.shape, np.float32)
    side = round(patches.shape[1] ** 0.5)
    for quarter, mirror in product(range(4), (False, True)):
        rows = np.flatnonzero((turns == quarter) & (mirrored == mirror))
        turned = patches[:, _turned(side, quarter, mirror=mirror)] if len(rows) else patches
        for start in range(0, len(rows), AT_ONCE // 8):
            some = rows[start : start + AT_ONCE // 8]
            found[some] = np.einsum("mkp,mkp->mk", patches[before[some]], turned[now[some]])
    return found


def _turned(side: int, quarter: int, *, mirror: bool) -> Indices:
    """Return for each pixel of a patch the one that comes there once it is mirrored and turned."""
    middle = (side - 1) / 2
    line = np.arange(side) - middle
    source = (line[None] + 1j * line[:, None]).ravel() * (1j**quarter).conjugate()
    source = source.conj() if mirror else source
    return np.asarray(np.rint(source.imag + middle) * side + np.rint(source.real + middle), np.intp)
