"""A tiny trained run and its bundle, which the conversion tests share."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from convert.settings import Description
from tests.conftest import shared_folder
from train.data import Dataset
from train.fit import fit
from train.recipe import TrainingJob, recipe_of


def discs_and_rings(n: int, seed: int) -> Dataset:
    """Crops of two kinds that a tiny network tells apart after an epoch or two."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:200, :200]
    crops = np.empty((n, 200, 200), np.uint8)
    truth = np.arange(n, dtype=np.int64) % 2
    for k in range(n):
        radius = np.hypot(x - rng.normal(100, 5), y - rng.normal(100, 5))
        size = rng.uniform(35, 60)
        shape = radius < size if truth[k] else np.abs(radius - size) < 6
        crops[k] = np.clip(rng.normal(120, 6, (200, 200)) + 70 * shape, 0, 255)
    names = tuple(f"{k}.png" for k in range(n))
    return Dataset(crops, truth, ("debris", "lymphocyte"), names, names)


def read_by_three(dataset: Dataset) -> Dataset:
    """Three readers call each crop the same, but for one on which they differ and one read once."""
    readings = 3 * np.eye(len(dataset.labels), dtype=np.int64)[dataset.truth]
    readings[0] = (2, 1)
    readings[1] = (0, 1)
    return replace(dataset, readings=readings)


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = recipe_of("best", width=0.06, epochs=4, batch=16, learning_rate=3e-3)
    job = TrainingJob(discs_and_rings(96, 1), read_by_three(discs_and_rings(32, 2)), recipe, seed=1)
    with shared_folder(tmp_path_factory, "run") as out:
        fit(job, out)  # a finished run is only read
    return out


@pytest.fixture(scope="session")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's bundle, made by a process of its own."""
    with shared_folder(tmp_path_factory, "bundle") as folder:
        path = folder / "tiny.tflite"
        if not path.exists():
            converted(run, path)
    return path


def converted(run: Path, path: Path) -> str:
    """Convert a run; return what is said on stderr."""
    words = ["convert", run, "--out", path, "--pixel-um", "0.1", "--name", "tiny"]
    done = subprocess.run(
        [sys.executable, "-m", "edge.cli", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def description(**changes: object) -> Description:
    plain: dict[str, object] = {
        "name": "tiny",
        "version": "1",
        "pixel_um": 0.1,
        "training_name": "discs and rings",
        "intended_use": "tests",
        "licence": "Apache-2.0",
        "notice": "not a model",
    }
    return Description(**{**plain, **changes})  # type: ignore[arg-type]
