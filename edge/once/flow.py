"""Moving cells: where each ought to be now, and which of those found is it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.once.assign import assign
from edge.once.look import boxes_of
from edge.segment import Cell

Identities = NDArray[np.int64]
Points = NDArray[np.float64]
Numbers = NDArray[np.float64]

GATE_UM = 5.0
"""How far from where it is expected a cell may be found: half a leukocyte."""

GATE_SHARE, GATE_SHARE_FIRST = 0.1, 0.3
"""And this part of the way that it has come, the second while its own speed is not known."""

MISSES = 8
"""Frames for which a cell may stay unseen before it is given up."""

STEADINESS = 0.5
"""Weight of the speed known so far against the one just measured."""

SIZE_RATIO = 1.25
"""A cell found wider, higher, narrower or lower than before by more than this lies together with another one:
what is measured says nothing about its own place."""

VOTERS = 30
"""Cells that say how far all have moved, if they are not where they ought to be."""


@dataclass(frozen=True, eq=False)
class FlowState:
    """The cells that are being followed.

    Attributes
    ----------
    identities : numbers given so far
    time_ns : of the last frame
    step_ns : between the last two frames; 0 before there were two
    common : float64 [2], median speed of the cells in µm/s; NaN before there is one
    identity : int64 [m]
    place : float64 [m, 2], middle in µm from the frame's corner, at the time of the last frame
    speed : float64 [m, 2], µm/s; NaN of those that were seen once only
    sides : float64 [m, 2], width and height in µm
    unseen : int64 [m], frames since each was last seen by itself
    misses : int64 [m], frames since it was last seen by itself or together with another one
    """

    identities: int = 0
    time_ns: int = 0
    step_ns: int = 0
    common: Numbers = field(default_factory=lambda: np.full(2, np.nan))
    identity: Identities = field(default_factory=lambda: np.zeros(0, np.int64))
    place: Points = field(default_factory=lambda: np.zeros((0, 2)))
    speed: Points = field(default_factory=lambda: np.zeros((0, 2)))
    sides: Points = field(default_factory=lambda: np.zeros((0, 2)))
    unseen: Identities = field(default_factory=lambda: np.zeros(0, np.int64))
    misses: Identities = field(default_factory=lambda: np.zeros(0, np.int64))


def next_moment(
    state: FlowState, cells: Sequence[Cell], shape: tuple[int, ...], pixel_um: float, time_ns: int
) -> tuple[FlowState, Identities]:
    """Follow the cells into the next frame; give the state after it, and the identities of its cells."""
    boxes = boxes_of(cells, pixel_um)
    size = np.array(shape[1::-1]) * pixel_um
    middles, sides = _completed(boxes, np.array([cell.border for cell in cells], bool), size)
    step_ns = time_ns - state.time_ns if state.time_ns else 0
    step_ns = step_ns if step_ns > 0 else state.step_ns or 1_000_000_000
    seconds = step_ns / 1e9

    first = np.isnan(state.speed[:, 0])
    speed = np.where(first[:, None], np.nan_to_num(state.common), state.speed)
    expected = state.place + speed * seconds
    jump = _jump(expected, middles, size, known=not np.isnan(state.common[0]))
    expected, speed = expected + jump, speed + jump / seconds

    pairs = _pairs(state, expected, first, middles, sides)
    rows, found = np.array(pairs, np.intp).reshape(-1, 2).T if pairs else np.zeros((2, 0), np.intp)
    # what is larger than the cell was holds another one too, and does not say where this one is in it
    own = (sides[found] < SIZE_RATIO * state.sides[rows]).all(axis=1)
    alone, seen = rows[own], found[own]
    error = middles[seen] - expected[alone]
    weight = np.where(first[alone], 1.0, 1 - STEADINESS) / (state.unseen[alone] + 1)
    place, extent = expected.copy(), state.sides.copy()
    unseen, misses = state.unseen + 1, state.misses + 1
    place[alone] += error
    speed[alone] += weight[:, None] * error / seconds
    extent[alone] = (extent[alone] + sides[seen]) / 2
    first[alone] = False
    unseen[alone] = misses[alone] = 0

    shared = np.setdiff1d(np.arange(len(cells)), seen)
    holder = _holders(place, boxes, rows, found)
    inside = np.flatnonzero((holder >= 0) & (unseen > 0))
    misses[inside] = 0
    held = inside[np.isin(holder[inside], shared)]
    place[held] = _confined(place[held], extent[held], boxes[holder[held]])

    new = np.setdiff1d(np.arange(len(cells)), found)
    identities = np.zeros(len(cells), np.int64)
    identities[found] = state.identity[rows]
    identities[new] = state.identities + np.arange(len(new))
    speed[first] = np.nan
    gone = (np.abs(place - size / 2) > size / 2 + extent / 2 + GATE_UM).any(axis=1)
    kept = ~gone & (misses <= MISSES)
    known = speed[~np.isnan(speed[:, 0])]
    after = FlowState(
        identities=state.identities + len(new),
        time_ns=time_ns,
        step_ns=step_ns,
        common=np.median(known, axis=0) if len(known) else state.common,
        identity=np.concatenate([state.identity[kept], identities[new]]),
        place=np.concatenate([place[kept], middles[new]]),
        speed=np.concatenate([speed[kept], np.full((len(new), 2), np.nan)]),
        sides=np.concatenate([extent[kept], sides[new]]),
        unseen=np.concatenate([unseen[kept], np.zeros(len(new), np.int64)]),
        misses=np.concatenate([misses[kept], np.zeros(len(new), np.int64)]),
    )
    return after, identities


def _completed(boxes: Points, border: NDArray[np.bool_], size: Points) -> tuple[Points, Points]:
    """Middles and sides; a box that the frame's edge cuts is completed to a square beyond that edge."""
    boxes = boxes.copy()
    sides = boxes[:, 2:] - boxes[:, :2]
    # no longer than other cells are: the long side may be that of two
    whole = sides[~border] if (~border).any() else sides
    target = np.minimum(sides.max(axis=1), np.median(whole)) if len(sides) else np.zeros(0)
    lack = np.maximum(target[:, None] - sides, 0) * border[:, None]
    boxes[:, :2] -= lack * (boxes[:, :2] <= 0)
    boxes[:, 2:] += lack * (boxes[:, 2:] >= size - 1e-6)
    return (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]


