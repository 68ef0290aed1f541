"""The phantom: optics that obey optics, truth that agrees with the picture, files that can be made again."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.simulate.cells import DRAWS, debris, erythrocyte, leukocyte
from edge.simulate.frame import simulate_frame
from edge.simulate.leukocytes import LEUKOCYTES
from edge.simulate.optics import Optics, image, source_points
from edge.simulate.particle import SLAB_DEPTHS_UM
from edge.simulate.scene import Scene
from edge.simulate.write import simulate

OPTICS = Optics()
SMALL = Scene(width_px=480, height_px=360, leukocytes=4, erythrocytes=2, debris=2)
EQUAL = tuple((model.label, 1.0) for model in LEUKOCYTES)


def disc(radius_px: float, size: int = 128) -> NDArray[np.float32]:
    """A smooth-edged disc of height 1, as a stack of one slab."""
    y, x = np.mgrid[:size, :size] - size / 2
    edge = np.clip(radius_px - np.hypot(x, y) + 0.5, 0, 1).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(edge, (0, 0), 2), np.float32)[None]


def contrast(phase: NDArray[np.float32], focus_um: float, optics: Optics = OPTICS) -> NDArray[np.float32]:
    return image(phase, np.zeros_like(phase), [0.0], focus_um, optics) - 1


# --- optics


@pytest.mark.parametrize("focus_um", [0.0, 3.0])
def test_a_clear_field_has_intensity_one(focus_um: float) -> None:
    clear = np.zeros((2, 90, 120), np.float32)
    np.testing.assert_allclose(image(clear, clear, [0.0, 2.0], focus_um, OPTICS), 1, atol=1e-5)


def test_a_weak_phase_object_is_invisible_in_focus_and_reverses_through_it() -> None:
    phase = 0.05 * disc(20)
    focused, above, below = (contrast(phase, z) for z in (0.0, 2.0, -2.0))
    assert np.abs(focused).max() < 0.2 * np.abs(above).max()
    np.testing.assert_allclose(above, -below, atol=0.25 * float(np.abs(above).max()))
    assert np.corrcoef(above.ravel(), below.ravel())[0, 1] < -0.9


def test_a_focusing_cell_is_bright_above_its_middle() -> None:
    y, x = np.mgrid[:128, :128] - 64.0
    lens = 1.5 * np.maximum(1 - (x**2 + y**2) / 30**2, 0).astype(np.float32)[None]
    assert contrast(lens, 3.0)[54:74, 54:74].mean() > 0.02
    assert contrast(lens, -3.0)[54:74, 54:74].mean() < -0.02


@settings(max_examples=20, deadline=None)
@given(strength=st.floats(0.01, 0.3), focus_um=st.floats(-3, 3))
def test_light_is_conserved(strength: float, focus_um: float) -> None:
    """A smooth phase object scatters within the objective's aperture: nothing is lost, nothing won."""
    intensity = contrast(strength * disc(20), focus_um)
    assert intensity.min() > -1
    assert abs(float(intensity.mean())) < 2e-4


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), focus_um=st.floats(-5, 10))
def test_a_passive_sample_never_adds_light(seed: int, focus_um: float) -> None:
    rng = np.random.default_rng(seed)
    phase = rng.uniform(-3, 3, (1, 72, 96)).astype(np.float32)
    loss = rng.uniform(0, 0.3, (1, 72, 96)).astype(np.float32)
    intensity = image(phase, loss, [1.0], focus_um, OPTICS)
    assert intensity.min() >= -1e-4
    assert intensity.mean() <= np.exp(-2 * loss).mean() + 1e-4


def test_absorption_follows_beer_lambert() -> None:
    uniform = np.full((1, 64, 64), 0.1, np.float32)
    np.testing.assert_allclose(image(0 * uniform, uniform, [0.0], 1.0, OPTICS), np.exp(-0.2), rtol=1e-4)


def test_slabs_at_one_height_are_one_slab() -> None:
    parts = np.concatenate([0.6 * disc(20), 0.9 * disc(12), -0.2 * disc(30)])
    together = parts.sum(axis=0, keepdims=True)
    many = image(parts, np.zeros_like(parts), [2.0] * 3, 4.0, OPTICS)
    one = image(together, np.zeros_like(together), [2.0], 4.0, OPTICS)
    np.testing.assert_allclose(many, one, atol=1e-4)


