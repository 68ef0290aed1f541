"""One track id per cell in overlapping fields and in a flow, one label per cell, the tracker's state."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.base.cell import Cell
from edge.classify.decision import Decision, Reason
from edge.find.segmentation import Gates, segment
from edge.simulate.frame import simulate_frame
from edge.simulate.optics import Optics
from edge.simulate.scene import Scene
from edge.track import flow, scan
from edge.track.assignment import linear_assignment
from edge.track.detections import TrackedCells
from edge.track.tracker import Tracker

PIXEL_UM = Optics().pixel_um
DATA = Path(__file__).parents[4] / "shared" / "data"
Image = NDArray[np.uint8]
Field = tuple[Image, list[Cell]]


@cache
def slide(seed: int = 0) -> Field:
    """A large simulated field and its cells, to be seen through windows."""
    scene = Scene(width_px=2400, height_px=1500, leukocytes=60, erythrocytes=20, debris=10, closest=1.1)
    if seed:  # of which one window is seen
        scene = Scene(width_px=1200, height_px=900, leukocytes=18, erythrocytes=6, debris=3, closest=1.1)
    image = simulate_frame(seed, scene=scene).image
    return image, segment(image, pixel_um=PIXEL_UM)


def window(x: int, y: int, *, seed: int = 0, width: int = 1200, height: int = 900) -> Field:
    """The part of the slide in a frame at (x, y), with the cells whose larger part lies in it."""
    image, _ = slide(seed)
    shown = [cell for _, cell in visible(x, y, seed=seed, width=width, height=height)]
    return np.ascontiguousarray(image[y : y + height, x : x + width]), shown


def visible(x: int, y: int, *, seed: int = 0, width: int = 1200, height: int = 900) -> list[tuple[int, Cell]]:
    """Numbers of the slide's cells that a frame at (x, y) shows, and the cells in its pixels."""
    shown = []
    for number, cell in enumerate(slide(seed)[1]):
        left, top = max(cell.x - x, 0), max(cell.y - y, 0)
        right, bottom = min(cell.x + cell.width - x, width), min(cell.y + cell.height - y, height)
        if right - left > cell.width / 2 and bottom - top > cell.height / 2:
            border = left == 0 or top == 0 or right == width or bottom == height
            box = replace(cell, x=left, y=top, width=right - left, height=bottom - top, border=border)
            shown.append((number, box))
    return shown


def run(fields: Sequence[Field], *, mode: str = "scan", pixel_um: float = PIXEL_UM) -> list[list[int]]:
    tracker = Tracker(mode, pixel_um=pixel_um)  # type: ignore[arg-type]
    return [tracker.update(image, cells, (k + 1) * 10**9).tolist() for k, (image, cells) in enumerate(fields)]


def numbers_by_track(corners: Sequence[tuple[int, int]], track_ids: list[list[int]]) -> dict[int, set[int]]:
    """Which of the slide's cells each track_id was given to."""
    given: dict[int, set[int]] = {}
    for (x, y), row in zip(corners, track_ids, strict=True):
        for (number, _), track_id in zip(visible(x, y), row, strict=True):
            given.setdefault(track_id, set()).add(number)
    return given


def assert_once(corners: Sequence[tuple[int, int]], track_ids: list[list[int]]) -> None:
    """Every cell that was seen has one track_id, and every track_id one cell."""
    given = numbers_by_track(corners, track_ids)
    numbers = [number for owners in given.values() for number in owners]
    assert all(len(owners) == 1 for owners in given.values())
    assert len(set(numbers)) == len(numbers)


# --- assignment