def _jump(expected: Points, middles: Points, size: Points, known: bool) -> Points:
    """How far all cells are from where they were expected: none while half of them are there.

    At the start of a flow, and when its speed changes at once, no cell is where it was expected. Then that
    way counts which brings most of them to a cell; before any speed is `known` a single cell's will do.
    """
    inside = ((expected > 0) & (expected < size)).all(axis=1)
    before, now = expected[inside][:VOTERS], middles[:VOTERS]
    if not (len(before) and len(now)):
        return np.zeros(2)
    ways = now - before[:, None]
    there = (np.hypot(ways[..., 0], ways[..., 1]) < GATE_UM).any(axis=1).sum()
    if 2 * there >= len(before):
        return np.zeros(2)
    ways = ways.reshape(-1, 2)
    ways = ways[np.argsort(np.hypot(ways[:, 0], ways[:, 1]), kind="stable")]
    agree = np.hypot(*(ways[:, None] - ways).T) < GATE_UM
    votes = agree.sum(axis=1)
    best = int(np.argmax(votes))
    if votes[best] <= there or (known and (votes[best] < 2 or 2 * votes[best] < len(before))):
        return np.zeros(2)
    return np.asarray(np.median(ways[agree[best]], axis=0), np.float64)


def _pairs(
    state: FlowState, expected: Points, first: NDArray[np.bool_], middles: Points, sides: Points
) -> list[tuple[int, int]]:
    """Pair the followed cells with those found: the nearer and the more alike in size, the better."""
    way = np.hypot(*(expected - state.place).T)
    gate = GATE_UM + np.where(first, GATE_SHARE_FIRST, GATE_SHARE) * way * (state.unseen + 1)
    apart = np.hypot(*(middles - expected[:, None]).transpose(2, 0, 1)) / gate[:, None]
    unlike = np.minimum(_unlike(state.sides[:, None], sides), 2)
    return assign(np.where(apart < 1, apart**2 + 0.2 * unlike - 1.4, 1.0))


def _unlike(before: Points, now: Points) -> Numbers:
    """How much two sizes [..., 2] differ, as a multiple of what one cell's may."""
    return np.asarray(np.abs(np.log(now / before)).max(axis=-1) / math.log(SIZE_RATIO), np.float64)


def _holders(
    place: Points, boxes: Points, rows: NDArray[np.intp], found: NDArray[np.intp]
) -> NDArray[np.intp]:
    """Box that holds each place, or -1: of those paired their own, of others the first that it lies in."""
    inside = ((place[:, None] > boxes[:, :2]) & (place[:, None] < boxes[:, 2:])).all(axis=2)
    holder = np.full(len(place), -1, np.intp)
    for row, box in reversed(np.argwhere(inside)):
        holder[row] = box
    holder[rows] = found
    return holder


def _confined(place: Points, sides: Points, boxes: Points) -> Points:
    """Move each middle so that its cell lies in its box whole, where that is large enough."""
    half = np.minimum(sides, boxes[:, 2:] - boxes[:, :2]) / 2
    return np.clip(place, boxes[:, :2] + half, boxes[:, 2:] - half)
