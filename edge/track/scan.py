"""Overlapping fields: where each lies on the slide, and which of its cells were seen before.

Fields whose relative places are known form an island. A frame that shows cells of an island lies on it; one
that shows cells of several islands joins them; one that shows none starts a new island.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from edge.track.appearance import Appearance, Boxes, Picture, centres
from edge.track.area import Windows, joined
from edge.track.known import Known, Point, ScanState, TrackIds
from edge.track.proposals import proposed_origins
from edge.track.registration import background_log_odds, foreground, pairs_of, patch_log_odds

Pairs = list[tuple[int, int]]

MEMORY = 4096
"""Cells that are remembered with their places: those seen last, and all of the last frame."""

PATCHES = 512
"""Cells of these that are remembered with their patches."""

DETECTED = 0.9
"""Share of the cells that segmentation finds again in another frame."""

GATE_UM2 = 73.0
"""Area of the places at which a cell of 10 µm would be taken for another one (`registration.MIN_IOU`)."""

MIN_LOG_ODDS = 10.0
"""Least log odds of a pose to be accepted: some thousand poses are possible, and one in a hundred frames that
lie elsewhere may be mistaken."""

CERTAIN_LOG_ODDS = 30.0
"""Log odds of a pose above which no other pose on the same island is tried."""

INSIDE_UM = 1.0
"""Distance from the edge of a frame at which a cell should be detected in it."""


@dataclass(frozen=True, eq=False)
class _Pose:
    """A frame's place on an island, its log odds, and the pairs (known cell, cell of the frame)."""

    island: int
    origin: Point
    log_odds: float
    pairs: Pairs


def next_field(state: ScanState, frame: Appearance) -> tuple[ScanState, TrackIds]:
    """Place a frame on the slide; return the state after it and the track id of each of its cells."""
    poses = _poses(state, frame)
    if poses:
        base = poses[0]
        known = _joined(state.cells, poses)
        pairs = _paired(known, frame, base.island, base.origin)
    else:
        base = _Pose(state.islands, np.zeros(2), 0.0, [])
        known, pairs = state.cells, []
    fields = _moved(state.fields, poses).with_field(base.island, _window(frame, base.origin))
    track_ids = np.full(len(frame.boxes), -1, np.int64)
    for row, cell in pairs:
        track_ids[cell] = known.track_id[row]
    new = track_ids < 0
    track_ids[new] = state.track_ids + np.arange(new.sum())
    after = ScanState(
        track_ids=state.track_ids + int(new.sum()),
        islands=state.islands + (not poses),
        island=base.island,
        origin=base.origin,
        picture=frame.picture,
        boxes=frame.boxes,
        cells=_remembered(known, frame, base, pairs, track_ids),
        fields=fields,
    )
    return after, track_ids


def _poses(state: ScanState, frame: Appearance) -> list[_Pose]:
    """Return the most likely acceptable pose on each island, the likeliest first."""
    best: dict[int, _Pose] = {}
    before, now = (
        np.asarray(picture - foreground(picture, boxes, frame.picture_um), np.int8)
        for picture, boxes in ((state.picture, state.boxes), (frame.picture, frame.boxes))
    )
    for island, origin in proposed_origins(state, frame):
        if island in best and best[island].log_odds > CERTAIN_LOG_ODDS:
            continue
        pose = _pose(state, frame, (before, now), island, origin)
        if pose.log_odds >= MIN_LOG_ODDS and (island not in best or pose.log_odds > best[island].log_odds):
            best[island] = pose
    return sorted(best.values(), key=lambda pose: (-pose.log_odds, pose.island))


def _pose(
    state: ScanState, frame: Appearance, backgrounds: Sequence[Picture], island: int, origin: Point
) -> _Pose:
    """Refine a pose and compute its log odds; `backgrounds` are those of the last frame and this one."""
    known = state.cells
    for _ in range(2):  # the second time from the place that the cells themselves indicate
        pairs = _paired(known, frame, island, origin)
        origin = _refined(known, frame, pairs, origin)
    density = (len(frame.boxes) + 1) / float(np.prod(frame.size))
    found = math.log(DETECTED / -math.expm1(-density * GATE_UM2))
    odds = found * len(pairs) + math.log(1 - DETECTED) * _missing(state, frame, island, origin, pairs)
    for row, cell in pairs:
        if known.whole[row] and frame.whole[cell] and known.patch[row].any():
            odds += patch_log_odds(known.patch[row], frame.patches[cell], frame.patch_um)
    if pairs and island == state.island:
        shift_px = (origin - state.origin) / frame.picture_um
        odds += background_log_odds(backgrounds[0], backgrounds[1], shift_px)
    return _Pose(island, origin, odds, pairs)


