"""Fields that overlap are noticed in any order and orientation; separate fields never are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import cv2
import numpy as np
import pytest

from benchmarks.repeats import Image, known_by
from edge.find.fingerprint import Fingerprint
from edge.simulate.frame import simulate_frame
from edge.simulate.scene import Scene
from edge.track import constellations as module
from edge.track.constellations import Constellations, SeenAgain
from tests.edge.track.test_fields import PIXEL_UM, seen

SCENE = Scene(width_px=1200, height_px=900, leukocytes=14, erythrocytes=4, debris=0, separate=True)
FIELDS = 4


@cache
def field(number: int) -> Image:
    return simulate_frame(6, number, scene=SCENE).image


@cache
def view(number: int, left: int, top: int, width: int = 1000, height: int = 750) -> Fingerprint:
    return known_by(field(number)[top : top + height, left : left + width].copy(), PIXEL_UM)


def test_passes_over_the_same_fields_are_noticed() -> None:
    """No two neighbouring frames overlap; the second and third pass show little that is new."""
    passes = [(0, 0), (90, 40), (30, 120)]
    frames = [view(number, *place) for place in passes for number in range(FIELDS)]
    again = sum(len(one.places) for one in frames[FIELDS:])
    found = seen(frames)
    assert 0.7 * again < found.cells <= again
    assert found.turned == 0


@pytest.mark.parametrize(
    "turn",
    [lambda image: np.rot90(image), lambda image: np.rot90(image, 2), lambda image: image[:, ::-1]],
)
def test_overlapping_fields_that_are_turned_are_noticed(turn: Callable[[Image], Image]) -> None:
    frames = [view(number, 0, 0) for number in range(FIELDS)]
    other = known_by(np.ascontiguousarray(turn(field(2)[100:, 150:])), PIXEL_UM)
    found = seen([*frames, other])
    assert found.turned == 1
    assert 0.4 * len(other.places) < found.cells <= len(other.places)


def test_cells_that_a_tracker_joined_are_not_counted_again() -> None:
    frames = [view(number, 0, 0) for number in range(FIELDS)]
    other = view(2, 150, 100)
    every = seen([*frames, other]).cells
    assert every > 5
    assert seen([*frames, other], joined=[FIELDS]) == SeenAgain()
    # the tracker knows some of them
    constellations = Constellations()
    for one in frames:
        constellations.add(one, cells=len(one.places))
    new = np.arange(len(other.places)) % 2 == 0
    constellations.add(other, cells=len(new), new=new)
    found = constellations.seen_again()
    assert 0 < found.cells < min(every, new.sum() + 1)
    assert found.turned == 0


def test_a_field_that_drifts_is_not_called_turned() -> None:
    """Three cells in a row lie alike in a mirror."""
    frames = [view(0, 5 * k, 3 * k) for k in range(8)]
    assert seen(frames).turned == 0
    assert seen(frames, joined=range(1, 8)) == SeenAgain()


@pytest.mark.parametrize("degrees", [2, 5, 8, 30])
def test_a_field_that_turned_a_little_is_noticed(degrees: float) -> None:
    """Its other cells are known from the frame before."""
    first = [view(number, 0, 0) for number in range(FIELDS)]
    matrix = cv2.getRotationMatrix2D((500, 400), degrees, 1)
    turned = cv2.warpAffine(field(2), matrix, (1200, 900), borderMode=cv2.BORDER_REFLECT).astype(np.uint8)
    other = known_by(turned[100:850, 100:1100].copy(), PIXEL_UM)
    found = seen([*first, other])
    assert 0.5 * len(other.places) < found.cells <= len(other.places)
    assert found.turned == (degrees > 10)


def test_parts_of_frames_are_noticed() -> None:
    frames = [view(number, 0, 0) for number in range(FIELDS)]
    parts = [view(1, 0, 0, 500), view(2, 500, 0, 500)]
    found = seen([*frames, *parts])
    assert 0.6 * sum(len(one.places) for one in parts) < found.cells


@pytest.mark.parametrize("scene", [SCENE, Scene(leukocytes=40, erythrocytes=10, width_px=700, height_px=600)])
def test_separate_fields_share_nothing(scene: Scene) -> None:
    frames = [known_by(simulate_frame(21, k, scene=scene).image, PIXEL_UM) for k in range(5)]
    assert seen(frames) == SeenAgain()


def test_dust_on_the_camera_is_no_overlap() -> None:
    """The same bodies at the same places of every frame, among others that change."""
    frames = [view(number, 0, 0) for number in range(FIELDS)]
    dust = frames[0]
    dusty = [
        replace(
            one,
            places=np.concatenate([dust.places[:5], one.places]),
            diameters=np.concatenate([dust.diameters[:5], one.diameters]),
            patches=np.concatenate([dust.patches[:5], one.patches]),
        )
        for one in frames[1:]
    ]
    assert seen(dusty) == SeenAgain()


def test_only_the_newest_cells_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = [view(0, 0, 0), view(1, 0, 0), view(2, 0, 0), view(0, 90, 40)]
    assert seen(frames).cells > 5
    monkeypatch.setattr(module, "MEMORY", 30)
    assert seen(frames) == SeenAgain()


def test_what_is_known_of_forgotten_frames_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MEMORY", 1)
    constellations = Constellations()
    for number in range(FIELDS):
        constellations.add(view(number, 0, 0), cells=9, shared=2)
    assert constellations.seen_again() == SeenAgain(2 * FIELDS, repetition=9 / 7)


def test_frames_without_cells_are_no_matter() -> None:
    empty = known_by(np.full((400, 400), 128, np.uint8), PIXEL_UM)
    assert seen([]) == seen([empty]) == seen([empty, empty, view(0, 0, 0)]) == SeenAgain()