def test_the_image_moves_with_the_object() -> None:
    phase = np.float32(0.8) * disc(15)
    moved = contrast(np.roll(phase, (9, -17), axis=(1, 2)), 2.0)
    np.testing.assert_allclose(moved, np.roll(contrast(phase, 2.0), (9, -17), axis=(0, 1)), atol=1e-4)


def test_source_points_weigh_the_aperture_evenly() -> None:
    points = source_points(OPTICS)
    assert len(points) == 19
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-12)
    aperture = OPTICS.condenser_na / OPTICS.wavelength_um
    assert (points**2).sum(axis=1).mean() == pytest.approx(aperture**2 / 2, rel=0.06)
    assert np.hypot(*points.T).max() < aperture


@pytest.mark.parametrize(
    "wrong", [{"condenser_na": 0.7}, {"objective_na": 1.4}, {"pixel_um": 0.5}, {"wavelength_um": 0}]
)
def test_impossible_microscopes_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"apertures|positive|undersamples"):
        Optics(**wrong)  # type: ignore[arg-type]


# --- cells


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_particles_are_whole_and_inside_their_patch(seed: int) -> None:
    rng = np.random.default_rng(seed)
    particles = [leukocyte(model, rng, 0.125, 1.335) for model in LEUKOCYTES]
    particles += [erythrocyte(rng, 0.125, 1.335), debris(rng, 0.125, 1.335)]
    assert [p.label for p in particles] == list(DRAWS)
    for particle in particles:
        outer = particle.footprint.copy()
        outer[1:-1, 1:-1] = False
        assert not outer.any()
        assert particle.path_um.shape == (len(SLAB_DEPTHS_UM), *particle.footprint.shape)
        assert np.isfinite(particle.path_um).all()
        count, _ = cv2.connectedComponents(particle.footprint.astype(np.uint8))
        assert count == 2 or particle.label == "debris"
        assert not particle.nucleus_um[:, ~particle.footprint].any()
    for particle in particles[:3]:
        assert particle.nucleus_um.any()
        # delay of a leukocyte: 8–10 µm of cell about 0.025 above the medium
        assert 0.08 < particle.path_um.sum(axis=0)[particle.footprint].mean() < 0.3


def test_nuclei_have_the_volumes_of_the_literature() -> None:
    """Most of a lymphocyte, about a fifth of a granulocyte; a monocyte's is in between."""
    rng = np.random.default_rng(0)
    share = []
    for model in LEUKOCYTES:
        cells = [leukocyte(model, rng, 0.125, 1.335) for _ in range(40)]
        radius = [np.sqrt(c.footprint.sum() / np.pi) * 0.125 for c in cells]
        volume = [c.nucleus_um.sum() * 0.125**2 for c in cells]
        share.append(np.mean([v / (4 / 3 * np.pi * 0.9 * r**3) for v, r in zip(volume, radius, strict=True)]))
    granulocyte, lymphocyte, monocyte = share
    assert 0.15 < granulocyte < 0.28
    assert granulocyte < monocyte < 0.45
    assert 0.45 < lymphocyte < 0.75


def test_area_alone_does_not_separate_the_classes() -> None:
    """The best rule on true areas, fitted on one half and scored on the other, stays under 80 %."""
    rng = np.random.default_rng(1)
    area = np.array(
        [[leukocyte(model, rng, 0.25, 1.335).footprint.sum() for _ in range(240)] for model in LEUKOCYTES],
        float,
    )
    seen, held_out = area[:, :120], area[:, 120:]
    edges = np.quantile(seen, np.linspace(0, 1, 13)[1:-1])
    votes = np.array([np.bincount(np.digitize(row, edges), minlength=12) for row in seen])
    accuracy = np.mean([votes.argmax(axis=0)[np.digitize(row, edges)] == k for k, row in enumerate(held_out)])
    assert 0.5 < accuracy < 0.8


