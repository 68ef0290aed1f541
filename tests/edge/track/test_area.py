"""The area that the fields of a scan cover, against what the simulated stage did."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.find.segmentation import segment
from edge.simulate.motion import Scan, moving_frames
from edge.simulate.optics import Optics
from edge.simulate.scene import Scene
from edge.track import area
from edge.track.area import LaidOut, joined, no_windows, union_area
from edge.track.tracker import Tracker

PIXEL_UM = Optics().pixel_um
SCENE = Scene(width_px=820, height_px=616, leukocytes=16, erythrocytes=8, separate=False)
FRAME_UM2 = 820 * 616 * PIXEL_UM**2

corners = st.tuples(*(st.integers(0, 30) for _ in range(4)))


@settings(max_examples=50)
@given(st.lists(corners, max_size=12))
def test_overlapping_rectangles_count_once(rectangles: list[tuple[int, int, int, int]]) -> None:
    """Against pixels; a rectangle whose ends are in the wrong order is empty."""
    raster = np.zeros((30, 30), bool)
    for left, top, right, bottom in rectangles:
        raster[top:bottom, left:right] = True
    windows = np.array(rectangles, float).reshape(-1, 4)
    assert union_area(windows) == raster.sum()
    fields = no_windows()
    for window in windows[(windows[:, 2:] > windows[:, :2]).all(axis=1)]:
        fields = fields.with_field(0, window)
    assert fields.laid_out().area_um2 == pytest.approx(raster.sum())
    if len(fields):
        assert joined(fields, 0).laid_out().area_um2 == pytest.approx(raster.sum())


def test_a_chain_of_fields_takes_a_grid_of_neighbours_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = np.arange(20_000.0)
    grids: list[int] = []

    def zeros(shape: tuple[int, int], kind: type[bool]) -> NDArray[np.bool_]:
        grids.append(shape[0] * shape[1])
        return np.full(shape, False)

    monkeypatch.setattr("edge.track.area.np.zeros", zeros)
    assert union_area(np.stack([steps, steps, steps + 1.5, steps + 1.5], 1)) == pytest.approx(40_000.25)
    assert max(grids) <= area.MAX_GRID
    assert sum(grids) < 5e7 < (2 * len(steps)) ** 2 / 30


def laid_out(scan: Scan, seed: int = 5, scene: Scene = SCENE, order: tuple[int, ...] = ()) -> LaidOut:
    frames = [simulated.image for simulated in moving_frames(seed, scan, scene=scene)]
    tracker = Tracker("scan", pixel_um=PIXEL_UM)
    for k in order or range(len(frames)):
        again = Tracker("scan", pixel_um=PIXEL_UM)
        if tracker.laid_out() != LaidOut(0, 0.0):
            again.restore(tracker.state())  # as after a power cut
        again.update(frames[k], segment(frames[k], pixel_um=PIXEL_UM), k)
        tracker = again
    found = tracker.laid_out()
    assert found is not None
    return found


@pytest.mark.parametrize(("columns", "rows", "overlap"), [(3, 2, 0.3), (2, 3, 0.5), (4, 1, 0.2), (1, 1, 0.3)])
def test_the_area_is_that_which_the_stage_covered(columns: int, rows: int, overlap: float) -> None:
    scan = Scan(columns, rows, overlap, jitter_um=0)
    found = laid_out(scan)
    fields = (1 + (columns - 1) * (1 - overlap)) * (1 + (rows - 1) * (1 - overlap))
    assert found.islands == 1
    assert found.area_um2 / FRAME_UM2 == pytest.approx(fields, rel=0.01)


def test_islands_that_a_later_field_joins_count_their_overlap_once() -> None:
    """The first and the last column, then the one between them."""
    scan = Scan(3, 1, 0.3, jitter_um=0)
    apart = laid_out(scan, order=(0, 2))
    assert apart.islands == 2
    together = laid_out(scan, order=(0, 2, 1))
    assert together.islands == 1
    assert together.area_um2 / FRAME_UM2 == pytest.approx(1 + 2 * 0.7, rel=0.01)


def test_fields_without_a_common_cell_are_not_laid_out() -> None:
    sparse = replace(SCENE, leukocytes=0, erythrocytes=0, debris=0)
    assert laid_out(Scan(2, 1, 0.3, jitter_um=0), scene=sparse).islands == 2
    assert Tracker("flow", pixel_um=PIXEL_UM).laid_out() is None
