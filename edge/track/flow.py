"""Moving cells: where each ought to be now, and which of those found is it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.track.appearance import boxes_of
from edge.track.assignment import linear_assignment
from edge.track.rows import Rows

Integers = NDArray[np.int64]
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

SIZE_WEIGHT = 0.2
"""Weight of a difference in size by that ratio against the square of a gate's distance."""

VOTERS = 30
"""Cells that say how far all have moved, if they are not where they ought to be."""


@dataclass(frozen=True, eq=False)
class Followed(Rows):
    """The cells that are being followed.

    Attributes
    ----------
    track_id : int64 [m]
    place : float64 [m, 2], middle in µm from the frame's corner
    speed : float64 [m, 2], µm/s
    sides : float64 [m, 2], width and height in µm
    measured : int64 [m], how often each was seen by itself; its speed is its own from the second time on
    unseen : int64 [m], frames since it was last seen by itself
    misses : int64 [m], frames since it was last seen by itself or in a box with others
    """

    place: Points
    speed: Points
    sides: Points
    measured: Integers
    unseen: Integers
    misses: Integers


def _entered(track_id: Integers, place: Points, sides: Points) -> Followed:
    """Cells seen for the first time."""
    none = np.zeros(len(track_id), np.int64)
    return Followed(track_id, place, np.zeros((len(track_id), 2)), sides, none + 1, none, none)


@dataclass(frozen=True, eq=False)
class FlowState:
    """All that a flow's next frame is compared with.

    Attributes
    ----------
    frames, track_ids : numbers of both so far
    time_ns : of the last frame
    step_ns : between the last two frames; 0 before there were two
    common : float64 [2], median speed of the cells in µm/s; NaN before there is one
    cells : those that are being followed, as they were in the last frame
    """

    frames: int = 0
    track_ids: int = 0
    time_ns: int = 0
    step_ns: int = 0
    common: Numbers = field(default_factory=lambda: np.full(2, np.nan))
    cells: Followed = field(
        default_factory=lambda: _entered(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 2)))
    )


def next_moment(
    state: FlowState, cells: Sequence[Cell], shape: tuple[int, ...], pixel_um: float, time_ns: int
) -> tuple[FlowState, Integers]:
    """Follow the cells into the next frame; give the state after it, and the track_ids of its cells."""
    boxes = boxes_of(cells, pixel_um)
    size = np.array(shape[1::-1]) * pixel_um
    middles, sides = _completed(boxes, np.array([cell.border for cell in cells], bool), size)
    step_ns = time_ns - state.time_ns if state.frames else 0
    step_ns = step_ns if step_ns > 0 else state.step_ns or 1_000_000_000

    ahead = _ahead(state, middles, size, step_ns / 1e9)
    pairs = _pairs(ahead, state.cells.place, middles, sides)
    rows, found = np.array(pairs, np.intp).reshape(-1, 2).T
    # what is larger than the cell was holds another one too, and does not say where in it this one is
    own = (sides[found] < SIZE_RATIO * ahead.sides[rows]).all(axis=1)
    seen = _measured(ahead, rows[own], middles[found[own]], sides[found[own]], step_ns / 1e9)
    seen = _held(seen, boxes, rows, found, own)

    new = np.setdiff1d(np.arange(len(cells)), found)
    track_ids = np.zeros(len(cells), np.int64)
    track_ids[found] = ahead.track_id[rows]
    track_ids[new] = state.track_ids + np.arange(len(new))
    known = seen.speed[seen.measured > 1]
    in_sight = (np.abs(seen.place - size / 2) <= size / 2 + seen.sides / 2 + GATE_UM).all(axis=1)
    kept = seen.take(in_sight & (seen.misses <= MISSES))
    after = FlowState(
        frames=state.frames + 1,
        track_ids=state.track_ids + len(new),
        time_ns=time_ns,
        step_ns=step_ns,
        common=np.median(known, axis=0) if len(known) else state.common,
        cells=kept.followed_by(_entered(track_ids[new], middles[new], sides[new])),
    )
    return after, track_ids


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


def _ahead(state: FlowState, middles: Points, size: Points, seconds: float) -> Followed:
    """Where the cells ought to be now; until its own speed is known, a cell's is that of most."""
    own = state.cells.measured[:, None] > 1
    speed = np.where(own, state.cells.speed, np.nan_to_num(state.common))
    expected = state.cells.place + speed * seconds
    jump = _jump(expected, middles, size, known=not np.isnan(state.common[0]))
    return replace(state.cells, place=expected + jump, speed=speed + jump / seconds)


