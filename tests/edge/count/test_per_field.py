"""Cells are counted in the field that shows them first, and parts of a scan's fields are joined."""

from __future__ import annotations

import numpy as np
import pytest

from edge.base.frame import Frame
from edge.classify.decision import Decision
from edge.count.counted_frame import CountedFrame
from edge.count.per_field import PerField
from edge.track.area import LaidOut

A, B, OTHER = Decision("a"), Decision("b"), Decision("a", "low_confidence")


def frame(
    decisions: list[Decision], *, track_ids: list[int] | None = None, area_um2: float | None = None
) -> CountedFrame:
    image = np.zeros((4, 4), np.uint8)
    return CountedFrame(
        Frame(image, "x.png", 0, 0),
        "",
        [],
        image[None],
        np.zeros((len(decisions), 2), np.float32),
        decisions,
        laid_out=None if area_um2 is None else LaidOut(1, area_um2),
        track_ids=None if track_ids is None else np.array(track_ids, np.int64),
    )


def test_rejected_cells_and_other_labels_are_left_out() -> None:
    fields = PerField(("a",))
    fields.add(frame([A, B, OTHER, A]), np.array([True, True, True, False]))
    fields.add(frame([]), np.zeros(0, bool))
    found = fields.counts({}, set())
    assert found.cells["a"].tolist() == [2, 0]
    assert found.inside["a"].tolist() == [1, 0]
    assert found.areas.tolist() == [1, 1]


def test_tracked_cells_belong_to_the_field_that_shows_them_first() -> None:
    fields = PerField(("a", "b"))
    for track_ids in ([0, 1], [], [1, 2, 3], [0, 3]):
        fields.add(frame([A] * len(track_ids), track_ids=track_ids), None)
    found = fields.counts({0: A, 1: B, 2: A, 3: OTHER}, {2})
    assert found.cells["a"].tolist() == [1, 0, 1, 0]
    assert found.cells["b"].tolist() == [1, 0, 0, 0]
    assert found.inside["a"].tolist() == [0, 0, 1, 0]


def test_new_parts_of_a_scan_are_joined_until_they_are_half_a_field() -> None:
    fields = PerField(("a",))
    areas, decided = [100.0, 130.0, 160.0, 160.0, 260.0, 270.0], {}
    for number, area in enumerate(areas):
        fields.add(frame([A], track_ids=[number], area_um2=area), None)
        decided[number] = A
    found = fields.counts(decided, set(decided))
    assert found.areas.tolist() == [100, 60, 110]
    assert found.cells["a"].tolist() == [1, 2, 3]
    assert found.areas.sum() == pytest.approx(areas[-1])


def test_of_no_frame_there_is_no_field() -> None:
    found = PerField(("a",)).counts({}, set())
    assert found.of_concentrations("all")["all"].ratio == found.of_shares()["a"].ratio == 1
