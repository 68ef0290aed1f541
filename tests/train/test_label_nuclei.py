from __future__ import annotations

import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.base.cell import Cell
from edge.find.segmentation import HALO_UM
from train.label.nuclei import Nucleus, cell_diameter_um, find_nuclei, measure_nuclei, owners
from train.label.suggest import SUGGESTED, UNSURE, suggest

Frame = NDArray[np.uint8]
Balls = list[tuple[float, float, float]]
SIZE = 240
CELL_UM = 9.0


def cell_at(x: float, y: float, pixel_um: float, diameter_um: float = CELL_UM) -> Cell:
    """A cell as the segmentation would find it, halo included; its middle in µm."""
    side = diameter_um + 2 * HALO_UM
    px = round(side / pixel_um)
    left, top = round(x / pixel_um - px / 2), round(y / pixel_um - px / 2)
    return Cell(left, top, px, px, math.pi / 4 * (side / pixel_um) ** 2, border=False, touching=False)


def stain(balls: Balls, pixel_um: float = 0.125, *, haze: float = 0.0, seed: int = 0) -> Frame:
    """A frame of glowing balls (x, y, radius in µm) that may overlap, with photon noise."""
    side = round(SIZE * 0.125 / pixel_um)
    y, x = (np.indices((side, side)) + 0.5) * pixel_um
    light = np.zeros((side, side))
    for bx, by, radius in balls:
        light = np.maximum(light, 2 * np.sqrt(np.maximum(radius**2 - (x - bx) ** 2 - (y - by) ** 2, 0)))
    blurred = cv2.GaussianBlur(light, (0, 0), 0.2 / pixel_um)
    photons = 6 + 45 * blurred + haze * (x + y) / (x + y).max()
    counts = np.random.default_rng(seed).poisson(photons)
    return np.asarray(np.clip(counts * 0.5, 0, 255), np.uint8)


def nucleus_of(frame: Frame, pixel_um: float = 0.125) -> Nucleus | None:
    (nucleus,) = measure_nuclei(find_nuclei(frame, pixel_um), [cell_at(15, 15, pixel_um)], pixel_um)
    return nucleus


def kidney(opening: float = 100) -> Balls:
    angle = np.radians(np.linspace(-opening, opening, 9))
    return [(15 + 2.1 * math.cos(a), 15 + 2.1 * math.sin(a), 1.8) for a in angle]


LOBES: Balls = [(13.3, 13.5, 1.5), (15.4, 15.6, 1.6), (13.4, 17.6, 1.4)]
ROUND: Balls = [(15, 15, 3.7)]


@pytest.mark.parametrize("pixel_um", [0.0727, 0.125, 0.25])
@pytest.mark.parametrize(
    ("balls", "label"),
    [(LOBES, "granulocyte"), (LOBES[:2], "granulocyte"), (ROUND, "lymphocyte"), (kidney(), "monocyte")],
)
def test_the_papers_rules_on_drawn_nuclei(balls: Balls, label: str, pixel_um: float) -> None:
    assert suggest(nucleus_of(stain(balls, pixel_um), pixel_um)).label == label


def test_what_is_measured() -> None:
    disc = nucleus_of(stain([(15.5, 15, 3.0)]))
    assert disc is not None
    assert (disc.lobes, disc.dents) == (1, 0)
    assert disc.area_um2 == pytest.approx(math.pi * 9, rel=0.12)
    assert disc.area_ratio == pytest.approx(disc.area_um2 / (math.pi / 4 * CELL_UM**2), rel=0.03)
    assert disc.solidity > 0.97
    assert disc.roundness > 0.85
    assert disc.offset_um == pytest.approx(0.5, abs=0.1)
    assert disc.unevenness == pytest.approx(1.5, abs=0.12)
    bent = nucleus_of(stain(kidney()))
    assert bent is not None
    assert (bent.lobes, bent.dents) == (1, 1)
    assert bent.solidity < 0.96
    apart = nucleus_of(stain([(12.5, 15, 1.5), (17, 13, 1.5), (16.5, 17.5, 1.4)]))
    assert apart is not None
    assert apart.lobes == 3


def test_a_small_round_spot_is_a_monocytes_and_one_in_between_is_unsure() -> None:
    assert suggest(nucleus_of(stain([(15, 15, 2.6)]))).label == "monocyte"
    assert suggest(nucleus_of(stain([(15, 15, 3.06)]))).label == UNSURE
    # two overlapping lobes look like one spot, brighter in its middle
    light = np.maximum(stain([(15, 15, 2.6)]).astype(int) // 2 + stain([(15.3, 15, 1.2)]).astype(int), 0)
    above = suggest(nucleus_of(np.clip(light, 0, 255).astype(np.uint8)))
    assert above == (UNSURE, "one spot of uneven brightness: lobes may overlap")


@pytest.mark.parametrize("haze", [0.0, 60.0])
def test_haze_and_brightness_do_not_matter(haze: float) -> None:
    for factor in (0.3, 1.0):
        frame = (stain(LOBES, haze=haze) * factor).astype(np.uint8)
        assert suggest(nucleus_of(frame)).label == "granulocyte"


@settings(max_examples=25)
@given(
    seed=st.integers(0, 2**31),
    level=st.floats(0, 60),
    noise=st.floats(0, 12),
)
def test_noise_holds_no_nuclei(seed: int, level: float, noise: float) -> None:
    grain = np.random.default_rng(seed).normal(level, noise, (SIZE, SIZE))
    frame = np.clip(grain, 0, 255).astype(np.uint8)
    assert len(find_nuclei(frame, 0.125).centroids) == 0
    assert suggest(nucleus_of(frame)) == (UNSURE, "no nucleus")


def test_a_nucleus_belongs_to_the_cell_it_lies_in() -> None:
    frame = stain([(9, 15, 3.5)])
    found = find_nuclei(frame, 0.125)
    cells = [cell_at(9, 15, 0.125), cell_at(18.5, 15, 0.125), cell_at(9, 26, 0.125)]
    assert owners(found, cells).tolist() == [0]
    nuclei = measure_nuclei(found, cells, 0.125)
    assert [nucleus is not None for nucleus in nuclei] == [True, False, False]
    assert owners(found, []).tolist() == [-1]


def test_the_halo_is_no_part_of_a_cell() -> None:
    assert cell_diameter_um(cell_at(15, 15, 0.125), 0.125) == pytest.approx(CELL_UM)


def test_suggestions_are_the_papers_classes() -> None:
    assert SUGGESTED == ("granulocyte", "lymphocyte", "monocyte")