@settings(max_examples=60)
@given(data=st.data(), rows=st.integers(0, 5), columns=st.integers(0, 5))
def test_pairs_have_the_least_cost(data: st.DataObject, rows: int, columns: int) -> None:
    numbers = st.lists(st.integers(-9, 9), min_size=rows * columns, max_size=rows * columns)
    cost = np.array(data.draw(numbers), float).reshape(rows, columns)
    pairs = linear_assignment(cost)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    assert all(cost[pair] < 0 for pair in pairs)
    least = np.minimum(np.pad(cost, ((0, 0), (0, rows))), 0)
    best = min(
        (sum(least[row, column] for row, column in enumerate(order)) for order in permutations(least)),
        default=0,
    )
    assert sum(cost[pair] for pair in pairs) == best


def test_many_rows_for_few_columns_take_no_longer_than_the_columns() -> None:
    """A restored flow may follow 4,096 cells in one place."""
    cost = -np.random.default_rng(2).random((4096, 40))
    began = time.process_time()
    pairs = linear_assignment(cost)
    assert time.process_time() - began < 2
    assert sum(cost[pair] for pair in pairs) == pytest.approx(cost.min(axis=0).sum(), abs=1e-3)


def permutations(cost: NDArray[np.float64]) -> itertools.permutations[tuple[int, ...]]:
    rows, columns = cost.shape
    return itertools.permutations(range(columns), rows)


# --- overlapping fields


CORNERS = [(0, 0), (700, 10), (1190, 0), (1185, 590), (600, 600), (10, 580), (0, 10)]
"""A serpentine that comes back to where it began."""


def test_a_serpentine_counts_each_cell_once() -> None:
    fields = [window(x, y) for x, y in CORNERS]
    track_ids = run(fields)
    assert_once(CORNERS, track_ids)
    assert max(map(max, track_ids)) + 1 == len({i for row in track_ids for i in row}) > 50


@settings(max_examples=8)
@given(st.lists(st.tuples(st.integers(0, 1200), st.integers(0, 600)), min_size=2, max_size=5))
def test_no_two_cells_share_a_track_id(corners: list[tuple[int, int]]) -> None:
    track_ids = run([window(x, y) for x, y in corners])
    assert all(len(set(row)) == len(row) for row in track_ids)
    assert all(len(owners) == 1 for owners in numbers_by_track(corners, track_ids).values())


