"""A tracker's state that somebody made is refused in bounded memory."""

from __future__ import annotations

import io
import json
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from edge.base.cell import Cell
from edge.track import area
from edge.track.area import union_area
from edge.track.flow import FlowState
from edge.track.stored import MAX_BYTES, packed, unpacked
from edge.track.tracker import MOST_FOLLOWED, Tracker

PIXEL_UM = 0.25


@pytest.fixture(scope="module")
def state() -> bytes:
    """State of a scan that has seen one frame with two cells."""
    image = np.random.default_rng(1).integers(90, 110, (240, 320)).astype(np.uint8)
    tracker = Tracker("scan", pixel_um=PIXEL_UM)
    tracker.update(image, [Cell(40 * k, 60, 40, 40, 900.0, False, False) for k in (1, 3)], 1)
    return tracker.state()


def refused(state: bytes) -> str:
    with pytest.raises(ValueError, match="not the state of such a tracker") as caught:
        Tracker("scan", pixel_um=PIXEL_UM).restore(state)
    return str(caught.value)


def test_a_small_state_does_not_become_a_large_one() -> None:
    assert "more than a tracker keeps" in refused(zlib.compress(bytes(4 * MAX_BYTES), 9))
    assert "arrays" in refused(zlib.compress(b"[" * 9000 + b"\n", 9)) or True


def test_an_archive_is_no_state() -> None:
    file = io.BytesIO()
    np.savez_compressed(file, picture=np.zeros(1 << 24))
    refused(zlib.compress(file.getvalue()))


Change = Callable[[dict[str, Any]], None]


def set_(name: str, value: Any) -> Change:
    return lambda listed: listed.__setitem__(name, value)


@pytest.mark.parametrize(
    "change",
    [
        set_("picture", ["|i1", [1 << 20, 1 << 20]]),
        set_("picture", ["|i1", [-1, -1]]),
        set_("picture", ["|O", [1, 1]]),
        set_("picture", ["<f8", [30, 40]]),
        set_("boxes", ["<f8", [2, 5]]),
        set_("boxes", ["<f8", [1]]),
        set_("boxes", ["<f8", [True, 4]]),
        set_("cells.patch", ["|u1", [2, 1, 576]]),
        set_("track_ids", ["<i8", [1]]),
        set_("another", ["<i8", []]),
        lambda listed: listed.pop("origin"),
        lambda listed: listed.clear(),
    ],
)
def test_arrays_have_the_types_and_shapes_of_a_tracker(state: bytes, change: Change) -> None:
    head, _, rest = zlib.decompress(state).partition(b"\n")
    listed = json.loads(head)
    change(listed)
    refused(zlib.compress(json.dumps(listed).encode() + b"\n" + rest))


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("track_ids", np.array(1), "was never given"),
        ("track_ids", np.array(-(2**63)), "was never given"),
        ("cells.track_id", np.array([-1, 0]), "was never given"),
        ("cells.box", np.full((2, 4), np.nan), "out of range"),
        ("fields.window", np.full((1, 4), np.inf), "out of range"),
        ("cells.island", np.array([0, 7]), "does not exist"),
        ("island", np.array(5), "does not exist"),
        ("origin", np.full(2, np.inf), "is none"),
        ("boxes", np.zeros((3, 4)), "does not exist"),
        ("cells.whole", np.ones(3, bool), "different lengths"),
    ],
)
def test_numbers_are_those_that_frames_lead_to(state: bytes, name: str, value: Any, why: str) -> None:
    tracker = Tracker("scan", pixel_um=PIXEL_UM)
    tracker.restore(state)
    arrays = unpacked(state, tracker._arrays(Tracker("scan", pixel_um=PIXEL_UM)._state))
    assert why in refused(packed(arrays | {name: value}))


def test_many_nested_fields_are_added_up_in_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    edges = np.arange(300.0)
    nested = np.stack([edges, edges, 1000 - edges, 900 - edges], 1)
    others = nested + np.array([700, 300, 800, 500])
    windows = np.concatenate([nested, others])
    whole = union_area(windows)
    monkeypatch.setattr(area, "MAX_GRID", 5000)
    assert union_area(windows) == pytest.approx(whole, rel=1e-12)


def with_cells(number: int, **others: Any) -> dict[str, Any]:
    """Return a table of as many cells."""
    columns = {"track_id": (), "island": (), "box": (4,), "window": (4,), "whole": (), "patch": (24, 24)}
    kinds = {"track_id": np.int64, "island": np.int64, "whole": bool, "patch": np.uint8}
    cells = {name: np.zeros((number, *shape), kinds.get(name, float)) for name, shape in columns.items()}
    return {f"cells.{name}": values for name, values in cells.items()} | others


def with_fields(windows: Any) -> dict[str, Any]:
    number = len(windows)
    return {
        "fields.track_id": np.zeros(number, np.int64),
        "fields.window": np.asarray(windows, float),
        "fields.fresh": np.zeros(number),
    }


STAIRS = np.arange(3000.0)


@pytest.mark.parametrize(
    ("values", "why"),
    [
        (with_cells(4097), "more cells"),
        (with_cells(20_001, boxes=np.zeros((20_001, 4))), "more cells"),
        (with_cells(600, **{"cells.patch": np.ones((600, 24, 24), np.uint8)}), "more patches"),
        (with_cells(400, boxes=np.tile([0.0, 0.0, 80.0, 60.0], (400, 1))), "cells lie upon each other"),
        (
            with_fields(np.stack([STAIRS, STAIRS, STAIRS + 5, STAIRS + 90], 1)),
            "smaller than frames",
        ),
        (with_fields(np.stack([STAIRS, STAIRS, 9000 - STAIRS, 8000 - STAIRS], 1)), "fields lie upon each"),
    ],
)
def test_a_scan_has_no_more_than_its_tracker_keeps(state: bytes, values: dict[str, Any], why: str) -> None:
    arrays = unpacked(state, Tracker("scan", pixel_um=PIXEL_UM)._arrays(Tracker("scan", pixel_um=1)._state))
    assert why in refused(packed(arrays | values))


@pytest.mark.parametrize(
    "values",
    [
        with_cells(4096),
        with_cells(5000, boxes=np.zeros((5000, 4))),
        with_fields([[x, y, x + 12, y + 12] for x in range(0, 500, 10) for y in range(0, 500, 10)]),
    ],
)
def test_what_a_large_scan_keeps_is_restored(state: bytes, values: dict[str, Any]) -> None:
    tracker = Tracker("scan", pixel_um=PIXEL_UM)
    tracker.restore(packed(unpacked(state, tracker._arrays(tracker._state)) | values))


@pytest.mark.parametrize("number", [MOST_FOLLOWED, MOST_FOLLOWED + 1])
def test_a_flow_has_no_more_cells_than_a_frame_holds(number: int) -> None:
    tracker = Tracker("flow", pixel_um=PIXEL_UM)
    arrays = tracker._arrays(FlowState(frames=1, track_ids=number))
    columns = {name: values for name, values in arrays.items() if name.startswith("cells.")}
    filled = {name: np.zeros((number, *one.shape[1:]), one.dtype) for name, one in columns.items()}
    state = packed(arrays | filled)
    if number == MOST_FOLLOWED:
        tracker.restore(state)
        return
    with pytest.raises(ValueError, match="it follows more than 4096 cells"):
        tracker.restore(state)
