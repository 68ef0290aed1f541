"""The folder of a training run, which a kill or a power cut leaves usable.

``config.json`` holds recipe, seed, labels, data hashes and versions, ``split.csv`` the part of each crop,
``history.csv`` one row per epoch, ``curves.html`` these rows as curves, ``checkpoint.keras`` model and
optimizer after the last whole epoch. A finished run adds ``metrics.json`` (scores on the validation set),
``crops.npz`` (what a converter needs to quantise and calibrate without the data) and, written last,
``model.keras``.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.base import ANOTHER_NAME, replaced_atomically, replaced_path, write_atomically
from edge.find import Normalisation
from train.data import Dataset
from train.metrics import Scores
from train.recipe import TrainingJob
from train.table import Row, SplitCrop, read_table, write_table

REPRESENTATIVE = 300
"""Training crops kept with a run, for the ranges of a quantised network."""


@dataclass(frozen=True, kw_only=True)
class Epoch(Row):
    """One row of ``history.csv``; `epoch` counts from 1."""

    epoch: int
    loss: float
    accuracy: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    seconds: float


@dataclass(frozen=True, eq=False)
class RunCrops:
    """Crops kept with a run.

    Attributes
    ----------
    representative : uint8 [m, s, s]
        Training crops, evenly over the labels and, within a label, over brightness.
    validation, truth : uint8 [n, s, s], int64 [n]
        The validation crops and their labels; n is 0 without a validation set.
    """

    representative: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    truth: NDArray[np.int64]


def open_run(out: Path, job: TrainingJob, **more: object) -> None:
    """Begin a run folder, or check that the one there was begun with the same settings, `more` included.

    Raises
    ------
    ValueError
        If the folder was begun otherwise, or holds something else.
    """
    settings = _settings(job) | more
    if (out / "config.json").is_file():
        _refuse_other(out, settings)
        return
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} holds other files; {ANOTHER_NAME}")
    out.mkdir(parents=True, exist_ok=True)
    rows = [
        SplitCrop(path=name, label=dataset.labels[k], group=group, part=part)
        for part, dataset in job.parts.items()
        for name, k, group in zip(dataset.names, dataset.truth, dataset.groups, strict=True)
    ]
    write_table(out / "split.csv", SplitCrop, rows)
    settings["versions"] = {
        "leuko-edge": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "numpy": np.__version__,
    }
    write_json(out / "config.json", settings)


def _settings(job: TrainingJob) -> dict[str, Any]:
    """Return data, recipe and seed as ``config.json`` holds them."""

    def described(dataset: Dataset) -> dict[str, Any]:
        return {"cells": len(dataset.truth), "counts": dataset.counts(), "sha256": dataset.sha256}

    parts = {"training": None, "validation": None} | {k: described(v) for k, v in job.parts.items()}
    return {
        "recipe": asdict(job.recipe),
        "seed": job.seed,
        "labels": list(job.training.labels),
        "crop_px": job.training.crops.shape[1],
        "pixel_um": job.training.pixel_um,
        **parts,
    }


def _refuse_other(out: Path, settings: dict[str, Any]) -> None:
    """Raise ValueError if a run was begun with other settings than these."""
    stored = read_config(out)
    for key, option in (("targets_sha256", "--teacher"), ("teacher_sha256", "--distil")):
        if stored.get(key):
            raise ValueError(f"{out} was started with {option}, which no longer exists; {ANOTHER_NAME}")
    changed = [key for key in settings if stored.get(key) != settings[key]]
    if "recipe" in changed:
        old, new = stored["recipe"], settings["recipe"]
        changed[:1] = [key for key in new if old.get(key) != new[key]]
    if changed:
        raise ValueError(f"{out} was started with another {', '.join(changed)}; {ANOTHER_NAME}")


def finished(out: Path) -> bool:
    """Return whether a run folder holds a finished model."""
    return (out / "model.keras").is_file()


def read_config(out: Path) -> dict[str, Any]:
    """Read a run's settings from ``config.json``.

    Raises
    ------
    ValueError
        If the folder is not a run's.
    """
    path = out / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{out} is not a run folder: it has no config.json") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error})") from error
    recipe = config["recipe"]
    if "views" in recipe:  # their name in older runs
        recipe["test_time_views"] = recipe.pop("views")
    return config


def read_scores(out: Path) -> Scores | None:
    """Read a finished run's validation scores; None for a run without a validation set."""
    path = out / "metrics.json"
    if not path.is_file():
        return None
    scores: Scores = json.loads(path.read_text())
    return scores


def load_run(out: Path) -> tuple[keras.Model, tuple[str, ...], Normalisation]:
    """Load a finished run's model, its labels and the normalisation of its crops.

    Raises
    ------
    ValueError
        If the folder is not a run's, or the run is unfinished.
    """
    config = read_config(out)
    if not finished(out):
        raise ValueError(f"{out} is not finished: repeat its leuko train command to resume it")
    normalisation = Normalisation(**config["recipe"]["normalisation"])
    return keras.models.load_model(out / "model.keras"), tuple(config["labels"]), normalisation


def stored_test_time_views(out: Path) -> int:
    """Return the views of a crop over which the run's recipe averages; see `read_config`."""
    return int(read_config(out)["recipe"].get("test_time_views", 1))


def write_json(path: Path, content: object) -> None:
    """Write indented JSON, whole or not at all."""
    write_atomically(path, (json.dumps(content, indent=2) + "\n").encode())


def save_network(path: Path, network: keras.Model) -> None:
    """Write a Keras model whole or not at all."""
    with replaced_path(path, suffix=".keras") as partial:
        network.save(partial)


def write_history(out: Path, history: Sequence[Epoch]) -> None:
    """Write ``history.csv``."""
    write_table(out / "history.csv", Epoch, history)


def read_history(out: Path) -> list[Epoch]:
    """Read ``history.csv``; empty for a run that has not begun."""
    path = out / "history.csv"
    return list(read_table(path, Epoch).values()) if path.is_file() else []


def save_crops(out: Path, job: TrainingJob) -> None:
    """Choose the crops that the run keeps and write ``crops.npz``."""
    training, validation = job.training, job.validation
    chosen = []
    for label in np.unique(training.truth):
        members = np.flatnonzero(training.truth == label)
        members = members[np.argsort(training.crops[members].mean(axis=(1, 2)), kind="stable")]
        wanted = min(len(members), REPRESENTATIVE // len(training.labels))
        chosen.append(members[np.linspace(0, len(members) - 1, wanted).round().astype(np.int64)])
    with replaced_atomically(out / "crops.npz") as file:
        np.savez_compressed(
            file,
            representative=training.crops[np.concatenate(chosen)],
            validation=training.crops[:0] if validation is None else validation.crops,
            truth=training.truth[:0] if validation is None else validation.truth,
        )


def read_crops(out: Path) -> RunCrops:
    """Read the crops kept with a finished run.

    Raises
    ------
    ValueError
        If there are none, or they cannot be read.
    """
    path = out / "crops.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            return RunCrops(archive["representative"], archive["validation"], archive["truth"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: train the run again") from error
