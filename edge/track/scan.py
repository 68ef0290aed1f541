"""Overlapping fields: where each lies on the slide, and which of its cells were seen before.

Fields whose places relative to each other are known make an island. A frame that shows cells of an island
lies on it; one that shows cells of several joins them; one that shows none begins an island of its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from edge.track.appearance import PATCH_PX, Boxes, Image, Look, Picture
from edge.track.registration import background_odds, foreground, likeness_odds, pairs_of, proposed_shifts
from edge.track.rows import Rows

Identities = NDArray[np.int64]
Point = NDArray[np.float64]
Points = NDArray[np.float64]

MEMORY = 4096
"""Cells that are remembered with their places, those seen last; the last frame's all."""

PATCHES = 512
"""Cells of these that are remembered with their looks."""

DETECTED = 0.9
"""Part of the cells that segmentation finds again in another frame."""

GATE_UM2 = 73.0
"""Area of the places at which a cell of 10 µm would be taken for another one (`register.MIN_IOU`)."""

MIN_ODDS = 10.0
"""Least logarithm of the odds at which a pose is believed: some thousand poses are possible, and one in a
hundred frames that lie elsewhere may be mistaken."""

CERTAIN_ODDS = 30.0
"""Logarithm of the odds of a pose beside which no other one on the same island is tried."""

INSIDE_UM = 1.0
"""A cell that lies this far inside of a frame ought to be seen there."""

ALIKE, SURELY_ALIKE = 0.7, 0.8
"""Least correlation of two coarse patches that vote for a pose, and of two that propose one by themselves."""

SAMPLE = 200
"""Cells of a frame that propose poses, lest a frame full of debris take long."""

SINGLE = 32
"""How many pairs, those most alike, propose a pose."""

CUT_ALIKE = 0.5
"""What it is taken to be where an edge cuts one of the cells."""

VOTES = 300
"""Pairs of cells, those most alike, that vote."""

COINCIDE_UM = 2.5
"""Two middles that are no farther apart, each way, may be those of one cell."""

TRIED = 6
"""How many of the ways from the last frame, those that bring most cells together that look alike, and how
many of the origins with the most votes are looked at closely."""

LONELY = 0.1
"""What a cell that a way leaves alone in both frames takes off the correlations of those that it brings
together; between 0.05 and 0.1 no true way of the real frames is lost."""


@dataclass(frozen=True, eq=False)
class Known(Rows):
    """Cells seen before, those longest unseen first; places in µm from their island's origin.

    Attributes
    ----------
    track_id, island : int64 [m]
    box : float64 [m, 4], left, top, right, bottom
    window : float64 [m, 4], the frame that showed this box
    whole : bool [m], that frame's edge did not cut it
    patch : uint8 [m, PATCH_PX, PATCH_PX]; all 0 where none is remembered
    """

    island: Identities
    box: Boxes
    window: Boxes
    whole: NDArray[np.bool_]
    patch: Image


def _nothing_known() -> Known:
    none = np.zeros(0, np.int64)
    patches = np.zeros((0, PATCH_PX, PATCH_PX), np.uint8)
    return Known(none, none, np.zeros((0, 4)), np.zeros((0, 4)), np.zeros(0, bool), patches)


@dataclass(frozen=True, eq=False)
class ScanState:
    """All that a scan's next frame is compared with.

    Attributes
    ----------
    track_ids, islands : numbers given so far
    island, origin : where the last frame lies; the origin float64 [2] in µm
    picture : of the last frame; empty before the first
    boxes : float64 [k, 4], its cells, in µm from its own corner
    cells : seen so far
    """

    track_ids: int = 0
    islands: int = 0
    island: int = 0
    origin: Point = field(default_factory=lambda: np.zeros(2))
    picture: Picture = field(default_factory=lambda: np.zeros((0, 0), np.int8))
    boxes: Boxes = field(default_factory=lambda: np.zeros((0, 4)))
    cells: Known = field(default_factory=_nothing_known)


@dataclass(frozen=True, eq=False)
class _Pose:
    """A frame's place on an island, the logarithm of its odds, and the cells (known, now) that it pairs."""

    island: int
    origin: Point
    odds: float
    pairs: list[tuple[int, int]]


def next_field(state: ScanState, view: Look) -> tuple[ScanState, Identities]:
    """Place a frame on the slide; give the state after it, and the track_id of each of its cells."""
    poses = _poses(state, view)
    if poses:
        base = poses[0]
        known = _joined(state.cells, poses)
        pairs = _paired(known, view, base.island, base.origin)
    else:
        base = _Pose(state.islands, np.zeros(2), 0.0, [])
        known, pairs = state.cells, []
    track_ids = np.full(len(view.boxes), -1, np.int64)
    for row, cell in pairs:
        track_ids[cell] = known.track_id[row]
    new = track_ids < 0
    track_ids[new] = state.track_ids + np.arange(new.sum())
    after = ScanState(
        track_ids=state.track_ids + int(new.sum()),
        islands=state.islands + (not poses),
        island=base.island,
        origin=base.origin,
        picture=view.picture,
        boxes=view.boxes,
        cells=_remembered(known, view, base, pairs, track_ids),
    )
    return after, track_ids


