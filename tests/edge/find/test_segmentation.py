from __future__ import annotations

import tracemalloc
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.find import texture
from edge.find.reduction import reduced
from edge.find.segmentation import Gates, Segmentation, segment, segment_frame
from edge.simulate.frame import simulate_frame
from edge.simulate.optics import Optics
from edge.simulate.scene import Scene
from train.boxes import corners, match_boxes, read_boxes

Field = NDArray[np.float64]
HEMOCYTOMETER = Path(__file__).resolve().parents[3] / ".." / "shared" / "data" / "hemocytometer"
PIXEL_UM = 0.29
"""One pixel of the drawings; segmentation works at this size, so that nothing is reduced."""
RADIUS = 17.0


def blank(height: int = 300, width: int = 400) -> Field:
    return np.full((height, width), 1.0)


def draw_cell(field: Field, x: float, y: float, radius: float = RADIUS) -> None:
    """Bright body with a dark ring around it and some grain in it."""
    rows, columns = np.indices(field.shape)
    distance = np.hypot(columns - x, rows - y)
    body = 1 / (1 + np.exp(distance - (radius - 3)))
    ring = np.exp(-(((distance - (radius - 1.5)) / 1.5) ** 2))
    field += body * (0.12 + 0.08 * np.sin(columns * 0.9) * np.sin(rows * 0.8)) - 0.3 * ring


def draw_grid(field: Field, down: Sequence[float], across: Sequence[float], tilt: float) -> None:
    """Draw blurred bright lines, 15 px wide."""
    rows, columns = np.indices(field.shape)
    held_back = np.ones(field.shape)
    for offset in down:
        held_back *= 1 - line_profile(columns - offset - tilt * rows)
    for offset in across:
        held_back *= 1 - line_profile(rows - offset + tilt * columns)
    field += 0.55 * (1 - held_back)


def line_profile(distance: Field) -> Field:
    return np.asarray(np.clip((7.5 - np.abs(distance)) / 4 + 0.5, 0, 1), np.float64)


def expose(
    field: Field, *, level: float = 150, noise: float = 1.0, vignette: float = 0.0, seed: int = 0
) -> NDArray[np.uint8]:
    height, width = field.shape
    rows, columns = np.indices(field.shape)
    away = ((columns / width - 0.5) ** 2 + (rows / height - 0.5) ** 2) / 0.5
    grain = np.random.default_rng(seed).normal(0, noise, field.shape)
    image = np.clip(level * field * (1 - vignette * away) + grain, 0, 255).round()
    return np.asarray(image, np.uint8)


def discs(places: Sequence[tuple[float, float]], radius: float = RADIUS) -> NDArray[np.float64]:
    return np.array([[x - radius, y - radius, x + radius, y + radius] for x, y in places])


PLACES = [(60.0, 50.0), (200.0, 70.0), (310.0, 56.0), (80.0, 200.0), (260.0, 180.0), (340.0, 250.0)]


def scene(places: Sequence[tuple[float, float]] = PLACES) -> Field:
    field = blank()
    for x, y in places:
        draw_cell(field, x, y)
    return field


@pytest.mark.parametrize("vignette", [0.0, 0.4])
def test_cells_are_found_where_they_were_drawn(vignette: float) -> None:
    cells = segment(expose(scene(), vignette=vignette), pixel_um=PIXEL_UM)
    assert len(cells) == len(PLACES)
    assert len(match_boxes(corners(cells), discs(PLACES), 0.6)) == len(PLACES)
    assert not any(cell.border or cell.touching for cell in cells)
    assert [(cell.y, cell.x) for cell in cells] == sorted((cell.y, cell.x) for cell in cells)
    for cell in cells:
        assert 0.5 * cell.width * cell.height < cell.area_px <= cell.width * cell.height


@pytest.mark.parametrize("tilt", [0.0, 0.014, -0.01])
def test_cells_are_found_on_and_between_grid_lines(tilt: float) -> None:
    field = scene()
    draw_grid(field, [200], [40, 66, 92], tilt)
    cells = segment(expose(field), pixel_um=PIXEL_UM)
    assert len(match_boxes(corners(cells), discs(PLACES), 0.4)) == len(PLACES)
    assert len(cells) == len(PLACES)