def test_a_static_pattern_does_not_hold_the_frames_together() -> None:
    """Vignette, dust and a sensor's pattern stay where they are while the stage moves."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1:1:900j, -1:1:1200j]
    light = 1 - 0.4 * (x**2 + y**2) / 2 - 0.3 * np.exp(-((x - 0.3) ** 2 + (y + 0.2) ** 2) / 0.001)
    pattern = rng.normal(0, 4, light.shape)
    corners = CORNERS[:5]

    def seen(at: tuple[int, int]) -> Field:
        image, cells = window(*at)
        return np.clip(np.rint(image * light + pattern), 0, 255).astype(np.uint8), cells

    assert run([seen(at) for at in corners]) == run([window(*at) for at in corners])
    apart = run([seen((0, 0)), seen((1200, 600))])
    assert not set(apart[0]) & set(apart[1])


def test_shifting_all_frames_by_a_constant_changes_nothing() -> None:
    fields = [window(x, y) for x, y in CORNERS]
    fields = [(image, [cell for cell in cells if not cell.border]) for image, cells in fields]
    shifted = [
        (np.pad(image, ((24, 6), (36, 0)), mode="edge"), [replace(c, x=c.x + 36, y=c.y + 24) for c in cells])
        for image, cells in fields
    ]
    assert run(shifted) == run(fields)


@pytest.mark.parametrize("mode", ["scan", "flow"])
def test_a_repeated_frame_adds_no_cell(mode: str) -> None:
    first, second, again = run([window(300, 300)] * 3, mode=mode)
    assert first == second == again == list(range(len(first)))
    one = (window(300, 300)[0], window(300, 300)[1][:1])
    assert run([one, one], mode=mode) == [[0], [0]]


def test_fields_of_other_samples_merge_nothing() -> None:
    small = {"width_px": 900, "height_px": 700, "leukocytes": 15, "erythrocytes": 8, "debris": 4}
    images = [simulate_frame(seed, scene=Scene(**small)).image for seed in range(5)]  # type: ignore[arg-type]
    # and of one microscope, with its lamp and its dust
    images += [simulate_frame(0, index, scene=Scene(**small)).image for index in (1, 2)]  # type: ignore[arg-type]
    fields = [(image, segment(image, pixel_um=PIXEL_UM)) for image in images]
    found = sum(len(cells) for _, cells in fields)
    assert list(itertools.chain(*run(fields))) == list(range(found))


def test_a_cell_that_an_edge_cuts_is_the_one_seen_whole_later() -> None:
    number, cell = next(
        (n, c) for n, c in enumerate(slide()[1]) if 1250 < c.x < 1800 and 200 < c.y < 600 and not c.touching
    )
    corners = [(cell.x + 3 * cell.width // 4 - 1200, 0), (cell.x - 700, 0)]
    cut, whole = (dict(visible(x, y))[number] for x, y in corners)
    assert (cut.border, whole.border) == (True, False)
    given = numbers_by_track(corners, run([window(x, y) for x, y in corners]))
    assert [owners for owners in given.values() if number in owners] == [{number}]


def test_a_lost_frame_is_bridged_by_the_appearance_of_the_cells() -> None:
    blank: Field = (np.full((900, 1200), 160, np.uint8), [])
    fields = [window(0, 0), window(500, 0)]
    lost = run([fields[0], blank, fields[1]])
    assert lost[1] == []
    assert [lost[0], lost[2]] == run(fields)
    assert set(lost[0]) & set(lost[2])


def test_a_frame_between_two_others_joins_them() -> None:
    """After it, what either of them showed is known where the stage comes back."""
    corners = [(0, 0), (1200, 0), (600, 0), (1180, 20), (0, 30)]
    fields = [window(x, y) for x, y in corners]
    track_ids = run(fields)
    assert not set(track_ids[0]) & set(track_ids[1])
    # what the last two show, the first two did, but the second island's cells were renamed to none of theirs
    assert_once(corners, track_ids)


def test_frames_of_other_sizes_and_without_cells_are_taken() -> None:
    fields: list[Field] = [
        (np.zeros((1, 1), np.uint8), []),
        window(0, 0),
        (np.full((70, 900), 7, np.uint8), [Cell(3, 3, 60, 60, 3000.0, False, False)]),
        window(0, 0, width=800),
        window(0, 0),
    ]
    track_ids = run(fields)
    assert [len(row) for row in track_ids] == [len(cells) for _, cells in fields]
    assert track_ids[4] == track_ids[1]


def test_memory_is_bounded_and_old_cells_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan, "MEMORY", 30)
    monkeypatch.setattr(scan, "PATCHES", 20)
    tracker = Tracker("scan", pixel_um=PIXEL_UM)
    first = tracker.update(*window(0, 0), 1)
    sizes = []
    for seed in (1, 2, 3):
        tracker.update(*window(0, 0, seed=seed), 1)
        sizes.append(len(tracker.state()))
    assert max(sizes) < 1.2 * min(sizes)
    assert not set(first) & set(tracker.update(*window(0, 0), 1))


# --- a flow


def cell_at(
    x: float, y: float, *, width: int = 80, height: int = 80, size: tuple[int, int] = (900, 1200)
) -> Cell:
    """A cell with its middle at (x, y), cut by the edge of a frame of that height and width."""
    left, top = max(round(x - width / 2), 0), max(round(y - height / 2), 0)
    right, bottom = min(round(x + width / 2), size[1]), min(round(y + height / 2), size[0])
    border = left == 0 or top == 0 or right == size[1] or bottom == size[0]
    return Cell(left, top, right - left, bottom - top, float((right - left) * (bottom - top)), border, False)


BLANK = np.zeros((900, 1200), np.uint8)


def follow(
    frames: Sequence[Sequence[tuple[int, Cell]]], times: Sequence[float] | None = None
) -> tuple[dict[int, list[int]], int]:
    """The track ids of each true cell, and the number of tracks."""
    tracker = Tracker("flow", pixel_um=PIXEL_UM)
    got: dict[int, list[int]] = {}
    for index, frame in enumerate(frames):
        seconds = index / 10 if times is None else times[index]
        track_ids = tracker.update(BLANK, [cell for _, cell in frame], round((1 + seconds) * 1e9))
        assert len(set(track_ids.tolist())) == len(frame)
        for (particle, _), track_id in zip(frame, track_ids.tolist(), strict=True):
            got.setdefault(particle, []).append(track_id)
    return got, len({track_id for row in got.values() for track_id in row})


def stream(seed: int, *, frames: int, speed: float, cells: int = 40) -> list[list[tuple[int, Cell]]]:
    """Cells that come in at the left, apart from each other, and leave at the right, each at its speed."""
    rng = np.random.default_rng(seed)
    lanes = 60 + 130 * rng.integers(0, 7, cells)
    starts = 700 - 260 * np.arange(cells) + rng.uniform(-40, 40, cells)
    speeds = speed * rng.uniform(0.97, 1.03, cells)
    order = rng.permutation(cells)
    shown = []
    for index in range(frames):
        x = starts + speeds * index
        near = [k for k in order if -20 < x[k] < 1220]
        shown.append([(int(k), cell_at(x[k], float(lanes[k]))) for k in near])
    return shown


def apart(cells: Sequence[Cell]) -> bool:
    """Whether no cell overlaps another."""
    return not any(abs(a.x - b.x) < 80 and abs(a.y - b.y) < 80 for a, b in itertools.combinations(cells, 2))


@settings(max_examples=15)
@given(seed=st.integers(0, 10**6), speed=st.floats(5, 200))
def test_each_moving_cell_is_counted_once(seed: int, speed: float) -> None:
    frames = stream(seed, frames=30, speed=speed)
    assume(all(apart([cell for _, cell in frame]) for frame in frames))
    got, distinct = follow(frames)
    assert distinct == len(got)
    assert all(len(set(track_ids)) == 1 for track_ids in got.values())


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), gap=st.integers(1, flow.MISSES))
def test_short_disappearances_are_bridged(seed: int, gap: int) -> None:
    frames = stream(seed, frames=30, speed=60)
    assume(all(apart([cell for _, cell in frame]) for frame in frames))
    hidden = [
        [(k, cell) for k, cell in frame if not 8 + k % 3 <= index < 8 + k % 3 + gap]
        for index, frame in enumerate(frames)
    ]
    # a cell must have been seen before it hides to be known afterwards
    known = {k for frame in hidden[6:8] for k, _ in frame} & {k for k, _ in frames[7]}
    got, _ = follow(hidden)
    assert all(len(set(got[k])) == 1 for k in known)


def test_a_cell_unseen_for_long_is_another_one() -> None:
    seen = [[(0, cell_at(200, 200))]] * 3
    assert follow(seen + [[]] * flow.MISSES + seen)[1] == 1
    assert follow(seen + [[]] * (flow.MISSES + 1) + seen)[1] == 2


def test_cells_that_touch_and_part_again_keep_their_track_ids() -> None:
    frames: list[list[tuple[int, Cell]]] = []
    for index in range(16):
        slow, fast = 200 + 40 * index, 40 + 60 * index
        low, high = sorted((slow, fast))
        if high - low < 80:  # one box holds both
            frames.append([(2, cell_at((low + high) / 2, 420, width=high - low + 80, height=120))])
        else:
            frames.append([(0, cell_at(slow, 400)), (1, cell_at(fast, 440))])
    got, distinct = follow(frames)
    assert distinct == 2
    assert len(set(got[0])) == len(set(got[1])) == 1


def test_a_flow_that_suddenly_changes_its_speed_is_followed() -> None:
    frames = stream(4, frames=12, speed=40)
    later = stream(4, frames=60, speed=40)
    # from the 12th frame on four times as fast
    got, distinct = follow(frames + later[15::4])
    assert distinct == len(got)


def test_dropped_frames_are_bridged_by_time() -> None:
    frames = stream(5, frames=40, speed=50)
    kept = [k for k in range(40) if k % 7 not in (3, 4, 5)]
    got, distinct = follow([frames[k] for k in kept], [k / 10 for k in kept])
    assert distinct == len(got)


def test_times_that_stand_still_count_as_equal_steps() -> None:
    frames = stream(6, frames=30, speed=50)
    got, distinct = follow(frames, [0.0, 0.1] + [0.1] * 28)
    assert distinct == len(got)


@settings(max_examples=10)
@given(seed=st.integers(0, 10**6), x=st.integers(-30, 30), y=st.integers(-15, 15))
def test_shifting_a_flow_changes_nothing(seed: int, x: int, y: int) -> None:
    frames = [[(k, c) for k, c in frame if not c.border] for frame in stream(seed, frames=15, speed=60)]
    inner = [[(k, c) for k, c in frame if 40 < c.x < 1080] for frame in frames]
    moved = [[(k, replace(c, x=c.x + x, y=c.y + y)) for k, c in frame] for frame in inner]
    assert follow(moved) == follow(inner)


# --- state


@pytest.mark.parametrize("mode", ["scan", "flow"])
def test_a_restored_tracker_continues_exactly(mode: str) -> None:
    if mode == "scan":
        fields = [window(x, y) for x, y in CORNERS]
    else:
        fields = [(BLANK, [cell for _, cell in frame]) for frame in stream(7, frames=12, speed=60)]
    whole = Tracker(mode, pixel_um=PIXEL_UM)  # type: ignore[arg-type]
    for index, (image, cells) in enumerate(fields):
        resumed = Tracker(mode, pixel_um=PIXEL_UM)  # type: ignore[arg-type]
        resumed.restore(whole.state())
        assert resumed.state() == whole.state()
        time_ns = (index + 1) * 10**8
        np.testing.assert_array_equal(
            resumed.update(image, cells, time_ns), whole.update(image, cells, time_ns)
        )
        assert resumed.state() == whole.state()


def test_a_state_of_something_else_is_refused() -> None:
    tracker = Tracker("scan", pixel_um=PIXEL_UM)
    tracker.update(*window(0, 0), 1)
    state = tracker.state()
    damaged = bytearray(state)
    damaged[len(damaged) // 2] ^= 16
    for wrong in (b"", state[:-20], bytes(damaged), Tracker("flow", pixel_um=PIXEL_UM).state()):
        with pytest.raises(ValueError, match="not the state of such a tracker"):
            tracker.restore(wrong)
    with pytest.raises(ValueError, match="µm per pixel"):
        Tracker("scan", pixel_um=0.2).restore(state)
    assert tracker.state() == state


@pytest.mark.parametrize("wrong", [{"mode": "walk", "pixel_um": 1.0}, {"mode": "scan", "pixel_um": 0.0}])
def test_trackers_of_nothing_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"scan or a flow|positive"):
        Tracker(**wrong)  # type: ignore[arg-type]


# --- one label per cell


def probabilities(*rows: tuple[float, float]) -> NDArray[np.float32]:
    return np.array(rows, np.float32).reshape(-1, 2)


def test_the_mean_over_whole_detections_decides_a_cells_label() -> None:
    cells = TrackedCells(("a", "b"), reject_below=0.6)
    cells.add(np.array([0, 1]), probabilities((0.9, 0.1), (0.45, 0.55)), [False, True], [True, True])
    low: Reason = "low_confidence"
    assert cells.decisions == {0: Decision("a"), 1: Decision("b", low)}
    # a cut detection does not outweigh a whole one; one that was only seen cut gains from the second
    cells.add(np.array([1, 0]), probabilities((0.05, 0.95), (0.0, 1.0)), [True, True], [True, True])
    assert cells.decisions == {0: Decision("a"), 1: Decision("b")}
    cells.add(np.array([0]), probabilities((0.5, 0.5)), [False], [True])
    assert cells.decisions[0] == Decision("a")
    cells.add(np.array([0]), probabilities((0.2, 0.8)), [False], [True])
    assert cells.decisions[0] == Decision("a", low)
    assert +cells.counts == {Decision("b"): 1, Decision("a", low): 1}


def test_a_cell_out_of_distribution_in_half_of_its_detections_is_rejected() -> None:
    cells = TrackedCells(("a", "b"), reject_below=0.5)
    cells.add(np.array([0]), probabilities((1.0, 0.0)), [False], [False])
    assert +cells.counts == {Decision("a", "out_of_distribution"): 1}
    cells.add(np.array([0]), probabilities((1.0, 0.0)), [False], [True])
    assert +cells.counts == {Decision("a", "out_of_distribution"): 1}
    cells.add(np.array([0]), probabilities((1.0, 0.0)), [False], [True])
    assert +cells.counts == {Decision("a"): 1}


@settings(max_examples=20)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 5), st.floats(0, 1), st.booleans()), max_size=5), max_size=6)
)
def test_counts_are_those_of_the_labels(frames: list[list[tuple[int, float, bool]]]) -> None:
    cells = TrackedCells(("a", "b"), reject_below=0.7)
    for frame in frames:
        rows = {track_id: (share, cut) for track_id, share, cut in frame}
        shares = probabilities(*((share, 1 - share) for share, _ in rows.values()))
        cells.add(
            np.array(list(rows), np.int64), shares, [cut for _, cut in rows.values()], [True] * len(rows)
        )
    assert +cells.counts == Counter(cells.decisions.values())


# --- real frames


def read(path: Path) -> Image:
    image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return np.asarray(image, np.uint8)


@pytest.mark.skipif(not (DATA / "beads").is_dir(), reason="needs the shared real frames")
def test_the_moving_beads_are_as_many_as_a_person_counts() -> None:
    images = [read(path) for path in sorted((DATA / "beads").glob("*.png"))]
    fields = [(image, segment(image, pixel_um=0.29, gates=Gates(min_diameter_um=3))) for image in images]
    assert run(fields, mode="flow", pixel_um=0.29) == [[0, 1, 2, 3, 4]] * 13


needs_frames = pytest.mark.skipif(
    not (DATA / "hemocytometer").is_dir(), reason="needs the shared real frames"
)


def hemocytometer(numbers: Sequence[int]) -> list[Field]:
    folder = DATA / "hemocytometer" / "frames"
    images = [read(folder / f"frame_{number:04d}.jpg") for number in numbers]
    return [(image, segment(image)) for image in images]


@needs_frames
def test_neighbouring_real_frames_share_the_cells_that_a_person_finds_in_both() -> None:
    track_ids = run(hemocytometer([421, 422, 423, 428]), pixel_um=0.0727)
    shared = [len(set(a) & set(b)) for a, b in itertools.pairwise(track_ids)]
    assert shared == [4, 7, 3]
    # the last one is of the next row, and shows part of both fields before
    assert len(set(track_ids[1]) & set(track_ids[3])) == 2
    assert not set(track_ids[0]) & set(track_ids[2] + track_ids[3])


@needs_frames
def test_real_frames_far_apart_merge_nothing() -> None:
    fields = hemocytometer(range(349, 489, 23))
    found = sum(len(cells) for _, cells in fields)
    assert list(itertools.chain(*run(fields, pixel_um=0.0727))) == list(range(found))