def _poses(state: ScanState, view: Look) -> list[_Pose]:
    """The most likely pose on each island on which one can be believed, the likeliest first."""
    best: dict[int, _Pose] = {}
    backgrounds = [
        np.asarray(picture - foreground(picture, boxes, view.picture_um), np.int8)
        for picture, boxes in ((state.picture, state.boxes), (view.picture, view.boxes))
    ]
    for island, origin in _proposed(state, view):
        if island in best and best[island].odds > CERTAIN_ODDS:
            continue
        pose = _judged(state, view, backgrounds, island, origin)
        if pose.odds >= MIN_ODDS and (island not in best or pose.odds > best[island].odds):
            best[island] = pose
    return sorted(best.values(), key=lambda pose: (-pose.odds, pose.island))


def _proposed(state: ScanState, view: Look) -> Iterator[tuple[int, Point]]:
    """Islands and origins that are worth a closer look."""
    yield from ((state.island, state.origin + shift) for shift in _shifts(state, view))
    yield from _voted(state.cells, view)


def _shifts(state: ScanState, view: Look) -> Points:
    """Ways from the last frame that bring most cells together that look alike, float64 [k, 2]."""
    pictures = [
        foreground(picture, boxes, view.picture_um)
        for picture, boxes in ((state.picture, state.boxes), (view.picture, view.boxes))
    ]
    correlated = proposed_shifts(pictures[0], pictures[1], view.picture_um)
    last = state.cells.take(np.arange(-len(state.boxes), 0))  # in the order of its boxes
    before, now = _sample(np.arange(len(state.boxes))), _sample(np.arange(len(view.boxes)))
    alike = _alike(last.patch[before], view.patches[now])
    alike[~last.whole[before]] = alike[:, ~view.whole[now]] = CUT_ALIKE
    places = _middles(state.boxes[before]), _middles(view.boxes[now])
    ways = places[0][:, None] - places[1]
    single = np.argsort(-alike, axis=None, kind="stable")[:SINGLE]
    single = single[alike.ravel()[single] >= SURELY_ALIKE]
    shifts = np.concatenate([correlated, ways.reshape(-1, 2)[single]])
    worth = np.array([_worth(shift, ways, alike, places, view.size) for shift in shifts])
    best = np.argsort(-worth, kind="stable")[:TRIED]
    return np.asarray(shifts[best[np.isfinite(worth[best])]], np.float64)


def _sample(cells: NDArray[np.intp]) -> NDArray[np.intp]:
    """Every cell, or every second, third … where there are more than SAMPLE of them."""
    return cells[:: math.ceil(len(cells) / SAMPLE) or 1]


def _worth(
    shift: Point, ways: Points, alike: NDArray[np.float32], places: tuple[Points, Points], size: Point
) -> float:
    """Correlations of the cells that a shift brings together, less what it leaves alone in both frames."""
    together = (np.abs(ways - shift) < COINCIDE_UM).all(axis=2)
    if not together.any():
        return -math.inf
    common = sum(
        int(((there > 0) & (there < size)).all(axis=1).sum())
        for there in (places[0] - shift, places[1] + shift)
    )
    return float(np.maximum(alike[together], 0).sum()) - LONELY * common


def _voted(known: Known, view: Look) -> Iterator[tuple[int, Point]]:
    """Origins for which several pairs of cells that look alike speak."""
    rows = np.flatnonzero(known.whole & (known.patch.max(axis=(1, 2)) > 0))
    cells = _sample(np.flatnonzero(view.whole))
    alike = _alike(known.patch[rows], view.patches[cells])
    i, j = np.nonzero(alike >= ALIKE)
    strongest = np.argsort(-alike[i, j], kind="stable")[:VOTES]
    i, j = i[strongest], j[strongest]
    island = known.island[rows[i]]
    origins = _middles(known.box[rows[i]]) - _middles(view.boxes[cells[j]])
    agree = np.abs(origins[:, None] - origins).max(axis=2) < COINCIDE_UM
    agree &= island[:, None] == island
    for _ in range(TRIED):
        votes = agree.sum(axis=1)
        if not votes.size or votes.max() < 2:
            return
        together = agree[np.argmax(votes)].copy()
        yield int(island[together][0]), np.median(origins[together], axis=0)
        agree[together] = agree[:, together] = False


def _alike(before: Image, now: Image) -> NDArray[np.float32]:
    """Correlation of coarse patches, each with each, float32 [m, n]."""
    # not by BLAS, whose threads would take the other stages' cores
    return np.asarray(np.einsum("ik,jk->ij", _coarse(before), _coarse(now)), np.float32)


def _coarse(patches: Image) -> NDArray[np.float32]:
    """Patches at a third of their size, of mean 0 and norm 1, float32 [n, PATCH_PX² / 9]."""
    side = PATCH_PX // 3
    rows = patches.reshape(-1, side, 3, PATCH_PX).sum(axis=2, dtype=np.uint16)
    small = rows.reshape(-1, side**2, 3).sum(axis=2, dtype=np.float32)
    small -= small.mean(axis=1, keepdims=True)
    return np.asarray(small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-6), np.float32)


