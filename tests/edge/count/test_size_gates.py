"""What other size gates would count, estimated from one count."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.base.cell import Cell
from edge.base.frame import Frame
from edge.classify.decision import Decision
from edge.count.counted_frame import CountedFrame
from edge.count.size_gates import gate_effects
from edge.count.totals import Totals
from edge.find.segmentation import Gates, segment_frame
from edge.model.bundle import load_bundle
from edge.simulate.frame import simulate_frame
from edge.simulate.optics import Optics

MANIFEST = load_bundle("hemocytometer").manifest


def counted(cells: list[Cell], labels: list[str], lost: Mapping[str, int]) -> CountedFrame:
    crops = np.zeros((len(cells), 9, 9), np.uint8)
    probabilities = np.full((len(cells), 4), 0.25, np.float32)
    frame = Frame(crops.reshape(-1, 9), "f", 0, 0)
    return CountedFrame(frame, "", cells, crops, probabilities, list(map(Decision, labels)), lost=lost)


def totals_of(diameters: list[float], labels: list[str], **lost: int) -> Totals:
    """Totals of one frame with round cells, 1 µm per pixel."""
    totals = Totals(MANIFEST, 0.5)
    cells = [Cell(0, 0, 9, 9, math.pi / 4 * d**2, False, False) for d in diameters]
    totals.add(counted(cells, labels, lost))
    return totals


def test_cells_and_bodies_beside_a_gate_by_hand() -> None:
    diameters = [10.5, 10.8, 15, 15, 15, 15, 15, 15, 37, 50]
    labels = ["leukocyte", "erythrocyte", *["leukocyte"] * 6, "erythrocyte", "erythrocyte"]
    totals = totals_of(diameters, labels, near_below=4, just_below=3, near_above=1)
    found = gate_effects(totals, Gates(min_diameter_um=10, max_diameter_um=40), 1.0)
    assert found["min_diameter_um"].larger == pytest.approx(-1 / 7)
    # half of the cells just above the gate are leukocytes
    assert found["min_diameter_um"].smaller == pytest.approx(4 / 2 / 7)
    assert found["max_diameter_um"].smaller == 0
    assert found["max_diameter_um"].larger == 0
    assert totals.lost["just_below"] == 7  # for every other reader they are just below the gate
    assert totals.lost["too_large"] == 1
    assert gate_effects(totals_of([12], ["other"], near_below=1), Gates(), 1.0) == {}
    alone = gate_effects(totals_of([15], ["leukocyte"], near_above=1), Gates(max_diameter_um=40), 1.0)
    assert alone["max_diameter_um"].larger == 1  # nothing tells that it is none


@given(st.lists(st.floats(7.5, 40), min_size=1, max_size=30), st.integers(0, 9), st.integers(0, 9))
def test_smaller_least_and_larger_most_count_more(sizes: list[float], below: int, above: int) -> None:
    totals = totals_of(sizes, ["leukocyte"] * len(sizes), near_below=below, near_above=above)
    found = gate_effects(totals, Gates(), 1.0)
    assert found["min_diameter_um"].smaller == pytest.approx(below / len(sizes))
    assert found["max_diameter_um"].larger == pytest.approx(above / len(sizes))
    assert -1 <= found["min_diameter_um"].larger <= 0
    assert -1 <= found["max_diameter_um"].smaller <= 0


def test_the_estimate_is_near_counts_with_the_other_gates() -> None:
    images, pixel_um = [simulate_frame(seed).image for seed in (3, 4)], Optics().pixel_um

    def count(gate: float) -> tuple[int, Totals]:
        gates, totals = Gates(min_diameter_um=gate), Totals(MANIFEST, 0.5)
        for image in images:
            found = segment_frame(image, pixel_um=pixel_um, gates=gates)
            totals.add(counted(found.cells, ["leukocyte"] * len(found.cells), found.lost))
        return totals.detections, totals

    cells, totals = count(9.5)  # through the middle of the cells
    found = gate_effects(totals, Gates(min_diameter_um=9.5), pixel_um)["min_diameter_um"]
    assert found.smaller > 0.05
    assert found.larger < -0.05
    assert count(0.9 * 9.5)[0] / cells - 1 == pytest.approx(found.smaller, abs=0.03)
    assert count(1.1 * 9.5)[0] / cells - 1 == pytest.approx(found.larger, abs=0.03)