def test_granules_make_granulocytes_grainier() -> None:
    scene = Scene(mix=EQUAL, leukocytes=25, erythrocytes=0, debris=0, separate=True, focus_um=(6.6, 0.0))
    frame = simulate_frame(3, scene=scene)
    fine = frame.image - cv2.GaussianBlur(frame.image.astype(np.float32), (0, 0), 1.5)
    grain: dict[str, list[float]] = {label: [] for label in DRAWS}
    for number, particle in enumerate(frame.truth, 1):
        inside = cv2.erode((frame.labels == number).astype(np.uint8), np.ones((29, 29), np.uint8)) > 0
        if not particle.cell.border:
            grain[particle.label].append(float(fine[inside].std()))
    granulocyte, lymphocyte, monocyte = (float(np.median(grain[model.label])) for model in LEUKOCYTES)
    assert granulocyte > 1.3 * max(lymphocyte, monocyte)


# --- frames


def test_the_same_seed_gives_the_same_frame_and_another_does_not() -> None:
    one, again = (simulate_frame(7, 2, scene=SMALL) for _ in range(2))
    assert one.truth == again.truth
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.labels, again.labels)
    assert (simulate_frame(8, 2, scene=SMALL).image != one.image).any()


def test_the_fluorescence_changes_nothing_else_and_shows_the_nuclei() -> None:
    plain, paired = (simulate_frame(7, scene=SMALL, fluorescence=flag) for flag in (False, True))
    np.testing.assert_array_equal(plain.image, paired.image)
    assert plain.fluorescence is None
    assert paired.fluorescence is not None
    kind = np.array(["", *(t.label for t in paired.truth)])[paired.labels]
    stained = np.isin(kind, [model.label for model in LEUKOCYTES])
    dark = paired.fluorescence[~stained & (cv2.dilate(stained.astype(np.uint8), np.ones((15, 15))) == 0)]
    assert paired.fluorescence[stained].mean() > 10 * dark.mean()


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 10**6), separate=st.booleans())
def test_boxes_hold_their_masks(seed: int, separate: bool) -> None:
    scene = Scene(width_px=640, height_px=480, leukocytes=6, erythrocytes=3, debris=2, separate=separate)
    frame = simulate_frame(seed, scene=scene)
    assert set(np.unique(frame.labels)) <= set(range(len(frame.truth) + 1))
    for number, cell in enumerate((particle.cell for particle in frame.truth), 1):
        right, bottom = cell.x + cell.width, cell.y + cell.height
        assert 0 <= cell.x < right <= 640
        assert 0 <= cell.y < bottom <= 480
        rows, columns = np.nonzero(frame.labels == number)
        assert 0 < len(rows) <= cell.area_px <= cell.width * cell.height
        assert cell.x <= columns.min() <= columns.max() < right
        assert cell.y <= rows.min() <= rows.max() < bottom
        # a ring of 0.6 µm is in the box, and no more
        if not (cell.border or cell.touching):
            assert columns.min() - cell.x == 5
            assert bottom - 1 - rows.max() == 5
        assert not (separate and cell.touching)


def test_close_boxes_are_marked_as_touching() -> None:
    frame = simulate_frame(0, scene=Scene(width_px=640, height_px=480, leukocytes=12, erythrocytes=8))
    cells = [particle.cell for particle in frame.truth]
    for cell in cells:
        meets = [
            other
            for other in cells
            if other is not cell
            and max(cell.x, other.x) < min(cell.x + cell.width, other.x + other.width)
            and max(cell.y, other.y) < min(cell.y + cell.height, other.y + other.height)
        ]
        assert cell.touching or not meets
        assert meets or not cell.touching or cell.border  # the meeting may lie outside the frame


def test_a_blank_scene_is_flat_to_the_noise() -> None:
    blank = Scene(
        width_px=400, height_px=300, leukocytes=0, erythrocytes=0, debris=0, dust=0, falloff=0, read_noise_e=5
    )
    grey = simulate_frame(1, scene=blank).image.astype(float)
    assert grey.mean() == pytest.approx(165, rel=0.05)
    gain = 255 / blank.full_well_e
    expected = gain * np.sqrt(grey.mean() / gain + blank.read_noise_e**2)
    assert grey.std() == pytest.approx(np.hypot(expected, 1 / np.sqrt(12)), rel=0.03)
    assert cv2.GaussianBlur(grey, (0, 0), 8)[40:-40, 40:-40].std() < 0.2


