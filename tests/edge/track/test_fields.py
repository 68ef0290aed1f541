"""A field that is shown again is recognised, however its frame was saved; other fields never are."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.repeats import COPIES, Image, is_repeat, known_by
from edge.base.frame import Frame
from edge.capture.frames import read_frames
from edge.find.fingerprint import Fingerprint
from edge.find.quality import Quality, measure_quality
from edge.simulate.frame import simulate_frame
from edge.simulate.motion import Scan, moving_frames
from edge.simulate.scene import Scene
from edge.track import fields as fields_module
from edge.track.constellations import Constellations, SeenAgain
from edge.track.fields import Fields, Repeat
from edge.track.overlap import shared_cells

DATA = Path(__file__).parents[4] / "shared" / "data"
PIXEL_UM = 0.125
SCENES = {
    "usual": Scene(width_px=1000, height_px=800, leukocytes=12, erythrocytes=5, debris=3),
    "sparse": Scene(width_px=1000, height_px=800, leukocytes=1.5, erythrocytes=0, debris=0),
    "dense": Scene(width_px=1000, height_px=800, leukocytes=60, erythrocytes=20, debris=5),
}


@cache
def field(scene: str, number: int) -> Image:
    return simulate_frame(8, number, scene=SCENES[scene]).image


@cache
def shown(scene: str, number: int) -> Fingerprint:
    return known_by(field(scene, number), PIXEL_UM)


@pytest.mark.parametrize("copy", COPIES)
@pytest.mark.parametrize("scene", SCENES)
def test_a_copy_is_a_repeat(scene: str, copy: str) -> None:
    for number in range(2):
        if len(shown(scene, number).places):
            assert is_repeat(shown(scene, number), known_by(COPIES[copy](field(scene, number)), PIXEL_UM))


@pytest.mark.parametrize("scene", SCENES)
def test_another_field_is_no_repeat(scene: str) -> None:
    for before, now in combinations([shown(scene, number) for number in range(5)], 2):
        assert not is_repeat(before, now)
        assert shared_cells(before, now) == 0


def test_dust_that_all_fields_show_makes_no_repeat() -> None:
    """Sharp specks on the sensor, as strong as cells, in every frame."""
    rng = np.random.default_rng(3)
    dust = np.ones((800, 1000))
    for x, y in zip(rng.integers(50, 950, 6), rng.integers(50, 750, 6), strict=True):
        cv2.circle(dust, (int(x), int(y)), 12, (0.75,), -1)
        cv2.circle(dust, (int(x), int(y)), 40, (0.97,), 3)
    dusty = [known_by((field("sparse", k) * dust).astype(np.uint8), PIXEL_UM) for k in range(8)]
    with_cells = [one for k, one in enumerate(dusty) if len(shown("sparse", k).places)]
    assert len(with_cells) > 4
    assert not any(is_repeat(*pair) for pair in combinations(with_cells, 2))


def test_a_frame_without_cells_is_a_repeat_only_of_the_same_pixels() -> None:
    empty = Scene(width_px=820, height_px=616, leukocytes=0, erythrocytes=0, debris=0)
    first, second = (simulate_frame(2, k, scene=empty).image for k in range(2))
    assert is_repeat(known_by(first, PIXEL_UM), known_by(first.copy(), PIXEL_UM))
    assert not is_repeat(known_by(first, PIXEL_UM), known_by(second, PIXEL_UM))


def test_a_part_of_a_frame_is_no_repeat() -> None:
    image = field("usual", 0)
    assert not is_repeat(shown("usual", 0), known_by(image[:700].copy(), PIXEL_UM))


@pytest.mark.parametrize(
    ("how", "change"),
    [
        ("turned", lambda image: np.rot90(image)),
        ("turned", lambda image: np.rot90(image, 2)),
        ("turned", lambda image: np.rot90(image, 3)),
        ("mirrored", lambda image: image[:, ::-1]),
        ("mirrored and turned", lambda image: image[::-1]),
        ("mirrored and turned", lambda image: image.T),
        ("at another size", lambda image: resized(image, 1.4)),
        ("at another size", lambda image: resized(image, 0.7)),
        ("at another size", lambda image: resized(image, 0.5)),
        ("turned and at another size", lambda image: resized(np.rot90(image), 0.8)),
        ("turned", lambda image: COPIES["JPEG 60"](np.rot90(image))),
    ],
)
@pytest.mark.parametrize("tracked", [False, True])
def test_a_copy_that_was_turned_or_resized_is_a_repeat(
    how: str, change: Callable[[Image], Image], tracked: bool
) -> None:
    remembered = Fields()
    for number in range(8):
        remembered.add(str(number), shown("usual", number))
    for number in (0, 3):
        now = known_by(np.ascontiguousarray(change(field("usual", number))), PIXEL_UM)
        assert remembered.shown_before(now, tracked=tracked) == Repeat(str(number), how)


def resized(image: Image, factor: float) -> Image:
    way = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=way), np.uint8)


@pytest.mark.parametrize("scene", SCENES)
def test_another_field_of_another_size_is_no_repeat(scene: str) -> None:
    small = [known_by(resized(field(scene, number), 0.7), PIXEL_UM) for number in range(4)]
    for before, now in product(range(8), range(4)):
        assert before == now or not is_repeat(shown(scene, before), small[now])


def test_where_cells_are_tracked_an_overlap_is_no_repeat() -> None:
    remembered = Fields()
    remembered.add("0", shown("usual", 0))
    copy = known_by(COPIES["drift of 2 px"](field("usual", 0)), PIXEL_UM)
    assert remembered.shown_before(copy) == Repeat("0")
    assert remembered.shown_before(copy, tracked=True) is None


def test_a_fingerprint_survives_json() -> None:
    for before in (shown("usual", 0), shown("sparse", 1), known_by(np.zeros((400, 400), np.uint8), PIXEL_UM)):
        after = Fingerprint.from_facts(json.loads(json.dumps(before.facts())))
        assert (after.digest, after.size_um) == (before.digest, before.size_um)
        for name in ("texture", "grey", "squares", "places", "diameters", "patches"):
            assert np.array_equal(getattr(after, name), getattr(before, name))


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts["places"].extend([0, 0] * 200),
        lambda facts: facts["diameters"].extend([0] * 200),
        lambda facts: facts.update(places=[0, 0] * 200, diameters=[1] * 200),
        lambda facts: facts.update(places=facts["places"][:2]),
        lambda facts: facts.update(patches=""),
        lambda facts: facts.update(patches=base64.b64encode(bytes(64 * 1000)).decode()),
        lambda facts: facts.update(maps=[100, 100, base64.b64encode(bytes(20_000)).decode()]),
        lambda facts: facts.update(maps=[0, 0, ""]),
        lambda facts: facts.update(size_um=[0, 1]),
        lambda facts: facts.update(size_um=[1e300, 1e300]),
        lambda facts: facts["places"].__setitem__(0, 10**18),
    ],
)
def test_a_fingerprint_that_no_frame_leaves_is_refused(change: Callable[[dict[str, Any]], object]) -> None:
    facts = json.loads(json.dumps(shown("usual", 0).facts()))
    change(facts)
    with pytest.raises(ValueError, match="a fingerprint"):
        Fingerprint.from_facts(facts)


def test_maps_of_another_shape_are_another_field() -> None:
    before = shown("usual", 0)
    remembered = Fields()
    other = replace(before, digest="other", texture=before.texture[1:], grey=before.grey[1:])
    remembered.add("0", other)
    assert remembered.shown_before(before) is None


def test_the_fields_seen_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fields_module, "MEMORY", 3)
    remembered = Fields()
    for number in range(5):
        remembered.add(str(number), shown("usual", number))
    copies = [known_by(COPIES["JPEG 75"](field("usual", number)), PIXEL_UM) for number in range(5)]
    expected = [None, None, Repeat("2"), Repeat("3"), Repeat("4")]
    assert [remembered.shown_before(copy) for copy in copies] == expected
    assert [remembered.shown_before(shown("usual", number)) for number in range(5)] == expected


def test_neighbours_of_a_scan_share_cells_and_those_farther_off_none() -> None:
    scene = Scene(width_px=1000, height_px=800, leukocytes=14, erythrocytes=4, debris=0, separate=True)
    frames = list(moving_frames(5, Scan(4, 1, 0.4), scene=scene))
    prints = [known_by(one.image, PIXEL_UM) for one in frames]
    for (before, now), (first, second) in zip(pairwise(frames), pairwise(prints), strict=True):
        both = {t.particle for t in before.truth} & {t.particle for t in now.truth}
        assert 0.5 * len(both) <= shared_cells(first, second) <= len(both) + 1
    assert shared_cells(prints[0], prints[3]) == 0


@cache
def real(folder: str, pixel_um: float, most: int) -> list[Fingerprint]:
    if not DATA.is_dir():
        pytest.skip("needs ../shared/data")  # real images, which may not be committed
    files = sorted((DATA / folder).glob("*.[jp]*g"))[:most]
    return [known_by(frame.image, pixel_um) for frame in read_frames(files) if isinstance(frame, Frame)]


@pytest.mark.parametrize(
    ("folder", "pixel_um", "most"),
    [
        ("hemocytometer/frames", 0.0727, 70),
        ("hsc", 0.645, 13),
        ("hsc", 0.125, 13),
        ("beads", 0.5, 13),
        ("beads", 0.125, 13),
        ("pbc/lymphocyte", 0.1, 80),
        ("pbc/neutrophil", 0.1, 80),
    ],
)
def test_no_two_real_frames_are_a_repeat(folder: str, pixel_um: float, most: int) -> None:
    """Neighbouring frames of the hemocytometer overlap, the beads move, the stained cells are all centred."""
    assert not any(is_repeat(*pair) for pair in combinations(real(folder, pixel_um, most), 2))


def test_real_fields_that_overlap_share_cells() -> None:
    prints = real("hemocytometer/frames", 0.0727, 70)
    shared = sum(shared_cells(*pair) for pair in pairwise(prints))
    cells = sum(len(one.places) for one in prints[1:])
    assert 0.1 < shared / cells < 0.35


@pytest.mark.parametrize(("folder", "pixel_um"), [("hsc", 0.645), ("pbc/lymphocyte", 0.1)])
def test_real_fields_that_do_not_overlap_share_none(folder: str, pixel_um: float) -> None:
    prints = real(folder, pixel_um, 80)
    assert sum(shared_cells(*pair) for pair in pairwise(prints)) == 0


def seen(frames: Sequence[Fingerprint], joined: Sequence[int] = ()) -> SeenAgain:
    """Return what is seen again; `joined` are the frames all of whose cells a tracker knows."""
    constellations = Constellations()
    for k, one in enumerate(frames):
        n = len(one.places)
        constellations.add(one, cells=n, new=np.zeros(n, bool) if k in joined else None)
    return constellations.seen_again()


@pytest.mark.parametrize(
    ("folder", "pixel_um"), [("hsc", 0.645), ("hsc", 0.125), ("pbc/lymphocyte", 0.1), ("pbc/neutrophil", 0.1)]
)
def test_separate_real_fields_share_nothing(folder: str, pixel_um: float) -> None:
    assert seen(real(folder, pixel_um, 80)) == SeenAgain()


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the real frames")
def test_a_brighter_frame_is_not_called_sharper() -> None:
    """What is brighter saturates, and has hard edges."""
    path = min((DATA / "hemocytometer/frames").glob("*.[jp]*g"))
    first = next(one for one in read_frames([path]) if isinstance(one, Frame))
    noise = np.random.default_rng(1).normal(0, 4, first.image.shape)

    def quality(levels: NDArray[np.float64]) -> Quality:
        again = replace(first, image=np.clip(np.rint(levels), 0, 255).astype(np.uint8))
        return measure_quality(again, [], pixel_um=0.0727)

    sharp = first.image.astype(np.float64)
    blurred = np.asarray(cv2.GaussianBlur(sharp, (0, 0), 7), np.float64)
    remembered = Fields()
    for name, levels in (("sharp", sharp), ("blurred", blurred)):
        remembered.add(name, known_by(levels.astype(np.uint8), 0.0727), quality(levels))
    for light in (1.0, 1.08, 1.3):
        assert not remembered.sharper_than("sharp", quality(sharp * light + 5 + noise))
    assert remembered.sharper_than("blurred", quality(sharp + noise))


def test_interleaved_real_rows_are_noticed() -> None:
    """Every third frame is a neighbour on the slide."""
    frames = real("hemocytometer/frames", 0.0727, 70)
    rows = [frames[k + row] for k in range(12) for row in (0, 20, 40)]
    in_order = seen(frames).cells / sum(len(one.places) for one in frames)
    found = seen(rows)
    assert found.turned == 0
    assert 0.08 < found.cells / sum(len(one.places) for one in rows) < 0.4
    assert 0.1 < in_order < 0.4