@pytest.mark.parametrize("tilt", [0.0, 0.003, 0.006])
def test_a_bare_grid_holds_no_cells(tilt: float) -> None:
    field = blank()
    draw_grid(field, [110, 450, 476, 502], [130, 400, 426, 452], tilt)
    assert segment(expose(field), pixel_um=PIXEL_UM) == []


@pytest.mark.parametrize("angle", [0.0, 0.6, 1.3, 2.5])
@pytest.mark.parametrize("second", [11.0, RADIUS])
def test_touching_cells_are_split(angle: float, second: float) -> None:
    gap = RADIUS + second
    places = [(150.0, 150.0), (150.0 + gap * np.cos(angle), 150.0 + gap * np.sin(angle))]
    field = blank()
    for (x, y), radius in zip(places, (RADIUS, second), strict=True):
        draw_cell(field, x, y, radius)
    cells = segment(expose(field), pixel_um=PIXEL_UM, gates=Gates(min_diameter_um=5.0))
    assert len(cells) == 2
    assert all(cell.touching for cell in cells)
    truth = np.concatenate([discs(places[:1]), discs(places[1:], second)])
    assert len(match_boxes(corners(cells), truth, 0.5)) == 2


def test_an_oval_cell_is_not_split() -> None:
    field = blank()
    draw_cell(field, 150, 150)
    oval = cv2.resize(field, None, fx=1.6, fy=1.0)
    (cell,) = segment(expose(np.asarray(oval, np.float64)), pixel_um=PIXEL_UM)
    assert not cell.touching
    assert cell.width > 1.3 * cell.height


def test_cells_at_the_border_are_flagged_and_can_be_left_out() -> None:
    places = [(0.0, 60.0), (200.0, 299.0), (200.0, 150.0), (395.0, 200.0)]
    image = expose(scene(places))
    cells = segment(image, pixel_um=PIXEL_UM)
    assert [cell.border for cell in cells].count(True) == 3
    for cell in cells:
        assert 0 <= cell.x < cell.x + cell.width <= 400
        assert 0 <= cell.y < cell.y + cell.height <= 300
    assert segment(image, pixel_um=PIXEL_UM, gates=Gates(keep_border=False)) == [
        cell for cell in cells if not cell.border
    ]


def test_size_gates_are_in_micrometres() -> None:
    field = blank()
    draw_cell(field, 100, 100, radius=10)
    draw_cell(field, 250, 150, radius=30)
    image = expose(field)
    both = segment(image, pixel_um=PIXEL_UM, gates=Gates(min_diameter_um=4))
    assert [cell.width > 40 for cell in both] == [False, True]
    assert segment(image, pixel_um=PIXEL_UM, gates=Gates(min_diameter_um=10)) == both[1:]
    assert segment(image, pixel_um=PIXEL_UM, gates=Gates(min_diameter_um=4, max_diameter_um=10)) == both[:1]


@pytest.mark.parametrize("factor", [2, 4])
def test_a_finer_frame_of_the_same_field_holds_the_same_cells(factor: int) -> None:
    image = expose(scene(), noise=0.5)
    fine = np.kron(image, np.ones((factor, factor), np.uint8))
    coarse_cells = segment(image, pixel_um=PIXEL_UM)
    fine_cells = segment(fine, pixel_um=PIXEL_UM / factor)
    np.testing.assert_array_equal(corners(fine_cells), factor * corners(coarse_cells))
    assert [c.area_px for c in fine_cells] == [factor**2 * c.area_px for c in coarse_cells]


