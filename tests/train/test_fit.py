from __future__ import annotations

import csv
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

from train.batches import Batches
from train.data import Dataset
from train.fit import FitObserver, fit, probabilities
from train.metrics import Scores
from train.recipe import RECIPES, Recipe, TrainingJob, recipe_of
from train.report.curves import CURVES
from train.run import Epoch, finished, load_run
from train.run_config import read_config

TINY = {name: replace(recipe, width=0.05, epochs=3, batch=8) for name, recipe in RECIPES.items()}
BEST = TINY["best"]


def spots(n: int, seed: int) -> Dataset:
    """Two classes that any network tells apart: bright and dark spots; twice as many of the first."""
    rng = np.random.default_rng(seed)
    truth = (np.arange(n) % 3 == 2).astype(np.int64)
    y, x = np.mgrid[:200, :200] - 100.0
    spot = np.exp(-(x**2 + y**2) / 2 / 30**2)
    crops = 128 + np.where(truth, -90, 90)[:, None, None] * spot + rng.normal(0, 4, (n, 200, 200))
    names = tuple(f"{seed}-{i}.png" for i in range(n))
    return Dataset(crops.clip(0, 255).astype(np.uint8), truth, ("bright", "dark"), names, names)


def job(recipe: Recipe = BEST, seed: int = 5) -> TrainingJob:
    return TrainingJob(spots(24, 1), spots(12, 2), recipe, seed)


def history(run: Path) -> list[dict[str, str]]:
    with (run / "history.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def pages() -> list[str]:
    """The page of the curves after each epoch of `runs`."""
    return []


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, pages: list[str]) -> tuple[Path, Path, Scores | None]:
    """A run, a copy of its folder during the second epoch, and its scores."""
    run = tmp_path_factory.mktemp("runs") / "unbroken"
    killed = run.with_name("killed")

    def copy(row: Epoch) -> None:
        pages.append((run / CURVES).read_text())
        if row.epoch == 1:
            shutil.copytree(run, killed)

    scores = fit(job(), run, FitObserver(on_epoch=copy))
    return run, killed, scores


def test_a_finished_run_holds_everything(runs: tuple[Path, Path, Scores | None]) -> None:
    run, _, scores = runs
    assert finished(run)
    assert scores == json.loads((run / "metrics.json").read_text())
    config = json.loads((run / "config.json").read_text())
    assert config["recipe"]["name"] == "best"
    assert config["labels"] == ["bright", "dark"]
    assert config["training"] == {
        "cells": 24,
        "counts": {"bright": 16, "dark": 8},
        "sha256": spots(24, 1).sha256,
    }
    assert set(config["versions"]) == {"leuko-edge", "keras", "backend", "numpy"}
    assert [row["epoch"] for row in history(run)] == ["1", "2", "3"]
    with (run / "split.csv").open(newline="") as file:
        parts = [row["part"] for row in csv.DictReader(file)]
    assert parts == ["training"] * 24 + ["validation"] * 12
    assert not list(run.glob(".*"))
    model, labels, normalisation = load_run(run)
    assert labels == ("bright", "dark")
    answers = probabilities(model, spots(12, 2).crops, normalisation)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert scores is not None
    assert scores["accuracy"] == pytest.approx(float((answers.argmax(1) == spots(12, 2).truth).mean()))


def test_a_killed_run_resumes_to_the_same_weights(runs: tuple[Path, Path, Scores | None]) -> None:
    unbroken, killed, scores = runs
    with (killed / "history.csv").open("a") as file:
        file.write("2,0,0,0,0,0\n")  # killed before the second epoch's checkpoint was written
    (killed / ".checkpoint.keras.99.partial.keras").write_bytes(b"cut short")
    rows: list[Epoch] = []
    assert fit(job(), killed, FitObserver(on_epoch=rows.append)) == scores
    assert [row.epoch for row in rows] == [2, 3]
    assert "Trained for 3 epochs" in (killed / CURVES).read_text()
    assert not list(killed.glob(".*"))
    for one, other in zip(history(killed), history(unbroken), strict=True):
        assert [one[key] for key in ("epoch", "loss")] == [other[key] for key in ("epoch", "loss")]
    weights, expected = (load_run(run)[0].get_weights() for run in (killed, unbroken))
    for resumed, whole in zip(weights, expected, strict=True):
        np.testing.assert_allclose(resumed, whole, rtol=1e-5, atol=1e-7)


def test_curves_are_drawn_while_a_run_trains(
    runs: tuple[Path, Path, Scores | None], pages: list[str]
) -> None:
    assert ["Training: 1 of 3 epochs" in pages[0], "Training: 2 of 3 epochs" in pages[1]] == [True, True]
    assert "will be kept" in pages[2]
    page = (runs[0] / CURVES).read_text()
    assert "Trained for 3 epochs" in page
    assert "The network of epoch 3, the last one, is kept" in page
    assert all(f"<td>{float(row['validation_loss']):.4f}</td>" in page for row in history(runs[0]))


