"""Shipped bundles in both runtimes, and bundles that must not be used."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.classify.classifier import Classifier
from edge.classify.runtime import RUNTIMES, Model, RuntimeMissingError, installed_runtimes
from edge.model.bundle import BundleError, load_bundle, shipped_bundles, write_bundle

ROOT = Path(__file__).resolve().parents[3]


def test_two_bundles_are_shipped_within_their_size() -> None:
    assert shipped_bundles() == ["hemocytometer", "phantom3"]
    for name in shipped_bundles():
        assert (ROOT / "edge" / "bundles" / f"{name}.tflite").stat().st_size <= 12e6
    assert load_bundle("phantom3").manifest.counted == ("granulocyte", "lymphocyte", "monocyte")
    assert "demonstration model, simulated cells" in load_bundle("phantom3").manifest.notice
    assert load_bundle("hemocytometer").manifest.counted == ("leukocyte",)


@pytest.mark.parametrize("name", ["hemocytometer", "phantom3"])
@pytest.mark.parametrize("runtime", sorted(RUNTIMES))
def test_golden_crops_come_out_right(name: str, runtime: str) -> None:
    if runtime not in installed_runtimes():
        pytest.skip(f"{runtime} has no wheel for this Python")
    # a process each: the two runtimes cannot live in one
    words = [sys.executable, "-m", "edge.cli", "verify", name, "--runtime", runtime, "--json"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    replay = json.loads(done.stdout)["runtimes"][runtime]
    assert replay["largest_step"] <= 3
    assert done.stderr == ""


def test_probabilities_do_not_depend_on_the_batch() -> None:
    classifier = Classifier(load_bundle("hemocytometer"))
    crops = (classifier.bundle.golden_crops[..., 0].astype(np.int16) + 128).astype(np.uint8)
    together = classifier.probabilities(crops)
    alone = np.concatenate([classifier.probabilities(crop[None]) for crop in crops])
    np.testing.assert_array_equal(together, alone)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(together.argmax(1), classifier.bundle.golden_outputs.argmax(1))
    assert classifier.probabilities(crops[:0]).shape == (0, 4)


@pytest.mark.parametrize("step", [4, -4])
def test_other_answers_to_the_golden_crops_are_refused(tmp_path: Path, step: int) -> None:
    good = load_bundle("phantom3")
    outputs = good.golden_outputs.astype(int)
    outputs[2, 1] += step
    moved = np.clip(outputs, -128, 127).astype(np.int8)
    bundle = write_bundle(tmp_path / "b.tflite", good.manifest, good.flatbuffer, good.golden_crops, moved)
    with pytest.raises(BundleError, match="4 steps off"):
        Classifier(bundle)


def test_a_manifest_of_another_model_is_refused(tmp_path: Path) -> None:
    good = load_bundle("phantom3")
    output = dataclasses.replace(good.manifest.output, scale=good.manifest.output.scale * 2)
    manifest = dataclasses.replace(good.manifest, output=output)
    bundle = write_bundle(
        tmp_path / "b.tflite", manifest, good.flatbuffer, good.golden_crops, good.golden_outputs
    )
    with pytest.raises(BundleError, match="manifest describes"):
        Classifier(bundle)


def test_a_runtime_that_is_not_there_is_named() -> None:
    with pytest.raises(RuntimeMissingError, match="no runtime onnx"):
        Model(load_bundle("phantom3").flatbuffer, "onnx")


@pytest.mark.parametrize("what", ["crop_px", "input", "output"])
def test_a_model_of_another_form_than_the_manifest_states_is_refused(what: str) -> None:
    bundle = load_bundle("phantom3")
    stated = getattr(bundle.manifest, what)
    other = stated + 2 if what == "crop_px" else dataclasses.replace(stated, scale=2 * stated.scale)
    manifest = dataclasses.replace(bundle.manifest, **{what: other})
    with pytest.raises(BundleError, match="the model is not the one its manifest describes"):
        Classifier(dataclasses.replace(bundle, manifest=manifest))