def test_boxes_reach_an_edge_that_the_reduction_leaves_out() -> None:
    image = np.kron(expose(scene([(399.0, 150.0), (200.0, 299.0)])), np.ones((4, 4), np.uint8))
    odd = cv2.copyMakeBorder(image, 0, 3, 0, 2, cv2.BORDER_REPLICATE)
    right, below = segment(np.asarray(odd, np.uint8), pixel_um=PIXEL_UM / 4)
    assert right.border
    assert right.x + right.width == odd.shape[1]
    assert below.border
    assert below.y + below.height == odd.shape[0]


@pytest.mark.parametrize("noise", [0.0, 0.5, 2.0, 10.0, 60.0])
@pytest.mark.parametrize("vignette", [0.0, 0.5])
def test_a_frame_without_cells_yields_none(noise: float, vignette: float) -> None:
    assert segment(expose(blank(600, 800), noise=noise, vignette=vignette), pixel_um=PIXEL_UM) == []


@pytest.mark.parametrize("shape", [(0, 0), (0, 7), (1, 1), (1, 500), (500, 1), (3, 3), (17, 900), (64, 64)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_constant_frames_of_any_shape_yield_none(shape: tuple[int, int], level: int) -> None:
    for pixel_um in (0.0727, PIXEL_UM, 2.0):
        assert segment(np.full(shape, level, np.uint8), pixel_um=pixel_um) == []


@pytest.mark.parametrize("shape", [(2, 2), (9, 300), (40, 40), (200, 300)])
def test_full_contrast_noise_does_no_harm(shape: tuple[int, int]) -> None:
    image = np.asarray(255 * (np.random.default_rng(1).random(shape) < 0.5), np.uint8)
    assert segment(image, pixel_um=PIXEL_UM) == []


def test_cells_that_fill_half_the_frame_are_found() -> None:
    places = [(x, y) for y in range(25, 300, 50) for x in range(25, 400, 50)]
    field = blank()
    for x, y in places:
        draw_cell(field, x, y)
    cells = segment(expose(field), pixel_um=PIXEL_UM)
    assert len(match_boxes(corners(cells), discs(places), 0.4)) >= 0.95 * len(places)


def test_cells_of_strong_contrast_do_not_hide_a_faint_one() -> None:
    field = 1 + 4 * (scene(PLACES[1:]) - 1)
    draw_cell(field, *PLACES[0])
    cells = segment(expose(field, level=80), pixel_um=PIXEL_UM)
    assert len(match_boxes(corners(cells), discs(PLACES), 0.4)) == len(PLACES)


def test_a_cell_of_full_contrast_is_one_cell() -> None:
    rows, columns = np.indices((300, 400))
    disc = np.hypot(columns - 200, rows - 150) < RADIUS
    image = np.asarray(255 * disc, np.uint8)
    (cell,) = segment(image, pixel_um=PIXEL_UM)
    assert match_boxes(corners([cell]), discs([(200, 150)]), 0.5)


@settings(max_examples=12, deadline=None)
@given(st.integers(-30, 30), st.integers(-25, 25))
def test_cells_move_with_the_field(right: int, down: int) -> None:
    places = [(120.0, 100.0), (250.0, 180.0)]
    still = segment(expose(scene(places)), pixel_um=PIXEL_UM)
    moved = segment(expose(scene([(x + right, y + down) for x, y in places])), pixel_um=PIXEL_UM)
    shift = np.array([right, down, right, down])
    assert len(match_boxes(corners(moved), corners(still) + shift, 0.8)) == len(still) == len(moved) == 2


@settings(max_examples=12, deadline=None)
@given(st.floats(0.4, 1.2))
def test_brightness_does_not_matter(gain: float) -> None:
    field = scene()
    usual = segment(expose(field, noise=1), pixel_um=PIXEL_UM)
    other = segment(expose(field, level=150 * gain, noise=gain), pixel_um=PIXEL_UM)
    assert len(match_boxes(corners(other), corners(usual), 0.8)) == len(usual) == len(other)


def test_the_same_frame_gives_the_same_cells_and_is_unchanged() -> None:
    image = expose(scene())
    image.flags.writeable = False
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = segment(image, pixel_um=PIXEL_UM)
        cv2.setNumThreads(4)
        assert segment(image, pixel_um=PIXEL_UM) == one
    finally:
        cv2.setNumThreads(threads)
    assert segment(np.asfortranarray(image), pixel_um=PIXEL_UM) == one


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9, 3), np.uint8), np.zeros((9, 9), np.uint16)], ids=["colour", "16 bit"]
)
def test_images_that_are_not_grey_are_refused(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match="grey uint8"):
        segment(image)