def test_a_run_killed_before_its_last_files_is_only_finished(
    tmp_path: Path, runs: tuple[Path, Path, Scores | None]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    (run / "model.keras").unlink()
    (run / "metrics.json").unlink()
    (run / CURVES).unlink()
    rows: list[Epoch] = []
    assert fit(job(), run, FitObserver(on_epoch=rows.append)) == runs[2]
    assert (rows, finished(run), (run / CURVES).is_file()) == ([], True, True)


def test_other_settings_and_foreign_folders_are_refused(
    tmp_path: Path, runs: tuple[Path, Path, Scores | None]
) -> None:
    run, _, scores = runs
    with pytest.raises(ValueError, match="was started with another width, seed; give another name"):
        fit(job(replace(BEST, width=0.1), 6), run)
    with pytest.raises(ValueError, match="another training"):
        fit(replace(job(), training=spots(24, 3)), run)
    assert fit(job(), run) == scores
    (tmp_path / "letter.txt").write_text("dear reader")
    with pytest.raises(ValueError, match="holds other files; give another name"):
        fit(replace(job(), validation=None), tmp_path)
    with pytest.raises(ValueError, match="not a run folder"):
        load_run(tmp_path)


def test_an_unfinished_run_is_not_loaded_and_a_diverging_one_ends(tmp_path: Path) -> None:
    recipe = replace(TINY["paper"], learning_rate=1e38)
    with pytest.raises(ValueError, match="lower the learning rate"):
        fit(TrainingJob(spots(12, 1), None, recipe, 0), tmp_path)
    with pytest.raises(ValueError, match="is not finished"):
        load_run(tmp_path)


def test_the_papers_epoch_is_its_expansion() -> None:
    data = spots(24, 1)  # 16 bright × 6 = 96; 8 dark × 6 = 48, × 24 = 192: nearer as ratios 1/2 and 2
    batches = Batches(data, TINY["paper"], 0, 0)
    assert len(batches) == (16 * 6 + 8 * 6) // 8
    crops, truth = batches[0]
    assert (crops.shape, truth.shape) == ((8, 200, 200, 1), (8, 2))
    assert crops.dtype == np.float32
    assert (truth.sum(axis=1) == 1).all()


@pytest.mark.parametrize("name", ["paper", "best"])
def test_batches_depend_only_on_seed_and_epoch(name: str) -> None:
    data = spots(12, 1)
    first, again, later, other = (
        Batches(data, TINY[name], s, e)[0][0] for s, e in ((0, 1), (0, 1), (0, 2), (1, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, later)
    assert not np.array_equal(first, other)


def test_the_papers_recipe() -> None:
    assert RECIPES["paper"] == Recipe(
        "paper", learning_rate=1e-4, batch=32, epochs=25, batch_norm_momentum=0.99
    )
    assert recipe_of("best", epochs=7, width=None).epochs == 7
    assert recipe_of("best", epochs=7, width=None).width == RECIPES["best"].width


def test_bfloat16_steps_leave_a_float32_model(tmp_path: Path) -> None:
    recipe = replace(BEST, precision="bfloat16", epochs=1)
    validation = spots(6, 2)
    half = TrainingJob(spots(12, 1), validation, recipe, 5)
    scores = fit(half, tmp_path / "run")
    model, _, normalisation = load_run(tmp_path / "run")
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}
    answers = probabilities(model, validation.crops, normalisation)
    assert scores is not None
    assert scores["accuracy"] == (answers.argmax(axis=1) == validation.truth).mean()
    whole = replace(half, recipe=replace(recipe, precision="float32"))
    assert fit(whole, tmp_path / "plain") is not None
    one, other = (load_run(tmp_path / name)[0].get_weights() for name in ("run", "plain"))
    assert any((a != b).any() for a, b in zip(one, other, strict=True))
    assert all(np.abs(a - b).max() < 0.1 for a, b in zip(one, other, strict=True))


def test_crops_of_another_size_are_refused_before_the_run_begins(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="crops of 200 px for a network that takes 64 px"):
        fit(job(replace(BEST, crop_px=64)), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_run_of_an_earlier_release_is_read_and_resumed(
    tmp_path: Path, runs: tuple[Path, Path, Scores | None]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs[1], run)
    config = json.loads((run / "config.json").read_text())
    config["recipe"]["views"] = config["recipe"].pop("test_time_views")
    config |= {"targets_sha256": None, "teacher_sha256": None}
    (run / "config.json").write_text(json.dumps(config))
    assert read_config(run).recipe.test_time_views == 8
    assert fit(job(), run) == runs[2]
    with pytest.raises(ValueError, match="was started with another test_time_views; give another name"):
        fit(job(replace(BEST, test_time_views=1)), run)


@pytest.mark.parametrize(("key", "option"), [("targets_sha256", "--teacher"), ("teacher_sha256", "--distil")])
def test_a_run_that_was_taught_is_not_resumed_without_its_teacher(
    key: str, option: str, tmp_path: Path, runs: tuple[Path, Path, Scores | None]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs[1], run)
    config = json.loads((run / "config.json").read_text()) | {key: "ab12"}
    (run / "config.json").write_text(json.dumps(config))
    with pytest.raises(ValueError, match=f"was started with {option}, which no longer exists"):
        fit(job(), run)