def _paired(known: Known, frame: Appearance, island: int, origin: Point) -> Pairs:
    """Pair the known cells of an island with those of the frame, if the frame lies at this origin."""
    window = _window(frame, origin)
    near = (known.box[:, :2] < window[2:]).all(axis=1) & (known.box[:, 2:] > window[:2]).all(axis=1)
    rows = np.flatnonzero(near & (known.island == island))
    boxes = frame.boxes + np.tile(origin, 2)
    return [(int(rows[k]), cell) for k, cell in pairs_of(known.box[rows], known.window[rows], boxes, window)]


def _refined(known: Known, frame: Appearance, pairs: Pairs, origin: Point) -> Point:
    """Return the origin for which the centres of the whole cells agree best: by the median difference."""
    whole = [(row, cell) for row, cell in pairs if known.whole[row] and frame.whole[cell]]
    if not whole:
        return origin
    rows, cells = np.array(whole).T
    return np.asarray(np.median(centres(known.box[rows]) - centres(frame.boxes[cells]), axis=0), np.float64)


def _missing(state: ScanState, frame: Appearance, island: int, origin: Point, pairs: Pairs) -> int:
    """Return the number of whole cells that should be in both frames and are in one."""
    known = state.cells
    expected = known.whole & (known.island == island) & _inside(known.box, _window(frame, origin))
    expected[[row for row, _ in pairs]] = False
    missing = int(expected.sum())
    if island == state.island:
        before = _window(frame, state.origin)
        unpaired = frame.whole & _inside(frame.boxes + np.tile(origin, 2), before)
        unpaired[[cell for _, cell in pairs]] = False
        missing += int(unpaired.sum())
    return missing


def _joined(known: Known, poses: list[_Pose]) -> Known:
    """Move the islands of all poses onto the first one's."""
    island, box, window = known.island.copy(), known.box.copy(), known.window.copy()
    base = poses[0]
    for other in poses[1:]:
        rows = known.island == other.island
        island[rows] = base.island
        for places in (box, window):
            places[rows] += np.tile(base.origin - other.origin, 2)
    return replace(known, island=island, box=box, window=window)


def _moved(fields: Windows, poses: list[_Pose]) -> Windows:
    """Move the fields on the islands of all poses onto the first one's."""
    if len(poses) < 2:
        return fields
    island, window = fields.track_id.copy(), fields.window.copy()
    base = poses[0]
    for other in poses[1:]:
        rows = island == other.island
        island[rows] = base.island
        window[rows] += np.tile(base.origin - other.origin, 2)
    return joined(Windows(island, window, fields.fresh), base.island)


def _remembered(known: Known, frame: Appearance, pose: _Pose, pairs: Pairs, track_ids: TrackIds) -> Known:
    """Add the cells of a frame. The first whole detection of a cell gives its place, the last its patch."""
    n = len(frame.boxes)
    now = Known(
        track_id=track_ids,
        island=np.full(n, pose.island),
        box=frame.boxes + np.tile(pose.origin, 2),
        window=np.tile(_window(frame, pose.origin), (n, 1)),
        whole=frame.whole.copy(),
        patch=frame.patches.copy(),
    )
    for row, cell in pairs:
        if known.whole[row] or not frame.whole[cell]:
            now.box[cell], now.window[cell] = known.box[row], known.window[row]
            now.whole[cell] = known.whole[row]
        if not frame.whole[cell]:
            now.patch[cell] = known.patch[row]
    others = np.setdiff1d(np.arange(len(known)), [row for row, _ in pairs])
    kept = known.take(others).followed_by(now)
    kept = kept.take(np.arange(max(0, len(kept) - max(MEMORY, n)), len(kept)))
    kept.patch[: max(0, len(kept) - PATCHES)] = 0
    return kept


def _window(frame: Appearance, origin: Point) -> Point:
    return np.concatenate([origin, origin + frame.size])


def _inside(boxes: Boxes, window: Point) -> NDArray[np.bool_]:
    inside = (boxes[:, :2] > window[:2] + INSIDE_UM) & (boxes[:, 2:] < window[2:] - INSIDE_UM)
    return np.asarray(inside.all(axis=1), np.bool_)
