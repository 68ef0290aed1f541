"""A tiny run becomes a bundle that answers as the trained network does."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from convert.build import TrainedRun, build, counted_labels
from convert.calibrate import temperature
from convert.cli.convert import convert
from convert.cli.verify import verify
from convert.fold import folded
from convert.operators import ALLOWED, operators
from convert.settings import Settings
from edge.classify.classifier import Classifier
from edge.cli.bench import bench
from edge.model.bundle import load_bundle
from edge.report.model_card import model_facts
from tests.convert.conftest import converted, description, discs_and_rings
from train.fit import fit, normalised, probabilities
from train.networks import NETWORKS
from train.recipe import TrainingJob, recipe_of
from train.run import load_run, read_crops

STARTS = "converting takes about 60 s on two cores\n"
FEW = (
    "Warning: a loss of more than 0.5 points of accuracy is not excluded: it may be up to 10.72 points; "
    "about 765 independent validation cells would exclude it if there is none\n"
)
"""Of the tiny run's 32 validation cells."""

# TensorFlow's own imports and its converter warn of their future
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def test_the_bundle_answers_as_the_network_does(run: Path, bundle: Path) -> None:
    made = load_bundle(bundle)
    assert made.manifest.counted == ("lymphocyte",)
    assert made.manifest.input.scale == pytest.approx(1 / 64)
    assert made.manifest.input.zero_point == 0
    assert made.manifest.crop_um == pytest.approx(20)
    assert np.sum(made.manifest.confusion) == 32
    kept = read_crops(run).representative
    assert made.manifest.representative is not None
    assert made.manifest.representative.crops == len(kept)
    assert made.manifest.representative.sha256 == hashlib.sha256(kept.tobytes()).hexdigest()
    assert made.manifest.parity is not None
    assert made.manifest.parity.cells == 32
    assert made.manifest.parity.agreement >= 0.9

    fresh = discs_and_rings(40, 3).crops
    network, _, normalisation = load_run(run)
    as_trained = probabilities(network, fresh, normalisation)
    logits = np.log(as_trained) / made.manifest.temperature
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    found = Classifier(made).probabilities(fresh)
    assert (found.argmax(1) == expected.argmax(1)).mean() >= 0.97
    assert np.abs(found - expected).mean() < 0.02


def test_rewriting_for_int8_leaves_the_function_as_it_is(run: Path) -> None:
    network, _, normalisation = load_run(run)
    rng = np.random.default_rng(8)
    for norm in ("norm1", "norm2"):  # four epochs leave them near the identity
        layer = network.get_layer(norm)
        gamma, beta, mean, variance = layer.get_weights()
        layer.set_weights([rng.normal(0, 1, gamma.shape), beta + 0.3, mean, variance * rng.uniform(0.1, 9)])
    inputs = normalised(discs_and_rings(24, 4).crops, normalisation)
    rewritten = folded(network, inputs)
    kinds = {type(layer).__name__ for layer in rewritten.layers}
    assert "BatchNormalization" not in kinds
    expected, found = (np.asarray(model.predict_on_batch(inputs)) for model in (network, rewritten))
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # every channel of a map that eight bits will hold reaches about as far
    maps = np.asarray(
        keras.Model(rewritten.input, rewritten.get_layer("fuse").output).predict_on_batch(inputs)
    )
    reach = np.abs(maps).max(axis=(0, 1, 2))
    assert reach.max() <= 1.0001
    assert np.median(reach) > 0.5


@pytest.mark.parametrize(("network", "layer"), [("hep2", "squash1_in "), ("resnet50", "conv1_relu ")])
def test_a_network_that_folding_would_change_is_refused(network: str, layer: str) -> None:
    model = NETWORKS[network](3, input_px=78)
    with pytest.raises(ValueError, match=f"layer {layer}.* cannot be quantised yet"):
        folded(model, np.zeros((1, 78, 78, 1), np.float32))


def test_same_run_same_bytes(run: Path, bundle: Path, tmp_path: Path) -> None:
    # a process each: TensorFlow numbers its functions through a process, and the names stay in the model
    assert converted(run, tmp_path / "b.tflite") == STARTS + FEW
    assert (tmp_path / "b.tflite").read_bytes() == bundle.read_bytes()


