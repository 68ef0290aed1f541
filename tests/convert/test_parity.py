"""int8 against float: intervals, noise, the layer that costs most, and what the commands print."""

from __future__ import annotations

import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from convert.cli.verify import verify
from convert.fold import folded
from convert.logits import Inference
from convert.loss import Loss, loss_of, loss_words
from convert.noise import costs
from convert.operators import ALLOWED, operators, refuse_others
from convert.paired import cells_to_exclude, paired_interval, score_interval
from convert.parity import compare, summary_lines
from edge.classify.runtime import RUNTIMES, installed_runtimes
from edge.model.bundle import load_bundle, shipped_bundles
from edge.model.manifest import Parity
from tests.convert.conftest import discs_and_rings
from train.fit import fit, normalised
from train.recipe import TrainingJob, recipe_of
from train.run import load_run, read_crops

# TensorFlow's own imports and its converter warn of their future
pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


@given(st.lists(st.sampled_from([-1, 0, 1]), min_size=1, max_size=60))
def test_the_paired_interval_holds_the_mean_and_turns_with_the_sign(gains: list[int]) -> None:
    low, high = paired_interval(np.array(gains))
    assert low - 1e-9 <= 100 * np.mean(gains) <= high + 1e-9
    assert -100 <= low <= high <= 100


def test_whole_groups_make_wider_intervals_than_their_cells() -> None:
    gains = np.repeat([1, 0, 0, -1, 0, 1], 20)
    single, grouped = paired_interval(gains), paired_interval(gains, np.repeat(list("abcdef"), 20).tolist())
    assert grouped[1] - grouped[0] > 2 * (single[1] - single[0])


def _lost(cells: int, lost: int, won: int = 0) -> Parity:
    gains = np.array([-1] * lost + [1] * won + [0] * (cells - lost - won))
    low, high = paired_interval(gains)
    return Parity(cells, 0.9, 0.9 + float(gains.mean()), low, high, 1 - (lost + won) / cells, 0.5)


@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 4000))
def test_the_score_interval_is_where_the_score_test_stops_rejecting(won: int, lost: int, same: int) -> None:
    cells = won + lost + same
    if not cells:
        return
    low, high = score_interval(won, lost, cells)
    assert -1 <= low < high <= 1
    assert (low, high) == pytest.approx(tuple(-end for end in score_interval(lost, won, cells)[::-1]))
    # of zero it is McNemar's test
    mcnemar = (won - lost) ** 2 <= 1.959963985**2 * (won + lost)
    assert (low <= 1e-12 and high >= -1e-12) is mcnemar
    if not won + lost:
        assert high == pytest.approx(1.959963985**2 / (cells + 1.959963985**2))


def test_the_score_interval_is_that_of_a_likelihood_maximised_by_scipy() -> None:
    won, lost, cells = 12, 2, 80

    def score(loss: float) -> float:
        def unlikely(share: float) -> float:
            shares = np.clip([share, share + loss, 1 - 2 * share - loss], 1e-300, None)
            return -float(np.array([won, lost, cells - won - lost]) @ np.log(shares))

        share = minimize_scalar(unlikely, bounds=(max(0, -loss), (1 - loss) / 2), method="bounded").x
        return float((lost - won - cells * loss) / np.sqrt(cells * (2 * share + loss * (1 - loss))))

    low, high = score_interval(won, lost, cells)
    assert score(-high) == pytest.approx(1.96, abs=0.01)
    assert score(-low) == pytest.approx(-1.96, abs=0.01)


@pytest.mark.parametrize(
    ("cells", "lost", "won", "loss"),
    [
        (189, 0, 0, Loss.NOT_EXCLUDED),  # so few cells exclude no loss below 2 points
        (189, 1, 0, Loss.NOT_EXCLUDED),  # one cell is more than half a point
        (189, 3, 0, Loss.NOT_EXCLUDED),
        (189, 4, 0, Loss.SHOWN),
        (189, 5, 0, Loss.SHOWN),
        (189, 5, 4, Loss.NOT_EXCLUDED),
        (800, 0, 0, Loss.EXCLUDED),
        (5000, 10, 0, Loss.EXCLUDED),  # a real loss, but within the limit
        (5000, 20, 0, Loss.NOT_EXCLUDED),
        (5000, 60, 10, Loss.SHOWN),
    ],
)
def test_a_loss_is_excluded_or_shown_or_neither(cells: int, lost: int, won: int, loss: Loss) -> None:
    parity = _lost(cells, lost, won)
    assert loss_of(parity, 0.5) is loss
    assert len(summary_lines(parity)) == 2
    assert f"more than 0.5 points of accuracy is {loss}" in loss_words(parity, 0.5)
    assert ("would exclude it" in loss_words(parity, 0.5)) is (loss is Loss.NOT_EXCLUDED)


@given(st.floats(0.001, 0.05), st.floats(0, 0.2))
def test_so_many_cells_exclude_a_loss_and_fewer_do_not(loss: float, changed: float) -> None:
    cells = cells_to_exclude(loss, changed)
    for n, excluded in ((cells, True), (cells - 1, False)):
        low, _ = score_interval(changed * n / 2, changed * n / 2, n) if n else (-1.0, 1.0)
        assert (low >= -loss) is excluded


def test_a_single_group_excludes_nothing() -> None:
    assert paired_interval(np.array([0, 0, 1]), ["slide"] * 3) == (-100, 100)


