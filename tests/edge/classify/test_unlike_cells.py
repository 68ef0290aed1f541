"""What a shipped bundle was never trained on is mostly rejected."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.out_of_distribution import BEADS_UM, HSC_UM, photographs, segmented, simulated
from convert.out_of_distribution import spheres
from edge.base.frame import Frame
from edge.classify.classifier import Classifier
from edge.model.bundle import load_bundle
from edge.run.config import Analysis
from edge.run.pipeline import count_frames
from edge.simulate.frame import simulate_frame
from edge.simulate.optics import Optics
from edge.simulate.scene import Scene

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
ALONE = Scene(leukocytes=0, erythrocytes=0, debris=25, width_px=1000, height_px=800, separate=True)


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    return Classifier(load_bundle("hemocytometer"))


def rejected(classifier: Classifier, crops: NDArray[np.uint8]) -> float:
    """Share of crops that do not look known, or whose best probability is too small."""
    sure = classifier.probabilities(crops).max(axis=1) >= classifier.bundle.manifest.reject_below
    return float(1 - (classifier.in_distribution(crops) & sure).mean())


def test_most_simulated_foreign_cells_are_rejected(classifier: Classifier) -> None:
    manifest = classifier.bundle.manifest
    place = manifest.crop_um, manifest.crop_px
    assert rejected(classifier, spheres(*place, 40, seed=1)) > 0.9
    assert rejected(classifier, simulated(*place, ALONE, frames=1, seed=2)) > 0.8


@pytest.mark.parametrize(("kind", "least"), [("beads", 0.6), ("hsc", 0.55), ("pbc", 0.9)])
def test_most_real_foreign_cells_are_rejected(classifier: Classifier, kind: str, least: float) -> None:
    if not (SHARED / kind).is_dir():
        # others' images stay out of this repository; the simulated ones above are tried everywhere
        pytest.skip(f"{SHARED / kind} is not there: real images are not part of this repository")
    manifest = classifier.bundle.manifest
    place = manifest.crop_um, manifest.crop_px
    if kind == "pbc":
        crops = photographs(SHARED / kind, manifest.crop_px, 40)
    elif kind == "beads":
        crops = segmented(SHARED / kind, BEADS_UM, *place, limit=40)
    else:
        crops = segmented(sorted((SHARED / kind).glob("*.png"))[0], HSC_UM, *place, limit=60)
    assert rejected(classifier, crops) > least


def test_without_a_model_all_crops_are_in_distribution() -> None:
    bundle = load_bundle("phantom3")
    assert not Classifier(bundle).in_distribution(np.zeros((3, 200, 200), np.uint8)).any()
    silent = replace(bundle.manifest, out_of_distribution=None, rejection=None)
    classifier = Classifier(replace(bundle, manifest=silent))
    assert classifier.in_distribution(np.zeros((3, 200, 200), np.uint8)).all()


def test_a_count_rejects_cells_out_of_distribution(classifier: Classifier) -> None:
    scene = Scene(leukocytes=6, erythrocytes=0, debris=0, width_px=800, height_px=600, separate=True)
    frame = Frame(simulate_frame(3, scene=scene).image, "simulated", 0, 0)
    (result,) = count_frames([frame], classifier, Analysis(pixel_um=Optics().pixel_um, reject_below=0))
    known = classifier.in_distribution(result.crops)  # type: ignore[union-attr]
    reasons = [decision.rejected_by for decision in result.decisions]  # type: ignore[union-attr]
    assert reasons == ["" if one else "out_of_distribution" for one in known]
    assert not known.all()