def test_a_differential_needs_a_label(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "no.tflite"
    for not_counted, reason in (
        ("debris, lymphocyte", "not to be counted"),
        ("debris,leukocyte", r"no label leukocyte .*: it has debris, lymphocyte"),
    ):
        with pytest.raises(ValueError, match=reason):
            build(run, out, description(not_counted=not_counted), Settings())
    assert not list(tmp_path.iterdir())


def test_a_run_of_one_class_is_refused(run: Path) -> None:
    trained = TrainedRun.load(run)
    alone = replace(trained, config=replace(trained.config, labels=("granulocyte",)))
    with pytest.raises(ValueError, match="it knows a single class, granulocyte, and tells nothing apart"):
        counted_labels(alone, description())


def test_pixels_that_no_microscope_has_are_refused(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "no.tflite"
    for pixel_um in ("1e300", "1e-300", "11"):
        refused = CliRunner().invoke(convert, [str(run), "--out", str(out), "--pixel-um", pixel_um])
        assert refused.exit_code == 2
        assert "--pixel-um" in refused.stderr
        with pytest.raises(ValueError, match="out of range: pass its side"):
            build(run, out, description(pixel_um=float(pixel_um)), Settings())
    assert not list(tmp_path.iterdir())


def test_the_card_says_what_the_readers_of_the_validation_cells_agree_on(bundle: Path) -> None:
    loaded = load_bundle(bundle)
    readers = loaded.manifest.readers
    assert readers is not None
    assert (readers.cells, readers.agreed) == (31, 30)
    confusion = np.array(loaded.manifest.confusion)
    assert 30 - (confusion.sum() - np.trace(confusion)) <= readers.right <= 30
    # of three readings each, 47 and 46 for the two labels, all pairs agree but two of three of one cell
    chance = (47**2 + 46**2) / 93**2
    assert readers.kappa == pytest.approx(((30 + 1 / 3) / 31 - chance) / (1 - chance))
    facts = model_facts(loaded, 1)["Validation"]
    assert facts["Readers agree on"] == f"30 of 31 cells (96.8 %); Fleiss' kappa {readers.kappa:.2f}"
    assert facts["Correct where they agree"].startswith(f"{100 * readers.right / 30:.1f} % of 30 cells (")


def test_readings_of_other_crops_are_damage(run: Path, tmp_path: Path) -> None:
    shutil.copytree(run, tmp_path / "run")
    with np.load(run / "crops.npz") as stored:
        arrays = dict(stored)
    assert arrays["readings"].shape == (32, 2)
    for wrong in (arrays["readings"][:-1], -arrays["readings"], 0 * arrays["readings"]):
        np.savez_compressed(tmp_path / "run" / "crops.npz", **(arrays | {"readings": wrong}))
        with pytest.raises(ValueError, match="readings of other crops"):
            read_crops(tmp_path / "run")
    del arrays["readings"]
    np.savez_compressed(tmp_path / "run" / "crops.npz", **arrays)
    assert read_crops(tmp_path / "run").readings is None


def test_texts_are_checked_before_the_work(run: Path, tmp_path: Path) -> None:
    words = [str(run), "--out", str(tmp_path / "b.tflite"), "--name", "a\nb"]
    refused = CliRunner().invoke(convert, words)
    assert refused.exit_code == 2
    assert 'name contains "\\n", which is not allowed' in refused.stderr


def test_a_bundle_that_rejects_nearly_everything_gives_a_warning(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "b.tflite"
    done = CliRunner().invoke(convert, [str(run), "--out", str(out), "--reject-below", "0.9999999"])
    assert done.exit_code == 0
    warning = "Warning: it keeps 0.0 % of 32 validation cells and rejects the others\n"
    assert done.stderr == STARTS + FEW + warning
    assert "0.0727 µm per pixel (assumed: " in done.stdout
    bundle = load_bundle(out)
    assert bundle.manifest.rejection is not None
    assert bundle.manifest.rejection.coverage == 0
    facts = model_facts(bundle, out.stat().st_size)["Rejection"]
    assert facts["Correct among the cells kept"] == "none kept"


def test_the_command_and_its_refusals(run: Path, tmp_path: Path) -> None:
    words = CliRunner()
    out = tmp_path / "b.tflite"
    plain = tmp_path / "float.tflite"
    done = words.invoke(convert, [str(run), "--out", str(out), "--pixel-um", "0.1", "--float", str(plain)])
    assert done.exit_code == 0, done.output
    assert "the same answer to" in done.output
    assert load_bundle(out).manifest.name == "b"
    assert {name for name, _ in operators(plain.read_bytes())} <= set(ALLOWED)
    other = words.invoke(bench, ["phantom3", "--float", str(plain), "--threads", "1", "--rounds", "1"])
    assert other.exit_code == 1
    assert other.stderr.startswith(f"Error: {plain}: not the bundle's network")
    (tmp_path / "empty").mkdir()
    refused = words.invoke(convert, [str(tmp_path / "empty"), "--out", str(out), "--force"])
    assert refused.exit_code == 1
    assert refused.output.startswith("Error: ")
    assert "not a run folder" in refused.output
    assert len(refused.output.strip().splitlines()) == 1


def test_convert_replaces_nothing_but_bundles(run: Path, tmp_path: Path) -> None:
    settings = (run / "config.json").read_bytes()
    os.mkfifo(tmp_path / "pipe.tflite")
    same = tmp_path / "folder" / ".." / "b.tflite"
    (tmp_path / "folder").mkdir()
    for out, more, reason in (
        (run / "config.json", [], "must end in .tflite"),
        (tmp_path / "b.tflite", ["--float", str(run / "config.json")], "must end in .tflite"),
        (tmp_path / "b.tflite", ["--float", str(same)], "the same file"),
        (tmp_path / "pipe.tflite", [], "not a regular file"),
        (tmp_path / "absent" / "b.tflite", [], "absent: no such folder"),
    ):
        refused = CliRunner().invoke(convert, [str(run), "--out", str(out), *more])
        assert refused.exit_code == 2
        assert reason in refused.stderr
    assert (run / "config.json").read_bytes() == settings
    assert not (tmp_path / "b.tflite").exists()
    assert (tmp_path / "pipe.tflite").is_fifo()


def _sampled(t: float, n: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rng = np.random.default_rng(5)
    logits = rng.normal(0, 3, (n, 4)).astype(np.float32)
    chances = np.exp(logits / t) / np.exp(logits / t).sum(axis=1, keepdims=True)
    truth = (chances.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, 3)
    return logits, truth.astype(np.int64)


@given(st.sampled_from([0.5, 0.8, 1.0, 1.5, 2.5]))
def test_the_temperature_that_made_the_labels_is_found(t: float) -> None:
    assert temperature(*_sampled(t, 4000)) == pytest.approx(t, rel=0.15)


def test_a_run_without_validation_cells_becomes_a_bundle_that_states_none(tmp_path: Path) -> None:
    bare = tmp_path / "bare"
    recipe = recipe_of("best", width=0.06, epochs=1, batch=16, learning_rate=3e-3)
    fit(TrainingJob(discs_and_rings(48, 1), None, recipe, seed=1), bare)
    done = CliRunner().invoke(convert, [str(bare), "--out", str(tmp_path / "bare.tflite")])
    assert done.exit_code == 0, done.output
    assert "kept no validation cells" in done.stderr
    manifest = load_bundle(tmp_path / "bare.tflite").manifest
    assert (manifest.temperature, manifest.parity, manifest.rejection) == (1, None, None)
    assert np.sum(manifest.confusion) == 0
    refused = CliRunner().invoke(verify, [str(tmp_path / "bare.tflite"), str(bare)])
    assert refused.exit_code == 1
    assert "kept no validation cells: pass DATA after it" in refused.stderr


def test_no_training_image_is_in_the_bundle(run: Path, bundle: Path) -> None:
    made = load_bundle(bundle)
    _, _, normalisation = load_run(run)
    kept = read_crops(run)
    grey = np.concatenate([kept.representative, kept.validation])
    trained_on = np.rint(normalised(grey, normalisation) / made.manifest.input.scale)
    for golden in made.golden_crops.astype(float):
        assert np.abs(trained_on - golden).mean(axis=(1, 2, 3)).min() > 3


def test_mistakes_and_crops_out_of_distribution_get_one_threshold_each(run: Path, tmp_path: Path) -> None:
    manifest = build(run, tmp_path / "tiny.tflite", description(), Settings(precision=0.97)).manifest
    assert manifest == load_bundle(tmp_path / "tiny.tflite").manifest
    assert manifest.rejection is not None
    assert manifest.rejection.coverage <= 0.98
    assert 0 <= manifest.rejection.auroc["simulated spheres"] <= 1
    classifier = Classifier(load_bundle(tmp_path / "tiny.tflite"))
    kept = read_crops(run)
    sure = classifier.probabilities(kept.validation)
    accepted = sure.max(axis=1) >= manifest.reject_below
    assert (sure.argmax(axis=1) == kept.truth)[accepted].mean() >= 0.97
    known = classifier.in_distribution(kept.validation)
    found = (sure.argmax(axis=1) == kept.truth)[accepted & known].mean()
    assert manifest.rejection.precision == pytest.approx(found)
    assert manifest.rejection.least_precision is not None
    assert manifest.rejection.least_precision < manifest.rejection.precision
    assert 0.9 <= known.mean() < 1
    assert manifest.answers is not None
    cells = np.array(manifest.answers.cells)
    assert cells[:, -1].tolist() == [int((~known & (kept.truth == k)).sum()) for k in range(2)]
    assert (cells.sum(1) == np.sum(manifest.confusion, axis=1)).all()
    assert manifest.answers.frames == 0
    noise = np.random.default_rng(9).integers(0, 256, (10, 200, 200)).astype(np.uint8)
    assert not classifier.in_distribution(noise).any()
    with pytest.raises(ValueError, match="must be above 0"):
        build(run, tmp_path / "no.tflite", description(), Settings(precision=1.5))


def test_an_interrupt_in_the_garbage_collector_ends_the_work() -> None:
    # as in JAX's own call, whose KeyboardInterrupt Python drops
    script = """
import gc, os, signal
from edge.cli.options import ended_by_interrupts
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background have it ignored
with ended_by_interrupts():
    gc.callbacks.append(lambda *_: os.kill(os.getpid(), signal.SIGINT))
    gc.collect()
print("not ended")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "", "")
