"""Moving cells: where each is expected in the next frame, and which detection belongs to it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.track.appearance import boxes_of, centres
from edge.track.assignment import linear_assignment
from edge.track.rows import Rows

Integers = NDArray[np.int64]
Points = NDArray[np.float64]
Indices = NDArray[np.intp]

GATE_UM = 5.0
"""Farthest that a cell may be found from its expected place: half a leukocyte."""

GATE_SHARE, GATE_SHARE_FIRST = 0.1, 0.3
"""The gate also grows by this share of the way that a cell has moved, or the second one until its own speed
is known."""

MISSES = 8
"""Frames for which a cell may stay undetected before its track ends."""

STEADINESS = 0.5
"""Weight of the known speed against a newly measured one."""

SIZE_RATIO = 1.25
"""A detection whose width or height differs from the cell's by more than this ratio holds another cell too:
it does not say where in it this cell lies."""

SIZE_WEIGHT = 0.2
"""Weight of a size difference of `SIZE_RATIO` against the square of a gate's distance."""

VOTERS = 30
"""Cells that vote on how far all have moved when they are not where they are expected."""


@dataclass(frozen=True, eq=False)
class Followed(Rows):
    """The cells that are being followed.

    Attributes
    ----------
    place, speed, sides : float64 [m, 2]
        Centre in µm from the frame's corner, speed in µm/s, width and height in µm.
    measured : int64 [m]
        Times that the cell was detected alone; its speed is its own from the second time on.
    unseen, misses : int64 [m]
        Frames since it was last detected alone, and since it was last detected alone or with others.
    """

    place: Points
    speed: Points
    sides: Points
    measured: Integers
    unseen: Integers
    misses: Integers


def _entered(track_id: Integers, place: Points, sides: Points) -> Followed:
    """Return cells detected for the first time."""
    none = np.zeros(len(track_id), np.int64)
    return Followed(track_id, place, np.zeros((len(track_id), 2)), sides, none + 1, none, none)


def _no_cells() -> Followed:
    return _entered(np.zeros(0, np.int64), np.zeros((0, 2)), np.zeros((0, 2)))


@dataclass(frozen=True, eq=False)
class FlowState:
    """Everything that the next frame of a flow is compared with.

    Attributes
    ----------
    frames, track_ids : int
        Numbers of both so far.
    time_ns, step_ns : int
        Time of the last frame, and since the frame before it (0 if there was none).
    common : float64 [2]
        Median speed of the cells in µm/s; NaN until one is known.
    """

    frames: int = 0
    track_ids: int = 0
    time_ns: int = 0
    step_ns: int = 0
    common: Points = field(default_factory=lambda: np.full(2, np.nan))
    cells: Followed = field(default_factory=_no_cells)


def next_moment(
    state: FlowState, cells: Sequence[Cell], shape: tuple[int, ...], pixel_um: float, time_ns: int
) -> tuple[FlowState, Integers]:
    """Follow the cells into the next frame; return the state after it and the track id of each cell."""
    boxes = boxes_of(cells, pixel_um)
    size = np.array(shape[1::-1]) * pixel_um
    places, sides = _completed(boxes, np.array([cell.border for cell in cells], bool), size)
    step_ns = time_ns - state.time_ns if state.frames else 0
    step_ns = step_ns if step_ns > 0 else state.step_ns or 1_000_000_000

    expected = _expected(state, places, size, step_ns / 1e9)
    rows, found = np.array(_pairs(expected, state.cells.place, places, sides), np.intp).reshape(-1, 2).T
    alone = (sides[found] < SIZE_RATIO * expected.sides[rows]).all(axis=1)
    followed = _measured(expected, rows[alone], places[found[alone]], sides[found[alone]], step_ns / 1e9)
    followed = _held(followed, boxes, rows, found, alone)

    new = np.setdiff1d(np.arange(len(cells)), found)
    track_ids = np.zeros(len(cells), np.int64)
    track_ids[found] = expected.track_id[rows]
    track_ids[new] = state.track_ids + np.arange(len(new))
    speeds = followed.speed[followed.measured > 1]
    in_sight = (np.abs(followed.place - size / 2) <= size / 2 + followed.sides / 2 + GATE_UM).all(axis=1)
    kept = followed.take(in_sight & (followed.misses <= MISSES))
    after = FlowState(
        frames=state.frames + 1,
        track_ids=state.track_ids + len(new),
        time_ns=time_ns,
        step_ns=step_ns,
        common=np.median(speeds, axis=0) if len(speeds) else state.common,
        cells=kept.followed_by(_entered(track_ids[new], places[new], sides[new])),
    )
    return after, track_ids


