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
from edge.track.stored import MAX_BYTES, packed, unpacked
from edge.track.tracker import Tracker

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
