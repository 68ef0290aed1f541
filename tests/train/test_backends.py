from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")
pytest.importorskip("jax", reason="needs jax")

import keras

from train.data import read_data
from train.fit import probabilities
from train.run import load_run

TRAIN_AND_ANSWER = """
import sys
import numpy as np
from pathlib import Path
from edge.cli import main
data, run = sys.argv[1:]
options = ["--width", "0.05", "--epochs", "1", "--batch", "4", "--validation-fraction", "0"]
main(["train", data, "--out", run, *options], standalone_mode=False)
from train.data import read_data
from train.fit import probabilities
from train.run import load_run
model, labels, normalisation = load_run(Path(run))
np.save(Path(run) / "answers.npy", probabilities(model, read_data(data, labels).crops, normalisation))
"""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for label, grey in (("bright", 200), ("dark", 60)):
        (folder / label).mkdir(parents=True)
        for k in range(3):
            image = np.random.default_rng(k).normal(grey, 30, (200, 200)).clip(0, 255).astype(np.uint8)
            assert cv2.imwrite(str(folder / label / f"{k}.png"), image)
    return folder


def test_a_run_of_another_backend_answers_the_same_here(data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    jax = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", TRAIN_AND_ANSWER, str(data), str(run)]
    subprocess.run(command, env=jax, check=True, capture_output=True)

    assert json.loads((run / "config.json").read_text())["versions"]["backend"] == "jax"
    assert keras.backend.backend() != "jax"
    model, labels, normalisation = load_run(run)
    here = probabilities(model, read_data(data, labels).crops, normalisation)
    np.testing.assert_allclose(here, np.load(run / "answers.npy"), atol=1e-4)