def _completed(boxes: Points, border: NDArray[np.bool_], size: Points) -> tuple[Points, Points]:
    """Return centres and sides; a box that the frame's edge cuts is completed to a square beyond the edge."""
    boxes = boxes.copy()
    sides = boxes[:, 2:] - boxes[:, :2]
    # no longer than other cells: the long side may be that of two cells
    whole = sides[~border] if (~border).any() else sides
    target = np.minimum(sides.max(axis=1), np.median(whole)) if len(sides) else np.zeros(0)
    lack = np.maximum(target[:, None] - sides, 0) * border[:, None]
    boxes[:, :2] -= lack * (boxes[:, :2] <= 0)
    boxes[:, 2:] += lack * (boxes[:, 2:] >= size - 1e-6)
    return centres(boxes), boxes[:, 2:] - boxes[:, :2]


def _expected(state: FlowState, places: Points, size: Points, seconds: float) -> Followed:
    """Return the cells where they are expected; a cell without a speed of its own moves like most."""
    own = state.cells.measured[:, None] > 1
    speed = np.where(own, state.cells.speed, np.nan_to_num(state.common))
    expected = state.cells.place + speed * seconds
    jump = _jump(expected, places, size, speed_known=not np.isnan(state.common[0]))
    return replace(state.cells, place=expected + jump, speed=speed + jump / seconds)


def _jump(expected: Points, places: Points, size: Points, speed_known: bool) -> Points:
    """Return how far all cells are from where they were expected; 0 while half of them are there.

    At the start of a flow, and when its speed changes at once, the jump that brings most cells to a detection
    counts; before any speed is known a single cell is enough.
    """
    inside = ((expected > 0) & (expected < size)).all(axis=1)
    before, now = expected[inside][:VOTERS], places[:VOTERS]
    if not (len(before) and len(now)):
        return np.zeros(2)
    ways = now - before[:, None]
    there = (np.hypot(ways[..., 0], ways[..., 1]) < GATE_UM).any(axis=1).sum()
    if speed_known and 2 * there >= len(before):
        return np.zeros(2)
    ways = ways.reshape(-1, 2)
    ways = ways[np.argsort(np.hypot(ways[:, 0], ways[:, 1]), kind="stable")]
    agree = np.hypot(*(ways[:, None] - ways).T) < GATE_UM
    votes = agree.sum(axis=1)
    best = int(np.argmax(votes))
    if votes[best] <= there or (speed_known and (votes[best] < 2 or 2 * votes[best] < len(before))):
        return np.zeros(2)
    return np.asarray(np.median(ways[agree[best]], axis=0), np.float64)


def _pairs(expected: Followed, before: Points, places: Points, sides: Points) -> list[tuple[int, int]]:
    """Pair the followed cells with the detections: the nearer and the more similar in size, the better."""
    way = np.hypot(*(expected.place - before).T)
    share = np.where(expected.measured > 1, GATE_SHARE, GATE_SHARE_FIRST)
    gate = GATE_UM + share * way * (expected.unseen + 1)
    apart = np.hypot(*(places - expected.place[:, None]).transpose(2, 0, 1)) / gate[:, None]
    ratio = np.abs(np.log(sides / expected.sides[:, None])).max(axis=-1) / math.log(SIZE_RATIO)
    cost = apart**2 + SIZE_WEIGHT * np.minimum(ratio, 2) - 1 - 2 * SIZE_WEIGHT
    return linear_assignment(np.where(apart < 1, cost, 1.0))


def _measured(expected: Followed, rows: Indices, places: Points, sides: Points, seconds: float) -> Followed:
    """Correct the cells in these rows, each detected alone, by its detection; all others go unseen."""
    place, speed, extent = expected.place.copy(), expected.speed.copy(), expected.sides.copy()
    measured, unseen, misses = expected.measured.copy(), expected.unseen + 1, expected.misses + 1
    error = places - place[rows]
    weight = np.where(measured[rows] > 1, 1 - STEADINESS, 1.0) / unseen[rows]
    place[rows] = places
    speed[rows] += weight[:, None] * error / seconds
    extent[rows] = (extent[rows] + sides) / 2
    measured[rows] += 1
    unseen[rows] = misses[rows] = 0
    return Followed(expected.track_id, place, speed, extent, measured, unseen, misses)


def _held(
    followed: Followed, boxes: Points, rows: Indices, found: Indices, alone: NDArray[np.bool_]
) -> Followed:
    """Keep the cells that lie in a box with others; a box confines its cells if it holds several.

    A cell that is paired (`rows` with `found`) but not `alone` lies in its own box, any other cell in the
    first box that covers its place.
    """
    inside = ((followed.place[:, None] > boxes[:, :2]) & (followed.place[:, None] < boxes[:, 2:])).all(axis=2)
    holder = np.full(len(followed), -1, np.intp)
    for row, box in reversed(np.argwhere(inside)):
        holder[row] = box
    holder[rows] = found
    hidden = np.flatnonzero((holder >= 0) & (followed.unseen > 0))
    place, misses = followed.place.copy(), followed.misses.copy()
    misses[hidden] = 0
    confined = hidden[~np.isin(holder[hidden], found[alone])]
    box = boxes[holder[confined]]
    half = np.minimum(followed.sides[confined], box[:, 2:] - box[:, :2]) / 2
    place[confined] = np.clip(place[confined], box[:, :2] + half, box[:, 2:] - half)
    return replace(followed, place=place, misses=misses)
