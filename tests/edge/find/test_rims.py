"""Cells inside, outside and on a rim: of a bubble, a drop, a well or the field stop."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base.cell import Cell
from edge.find.segmentation import Segmentation, segment, segment_frame
from edge.simulate.frame import simulate_frame
from edge.simulate.scene import Scene

Grey = NDArray[np.float64]
HEIGHT, WIDTH, PIXEL_UM = 1232, 1640, 0.125
SEEDS = (3, 4, 5)
SCENE = Scene(width_px=WIDTH, height_px=HEIGHT, separate=True)
Y, X = np.mgrid[:HEIGHT, :WIDTH]
CLEARANCE_PX = 40
"""Smoothing and closing join what is nearer to a rim than this, 5 µm."""


def circle(x: float = 820, y: float = 616, across: float = 1, down: float = 1) -> Grey:
    """Distance of each pixel from a middle, in shares of an ellipse's axes."""
    return np.asarray(np.hypot((X - x) / across, (Y - y) / down))


def ring(distance: Grey, radius: float, width: float = 6, depth: float = 0.85) -> Grey:
    """Light that a rim lets through; of a negative depth it is bright."""
    return np.asarray(1 - depth * np.exp(-(((distance - radius) / width) ** 2)))


def gapped(distance: Grey, radius: float) -> Grey:
    return np.where(np.abs(np.arctan2(Y - 616, X - 820)) < 0.15, 1, ring(distance, radius))


MIDDLE = circle()
NESTED = ring(MIDDLE, 550) * ring(MIDDLE, 300)
TWO = ring(circle(250), 230) * ring(circle(1250), 300)
SQUARE = ring(np.maximum(np.abs(X - 820), np.abs(Y - 616)), 400)

RINGS: dict[str, tuple[Grey, int]] = {
    "thin": (ring(MIDDLE, 300, 2), 1),
    "as in the report": (ring(MIDDLE, 300), 1),
    "wide": (ring(MIDDLE, 590), 1),
    "thick": (ring(MIDDLE, 300, 15), 1),
    "bright": (ring(MIDDLE, 300, depth=-0.6), 1),
    "open by a gap": (gapped(MIDDLE, 400), 1),
    "across the frame's edge": (ring(circle(820, 100), 400), 1),
    "two": (TWO, 2),
    "nested": (NESTED, 2),
    "drop": (ring(circle(820, 616, 1.5, 1), 350), 1),
    "square well, which looks like a chamber's grid": (SQUARE, 0),
}
STOPS: dict[str, Callable[[Grey], Grey]] = {
    "round": lambda grey: np.where(MIDDLE < 590, grey, 8),
    "black": lambda grey: np.where(MIDDLE < 590, grey, 0),
    "grey": lambda grey: np.where(MIDDLE < 590, grey, 0.05 * grey),
    "elliptical": lambda grey: np.where(circle(820, 616, 700, 500) < 1, grey, 8),
    "half of the frame": lambda grey: np.where(X < 820, grey, 8),
}


@pytest.fixture(scope="module")
def frames() -> list[tuple[Grey, list[Cell]]]:
    """Frames without a rim, with their cells."""
    images = [simulate_frame(seed, 0, scene=SCENE).image for seed in SEEDS]
    return [(image.astype(float), segment(image, pixel_um=PIXEL_UM)) for image in images]


def found_in(grey: Grey) -> Segmentation:
    return segment_frame(np.clip(np.rint(grey), 0, 255).astype(np.uint8), pixel_um=PIXEL_UM)


def clear_of(cell: Cell, hidden: NDArray[np.bool_]) -> bool:
    """Whether nothing hidden lies near a cell."""
    x, y = max(0, cell.x - CLEARANCE_PX), max(0, cell.y - CLEARANCE_PX)
    near = hidden[y : cell.y + cell.height + CLEARANCE_PX, x : cell.x + cell.width + CLEARANCE_PX]
    return not near.any()


def is_at(cell: Cell, cells: list[Cell], px: int = 16) -> bool:
    middle = cell.x + cell.width / 2, cell.y + cell.height / 2
    return any(
        abs(middle[0] - other.x - other.width / 2) < px and abs(middle[1] - other.y - other.height / 2) < px
        for other in cells
    )


@pytest.mark.parametrize("name", RINGS)
def test_cells_inside_and_outside_a_rim_are_found(frames: list[tuple[Grey, list[Cell]]], name: str) -> None:
    light, outlines = RINGS[name]
    rim = np.abs(light - 1) > 0.2
    for grey, cells in frames:
        found = found_in(grey * light)
        clear = [cell for cell in cells if clear_of(cell, rim)]
        assert len(clear) > 10
        missed = [cell for cell in clear if not is_at(cell, found.cells)]
        assert len(missed) <= 1
        # a piece of the rim may pass for a cell, and what is on it may show in another box
        assert len([cell for cell in found.cells if not is_at(cell, cells, 60)]) <= 3
        assert found.lost.get("outline", 0) == outlines
        assert found.hidden_share <= 2.5 * rim.mean() + 0.01


@pytest.mark.parametrize("name", STOPS)
def test_a_field_stop_hides_what_it_covers_and_nothing_else(
    frames: list[tuple[Grey, list[Cell]]], name: str
) -> None:
    dark = STOPS[name](np.full((HEIGHT, WIDTH), 160.0)) < 100
    for grey, cells in frames:
        found = found_in(STOPS[name](grey))
        clear = [cell for cell in cells if clear_of(cell, dark)]
        assert len(clear) > 5
        assert len([cell for cell in clear if not is_at(cell, found.cells)]) <= 1
        in_the_dark = [c for c in found.cells if dark[c.y : c.y + c.height, c.x : c.x + c.width].mean() > 0.7]
        assert not in_the_dark
        # the rim is hidden too, and at most as wide as half a cell
        assert dark.mean() - 0.01 <= found.hidden_share <= dark.mean() + 0.05


def test_a_bubble_without_a_cell_in_it_hides_none_beside_it(frames: list[tuple[Grey, list[Cell]]]) -> None:
    for grey, cells in frames:
        found = found_in(np.where(MIDDLE < 250, 235, grey * ring(MIDDLE, 255)))
        clear = [cell for cell in cells if clear_of(cell, MIDDLE < 270)]
        assert len([cell for cell in clear if not is_at(cell, found.cells)]) <= 1
        middles = [(c.x + c.width / 2 - 820, c.y + c.height / 2 - 616) for c in found.cells]
        assert min(np.hypot(x, y) for x, y in middles) > 150


def test_without_a_rim_nothing_is_hidden(frames: list[tuple[Grey, list[Cell]]]) -> None:
    for grey, cells in frames:
        found = found_in(grey)
        assert found.cells == cells
        assert found.hidden_share == 0
        assert "outline" not in found.lost
    dense = simulate_frame(3, 0, scene=replace(SCENE, leukocytes=150, erythrocytes=100, separate=False)).image
    assert segment_frame(dense, pixel_um=PIXEL_UM).hidden_share <= 0.05