def _jump(expected: Points, middles: Points, size: Points, known: bool) -> Points:
    """How far all cells are from where they were expected: none while half of them are there.

    At the start of a flow, and when its speed changes at once, they are not where they were expected. Then
    that way counts which brings most of them to a cell; before any speed is `known` a single cell's will do.
    """
    inside = ((expected > 0) & (expected < size)).all(axis=1)
    before, now = expected[inside][:VOTERS], middles[:VOTERS]
    if not (len(before) and len(now)):
        return np.zeros(2)
    ways = now - before[:, None]
    there = (np.hypot(ways[..., 0], ways[..., 1]) < GATE_UM).any(axis=1).sum()
    if known and 2 * there >= len(before):
        return np.zeros(2)
    ways = ways.reshape(-1, 2)
    ways = ways[np.argsort(np.hypot(ways[:, 0], ways[:, 1]), kind="stable")]
    agree = np.hypot(*(ways[:, None] - ways).T) < GATE_UM
    votes = agree.sum(axis=1)
    best = int(np.argmax(votes))
    if votes[best] <= there or (known and (votes[best] < 2 or 2 * votes[best] < len(before))):
        return np.zeros(2)
    return np.asarray(np.median(ways[agree[best]], axis=0), np.float64)


def _pairs(ahead: Followed, before: Points, middles: Points, sides: Points) -> list[tuple[int, int]]:
    """Pair the followed cells with those found: the nearer and the more alike in size, the better."""
    way = np.hypot(*(ahead.place - before).T)
    share = np.where(ahead.measured > 1, GATE_SHARE, GATE_SHARE_FIRST)
    gate = GATE_UM + share * way * (ahead.unseen + 1)
    apart = np.hypot(*(middles - ahead.place[:, None]).transpose(2, 0, 1)) / gate[:, None]
    unlike = np.minimum(_unlike(ahead.sides[:, None], sides), 2)
    return linear_assignment(np.where(apart < 1, apart**2 + SIZE_WEIGHT * unlike - 1 - 2 * SIZE_WEIGHT, 1.0))


def _unlike(before: Points, now: Points) -> Numbers:
    """How much two sizes [..., 2] differ, as a multiple of what one cell's may."""
    return np.asarray(np.abs(np.log(now / before)).max(axis=-1) / math.log(SIZE_RATIO), np.float64)


def _measured(
    ahead: Followed, rows: NDArray[np.intp], middles: Points, sides: Points, seconds: float
) -> Followed:
    """Correct the cells in these rows by what was measured of each by itself; all others go unseen."""
    place, speed, extent = ahead.place.copy(), ahead.speed.copy(), ahead.sides.copy()
    measured, unseen, misses = ahead.measured.copy(), ahead.unseen + 1, ahead.misses + 1
    error = middles - place[rows]
    weight = np.where(measured[rows] > 1, 1 - STEADINESS, 1.0) / unseen[rows]
    place[rows] = middles
    speed[rows] += weight[:, None] * error / seconds
    extent[rows] = (extent[rows] + sides) / 2
    measured[rows] += 1
    unseen[rows] = misses[rows] = 0
    return Followed(ahead.track_id, place, speed, extent, measured, unseen, misses)


def _held(
    seen: Followed, boxes: Points, rows: NDArray[np.intp], found: NDArray[np.intp], own: NDArray[np.bool_]
) -> Followed:
    """Keep the cells that lie in a box, though not seen by themselves; one of several cells confines each.

    Of the cells in `rows` those not seen by themselves (`own`) lie in the box paired with them (`found`), the
    others in the first box that covers their place.
    """
    inside = ((seen.place[:, None] > boxes[:, :2]) & (seen.place[:, None] < boxes[:, 2:])).all(axis=2)
    holder = np.full(len(seen), -1, np.intp)
    for row, box in reversed(np.argwhere(inside)):
        holder[row] = box
    holder[rows] = found
    hidden = np.flatnonzero((holder >= 0) & (seen.unseen > 0))
    place, misses = seen.place.copy(), seen.misses.copy()
    misses[hidden] = 0
    confined = hidden[~np.isin(holder[hidden], found[own])]
    box = boxes[holder[confined]]
    half = np.minimum(seen.sides[confined], box[:, 2:] - box[:, :2]) / 2
    place[confined] = np.clip(place[confined], box[:, :2] + half, box[:, 2:] - half)
    return replace(seen, place=place, misses=misses)