def test_dust_stays_where_it_is_from_frame_to_frame() -> None:
    empty = Scene(width_px=400, height_px=300, leukocytes=0, erythrocytes=0, debris=0)
    first, second = (
        cv2.GaussianBlur(simulate_frame(5, index, scene=empty).image.astype(np.float32), (0, 0), 5)
        for index in (0, 1)
    )
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.98


def test_the_mix_and_the_numbers_are_kept_on_average() -> None:
    scene = Scene(
        width_px=700,
        height_px=700,
        leukocytes=12,
        erythrocytes=0,
        debris=0,
        mix=(("monocyte", 3), ("lymphocyte", 1)),
    )
    labels = [cell.label for index in range(5) for cell in simulate_frame(2, index, scene=scene).truth]
    assert set(labels) == {"monocyte", "lymphocyte"}
    assert 60 - 3 * 60**0.5 < len(labels) < 60 + 3 * 60**0.5
    assert 0.6 < labels.count("monocyte") / len(labels) < 0.9


def test_too_many_cells_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        simulate_frame(0, scene=Scene(width_px=128, height_px=128, leukocytes=50))


@pytest.mark.parametrize(
    "mix",
    [(("basophil", 1.0),), (("monocyte", -1.0),), (("monocyte", 0.0),), (("monocyte", float("nan")),), ()],
)
def test_impossible_mixes_are_refused(mix: tuple[tuple[str, float], ...]) -> None:
    with pytest.raises(ValueError, match=r"unknown leukocyte class|at least 0|all be 0"):
        Scene(mix=mix)


# --- files


def test_a_written_sample_is_complete_and_repeatable(tmp_path: Path) -> None:
    short = list(simulate(tmp_path / "short", frames=1, seed=9, scene=SMALL, fluorescence=True))
    longer = list(simulate(tmp_path / "longer", frames=3, seed=9, scene=SMALL))
    assert [path.name for path in longer] == ["frame_0001.png", "frame_0002.png", "frame_0003.png"]
    assert short[0].read_bytes() == longer[0].read_bytes()
    assert (tmp_path / "short" / "fluorescence" / "frame_0001.png").is_file()
    assert not (tmp_path / "longer" / "fluorescence").exists()

    with (tmp_path / "longer" / "truth.csv").open(newline="") as file:
        header = "frame,label,x,y,width,height,touching,border,pixel_um,xmin,ymin,xmax,ymax\n"
        assert file.readline() == header
        rows = list(csv.reader(file))
    for row in rows:
        x, y, width, height = map(int, row[2:6])
        assert list(map(int, row[9:])) == [x, y, x + width, y + height]
    for path in longer:
        shown = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        mask = cv2.imread(str(path.parent.parent / "masks" / path.name), cv2.IMREAD_UNCHANGED)
        assert shown.dtype == np.uint8
        assert mask.dtype == np.uint16
        assert shown.shape == mask.shape == (360, 480)
        boxes = [list(map(int, row[2:6])) for row in rows if row[0] == path.name]
        assert mask.max() == len(boxes)
        for number, (x, y, width, height) in enumerate(boxes, 1):
            inside = (mask[y : y + height, x : x + width] == number).sum()
            assert inside == (mask == number).sum() > 0

    parameters = json.loads((tmp_path / "longer" / "simulation.json").read_text())
    assert (parameters["seed"], parameters["frames"], parameters["pixel_um"]) == (9, 3, 0.125)
    assert parameters["scene"]["mix"] == {"granulocyte": 60, "lymphocyte": 30, "monocyte": 10}


def test_an_earlier_simulation_is_replaced_only_on_demand(tmp_path: Path) -> None:
    list(simulate(tmp_path, frames=2, scene=SMALL, fluorescence=True))
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match="--force"):
        simulate(tmp_path, frames=1, scene=SMALL)
    list(simulate(tmp_path, frames=1, scene=SMALL, force=True))
    assert [path.name for path in sorted(tmp_path.glob("*/*.png"))] == ["frame_0001.png", "frame_0001.png"]
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(FileExistsError, match="other files"):
        simulate(tmp_path, frames=1, force=True)
    with pytest.raises(FileExistsError, match="is a file"):
        simulate(tmp_path / "thesis.tex", frames=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