@pytest.mark.parametrize("pixel_um", [0.0, -1.0, float("nan"), float("inf")])
def test_invalid_pixel_sizes_are_refused(pixel_um: float) -> None:
    with pytest.raises(ValueError, match="pixel size"):
        segment(np.zeros((9, 9), np.uint8), pixel_um=pixel_um)


def test_invalid_limits_are_refused() -> None:
    image = np.zeros((9, 9), np.uint8)
    with pytest.raises(ValueError, match="diameters"):
        segment(image, gates=Gates(min_diameter_um=9, max_diameter_um=8))
    with pytest.raises(ValueError, match="contrast"):
        segment(image, min_contrast=0)


def test_boxes_are_paired_once_and_the_best_first() -> None:
    truth = np.array([[0, 0, 10, 10], [8, 0, 18, 10], [50, 50, 60, 60]], float)
    found = np.array([[7, 0, 17, 10], [1, 0, 11, 10], [0, 0, 10, 9], [52, 58, 70, 70]], float)
    assert match_boxes(found, truth, 0.3) == [(2, 0), (0, 1)]
    assert match_boxes(found, np.empty((0, 4)), 0.3) == []
    assert match_boxes(np.empty((0, 4)), truth, 0.3) == []


def test_pairs_of_many_boxes_take_little_memory() -> None:
    """5,000 boxes over each other with 300 found: all pairs at once would take 100 MB."""
    corner = np.array([(25 * (k % 20), 25 * (k // 20)) for k in range(300)], float)
    found = np.column_stack((corner, corner + 20))
    truth = np.concatenate((found[::-1] + 1, np.tile([900.0, 900, 909, 909], (4700, 1))))
    tracemalloc.start()
    pairs = match_boxes(found, truth, 0.8)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sorted(pairs) == [(k, 299 - k) for k in range(300)]
    assert peak < 5e6


def test_real_frames_with_grid_lines() -> None:
    if not HEMOCYTOMETER.is_dir():
        pytest.skip(f"needs the hemocytometer frames in {HEMOCYTOMETER}")
    truth = read_boxes(HEMOCYTOMETER / "boxes.csv")
    found = annotated = matched = 0
    for number in (349, 371, 420, 427, 465, 480):
        name = f"frame_{number:04}.jpg"
        image = cv2.imread(str(HEMOCYTOMETER / "frames" / name), cv2.IMREAD_GRAYSCALE)
        boxes = corners(box.cell for box in truth[name])
        cells = corners(segment(np.asarray(image, np.uint8)))
        found, annotated = found + len(cells), annotated + len(boxes)
        matched += len(match_boxes(cells, boxes, 0.3))
    assert annotated >= 40
    assert 2 * matched / (found + annotated) >= 0.85


def test_a_frame_that_is_already_reduced_gives_the_same_cells() -> None:
    image = simulate_frame(11).image
    pixel_um = Optics().pixel_um
    work, work_um = reduced(image, pixel_um)
    assert work_um == pytest.approx(pixel_um * image.shape[0] / work.shape[0], rel=0.01)
    cells = segment(image, pixel_um=pixel_um)
    assert cells == segment(image, pixel_um=pixel_um, work=work)
    assert cells


# ---- what is lost, and why -----------------------------------------------------------------------------


def test_a_frame_with_too_many_cells_is_left_early() -> None:
    image = simulate_frame(3, 0, scene=Scene(width_px=1232, height_px=924, separate=True)).image
    every = segment_frame(image, pixel_um=Optics().pixel_um)
    assert segment_frame(image, pixel_um=Optics().pixel_um, most=len(every.cells)) == every
    assert 3 < len(segment_frame(image, pixel_um=Optics().pixel_um, most=3).cells) < len(every.cells)


def test_each_body_that_is_no_cell_has_its_reason() -> None:
    """The same cells, looked for with gates that they do not pass."""
    image = simulate_frame(3, 0, scene=Scene(width_px=1232, height_px=924, separate=True)).image
    plain = segment_frame(image, pixel_um=Optics().pixel_um)
    inner = [cell for cell in plain.cells if not cell.border]
    assert len(inner) > 8
    for gates, reason, lost in (
        (Gates(min_diameter_um=30), "too_small", len(plain.cells)),
        (Gates(min_diameter_um=3, max_diameter_um=5), "too_large", len(inner)),
        (Gates(min_solidity=0.999), "not_round", len(inner)),
        (Gates(keep_border=False), "cut", len(plain.cells) - len(inner)),
    ):
        found = segment_frame(image, pixel_um=Optics().pixel_um, gates=gates)
        assert found.lost[reason] >= 0.8 * lost


def test_bodies_a_little_smaller_than_a_cell_have_a_reason_of_their_own() -> None:
    """At a pixel size that is too small a frame loses its cells just below the gate."""
    image = simulate_frame(3, 0, scene=Scene(width_px=1232, height_px=924, separate=True)).image
    pixel_um = Optics().pixel_um
    right, wrong = (segment_frame(image, pixel_um=share * pixel_um) for share in (1, 0.6))

    def below(found: Segmentation) -> int:
        return found.lost.get("just_below", 0) + found.lost.get("near_below", 0)

    assert below(right) <= 1
    assert below(wrong) >= 0.3 * len(right.cells)
    solid = segment_frame(image, pixel_um=0.6 * pixel_um, gates=Gates(min_solidity=0.999))
    assert solid.lost.get("just_below", 0) == 0


def test_of_a_frame_without_contrast_the_faint_bodies_are_counted() -> None:
    image = simulate_frame(3, 0, scene=Scene(width_px=1232, height_px=924, separate=True)).image
    faint = np.rint(159 + (image.astype(float) - 159) * 0.1).astype(np.uint8)
    found = segment_frame(faint, pixel_um=Optics().pixel_um)
    assert len(found.cells) <= 1
    if not found.cells:
        assert found.lost["too_faint"] > 5
    assert segment_frame(np.full((600, 800), 159, np.uint8), pixel_um=Optics().pixel_um).lost == {}


@pytest.mark.parametrize("rim", [False, True])
def test_a_frame_that_is_not_reduced_takes_few_bytes_per_pixel(rim: bool) -> None:
    image = np.random.default_rng(0).integers(120, 136, (2000, 2000), dtype=np.uint8)
    if rim:
        cv2.circle(image, (1000, 1000), 960, (30,), 12)
    tracemalloc.start()
    found = segment_frame(image, pixel_um=0.25)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert bool(found.lost.get("outline")) == rim
    assert peak < 13 * image.size


def test_outlines_inside_outlines_hide_the_frame_after_a_while() -> None:
    image = np.random.default_rng(0).integers(126, 130, (1500, 1500), dtype=np.uint8)
    for radius in range(20, 750, 32):
        cv2.circle(image, (750, 750), radius, (40,), 3)
        if radius == 84:
            assert segment_frame(image, pixel_um=0.25).hidden_share < 0.1
    found = segment_frame(image, pixel_um=0.25)
    assert (found.cells, found.hidden_share) == ([], 1.0)
    assert found.lost["outline"] > 5


def test_the_texture_of_a_frame_does_not_depend_on_the_bands(monkeypatch: pytest.MonkeyPatch) -> None:
    image = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (333, 90), dtype=np.uint8), (0, 0), 2)
    whole = texture.texture(np.asarray(image, np.uint8), 0.25)
    monkeypatch.setattr(texture, "BAND_PIXELS", 90 * 70)
    assert np.array_equal(texture.texture(np.asarray(image, np.uint8), 0.25), whole)