def _judged(
    state: ScanState, view: Look, backgrounds: Sequence[Picture], island: int, origin: Point
) -> _Pose:
    """How likely it is that the frame lies there; `backgrounds` are the last frame's and this one's."""
    known = state.cells
    for _ in range(2):  # the second time from where the cells themselves say that it lies
        pairs = _paired(known, view, island, origin)
        origin = _refined(known, view, pairs, origin)
    density = (len(view.boxes) + 1) / float(np.prod(view.size))
    found = math.log(DETECTED / -math.expm1(-density * GATE_UM2))
    odds = found * len(pairs) + math.log(1 - DETECTED) * _missing(state, view, island, origin, pairs)
    for row, cell in pairs:
        if known.whole[row] and view.whole[cell] and known.patch[row].any():
            odds += likeness_odds(known.patch[row], view.patches[cell], view.patch_um)
    if pairs and island == state.island:
        odds += background_odds(backgrounds[0], backgrounds[1], (origin - state.origin) / view.picture_um)
    return _Pose(island, origin, odds, pairs)


def _paired(known: Known, view: Look, island: int, origin: Point) -> list[tuple[int, int]]:
    """Pair what is known of an island with the frame's cells, if the frame lies there."""
    window = _window(view, origin)
    near = (known.box[:, :2] < window[2:]).all(axis=1) & (known.box[:, 2:] > window[:2]).all(axis=1)
    rows = np.flatnonzero(near & (known.island == island))
    boxes = view.boxes + np.tile(origin, 2)
    return [(int(rows[k]), cell) for k, cell in pairs_of(known.box[rows], known.window[rows], boxes, window)]


def _refined(known: Known, view: Look, pairs: list[tuple[int, int]], origin: Point) -> Point:
    """Origin for which the middles of the whole cells agree best (the median of their differences)."""
    whole = [(row, cell) for row, cell in pairs if known.whole[row] and view.whole[cell]]
    if not whole:
        return origin
    rows, cells = np.array(whole).T
    return np.asarray(np.median(_middles(known.box[rows]) - _middles(view.boxes[cells]), axis=0), np.float64)


def _missing(state: ScanState, view: Look, island: int, origin: Point, pairs: list[tuple[int, int]]) -> int:
    """Whole cells that ought to be in both frames and are in one."""
    known = state.cells
    expected = known.whole & (known.island == island) & _inside(known.box, _window(view, origin))
    expected[[row for row, _ in pairs]] = False
    missing = int(expected.sum())
    if island == state.island:
        before = _window(view, state.origin)
        unknown = view.whole & _inside(view.boxes + np.tile(origin, 2), before)
        unknown[[cell for _, cell in pairs]] = False
        missing += int(unknown.sum())
    return missing


def _joined(known: Known, poses: list[_Pose]) -> Known:
    """Bring the islands of all poses onto the first one's."""
    island, box, window = known.island.copy(), known.box.copy(), known.window.copy()
    base = poses[0]
    for other in poses[1:]:
        rows = known.island == other.island
        island[rows] = base.island
        for places in (box, window):
            places[rows] += np.tile(base.origin - other.origin, 2)
    return replace(known, island=island, box=box, window=window)


def _remembered(
    known: Known, view: Look, pose: _Pose, pairs: list[tuple[int, int]], track_ids: Identities
) -> Known:
    """Add a frame's cells; of a cell's whole detections the first gives its place, the last its look."""
    n = len(view.boxes)
    now = Known(
        track_id=track_ids,
        island=np.full(n, pose.island),
        box=view.boxes + np.tile(pose.origin, 2),
        window=np.tile(_window(view, pose.origin), (n, 1)),
        whole=view.whole,
        patch=view.patches.copy(),
    )
    box, window, whole = now.box, now.window, now.whole.copy()
    for row, cell in pairs:
        if known.whole[row] or not view.whole[cell]:
            box[cell], window[cell], whole[cell] = known.box[row], known.window[row], known.whole[row]
        if not view.whole[cell]:
            now.patch[cell] = known.patch[row]
    others = np.setdiff1d(np.arange(len(known)), [row for row, _ in pairs])
    kept = known.take(others).followed_by(replace(now, box=box, window=window, whole=whole))
    kept = kept.take(np.arange(max(0, len(kept) - max(MEMORY, n)), len(kept)))
    kept.patch[: max(0, len(kept) - PATCHES)] = 0
    return kept


def _window(view: Look, origin: Point) -> Point:
    return np.concatenate([origin, origin + view.size])


def _middles(boxes: Boxes) -> Boxes:
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _inside(boxes: Boxes, window: Point) -> NDArray[np.bool_]:
    inside = (boxes[:, :2] > window[:2] + INSIDE_UM) & (boxes[:, 2:] < window[2:] - INSIDE_UM)
    return np.asarray(inside.all(axis=1), np.bool_)