def test_noise_and_cost_per_layer(run: Path, bundle: Path) -> None:
    network, _, normalisation = load_run(run)
    inputs = normalised(discs_and_rings(8, 5).crops, normalisation)
    rewritten = folded(network, normalised(read_crops(run).representative, normalisation))
    truth = np.arange(8, dtype=np.int64) % 2
    found = compare(
        network, rewritten, load_bundle(bundle).flatbuffer, inputs, truth, Inference(1, None, 1.0)
    )
    assert [layer.name for layer in found.layers][:2] == ["conv1", "norm1"]
    assert found.layers[-1].name == "classes"
    assert all(10 < layer.sqnr_db < 80 for layer in found.layers)
    assert found.rewriting.largest_probability_difference < 1e-4
    assert found.parity.largest_probability_difference == pytest.approx(float(found.distances.max()))
    # steps forty times as long, in one layer
    spoilt = []
    for layer in found.layers:
        coarse = dataclasses.replace(layer.quantisation, scale=40 * layer.quantisation.scale)
        spoilt.append(dataclasses.replace(layer, quantisation=coarse) if layer.name == "conv4" else layer)
    cost = costs(rewritten, spoilt, inputs)
    assert min(cost, key=cost.__getitem__) == "conv4"


def test_verify_with_its_run(run: Path, bundle: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(verify, [str(bundle), str(run), "--json", "--out", str(tmp_path / "page")])
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    stated = load_bundle(bundle).manifest.parity
    assert stated is not None
    assert found["parity"] == pytest.approx(dataclasses.asdict(stated))
    assert found["layers"][0]["name"] == "conv1"
    html = (tmp_path / "page" / "parity.html").read_text()
    assert "conv5" in html
    assert html.count("data:image/jpeg") == 24
    assert json.loads((tmp_path / "page" / "parity.json").read_text())["worst"] == found["worst"]


@pytest.mark.parametrize(("factor", "notices"), [(1.0, 0), (1.5, 1)])
def test_verify_says_if_the_crops_have_another_pixel(tmp_path: Path, factor: float, notices: int) -> None:
    manifest = load_bundle("phantom3").manifest
    rows = ["path,label,pixel_um"]
    for k, label in enumerate(manifest.labels):
        image = np.random.default_rng(k).integers(0, 256, (manifest.crop_px, manifest.crop_px), np.uint8)
        cv2.imwrite(str(tmp_path / f"{k}.png"), image)
        rows.append(f"{k}.png,{label},{factor * manifest.pixel_um}")
    (tmp_path / "cells.csv").write_text("\n".join(rows) + "\n")
    words = ["phantom3", str(tmp_path / "cells.csv")]
    found = json.loads(CliRunner().invoke(verify, [*words, "--json"]).stdout)
    printed = CliRunner().invoke(verify, words).stdout
    assert len(found["notices"]) == printed.count("not made for cells of this size") == notices


def test_verify_refuses_what_does_not_belong(run: Path, bundle: Path, tmp_path: Path) -> None:
    words = CliRunner()
    other = words.invoke(verify, ["phantom3", str(run)])
    assert other.exit_code == 1
    assert "name the run it was made from" in other.stderr
    for crops, seed, width, epochs in (
        (96, 1, 0.06, 4),  # with another seed; it names all crops as the bundle's run does
        (24, 1, 0.12, 1),
        (24, 9, 0.06, 1),
    ):
        recipe = recipe_of("best", width=width, epochs=epochs, batch=16, learning_rate=3e-3)
        another = tmp_path / f"{seed} {width}"
        fit(TrainingJob(discs_and_rings(crops, seed), discs_and_rings(32, 2), recipe, seed=2), another)
        other = words.invoke(verify, [str(bundle), str(another)])
        assert other.exit_code == 1
        assert re.fullmatch(f"Error: {another}: its .*: name the run .*was made from\n", other.stderr)
    assert words.invoke(verify, [str(bundle), str(tmp_path), str(tmp_path)]).exit_code == 2
    assert words.invoke(verify, [str(bundle), "--out", str(tmp_path / "p")]).exit_code == 2


@pytest.mark.parametrize("name", shipped_bundles())
def test_shipped_bundles_hold_operators_of_every_device(name: str) -> None:
    found = {operator for operator, _ in operators(load_bundle(name).flatbuffer)}
    # shapes that older conversions computed for a flattening, outside of XNNPACK
    assert found - {"SHAPE", "STRIDED_SLICE", "PACK", "RESHAPE"} <= set(ALLOWED)


def test_an_operator_or_version_that_a_device_lacks_is_named(
    bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flatbuffer = load_bundle(bundle).flatbuffer
    refuse_others(flatbuffer)
    monkeypatch.setitem(ALLOWED, "CONV_2D", 2)
    with pytest.raises(ValueError, match="version 3 of the operator CONV_2D does not load"):
        refuse_others(flatbuffer)
    monkeypatch.delitem(ALLOWED, "PAD")
    with pytest.raises(ValueError, match="the operator PAD does not run in int8"):
        refuse_others(flatbuffer)


@pytest.mark.parametrize("runtime", sorted(RUNTIMES))
def test_a_new_bundle_runs_on_both_runtimes(bundle: Path, runtime: str) -> None:
    if runtime not in installed_runtimes():
        # tflite-runtime, the fallback, ends at Python 3.11, where CI runs; LiteRT is there on every one
        pytest.skip(f"{runtime} has no wheel for this Python")
    # a process each: the two runtimes cannot live in one
    line = [sys.executable, "-m", "edge.cli", "verify", str(bundle), "--runtime", runtime, "--json"]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["runtimes"][runtime]["largest_step"] <= 3
