"""The folder of a training run, which survives being killed.

It holds ``config.json`` (recipe, seed, labels, data hashes, versions), ``split.csv``, ``history.csv`` (a row
an epoch), ``checkpoint.keras`` (model and optimizer after the last whole epoch) and, once finished,
``metrics.json`` (scores on the validation set), ``crops.npz`` (what a converter needs to quantise and
calibrate, so that a run converts without its data) and, written last, ``model.keras``.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.find import Normalisation
from train.data import Dataset, split_sha256
from train.metrics import Scores
from train.recipe import Recipe

REPRESENTATIVE = 300
"""Training crops kept with a run, for the ranges of a quantised network."""


@dataclass(frozen=True, eq=False)
class RunCrops:
    """The crops that a run keeps.

    Attributes
    ----------
    representative : uint8 [m, s, s], training crops, evenly over the labels and, within each, over brightness
    validation : uint8 [n, s, s]; n is 0 without a validation set
    truth : int64 [n], label of each validation crop
    """

    representative: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    truth: NDArray[np.int64]


def settings_of(
    training: Dataset,
    validation: Dataset | None,
    recipe: Recipe,
    seed: int,
    targets: NDArray[np.float32] | None = None,
    teacher_sha256: str | None = None,
) -> dict[str, Any]:
    """Describe data, recipe and seed, as ``config.json`` keeps them."""

    def described(dataset: Dataset) -> dict[str, Any]:
        return {"cells": len(dataset.truth), "counts": dataset.counts(), "sha256": dataset.sha256}

    return {
        "recipe": asdict(recipe),
        "seed": seed,
        "labels": list(training.labels),
        "crop_px": training.crops.shape[1],
        "pixel_um": training.pixel_um,
        "training": described(training),
        "validation": None if validation is None else described(validation),
        "targets_sha256": None if targets is None else hashlib.sha256(targets.tobytes()).hexdigest(),
        "teacher_sha256": teacher_sha256,
    }


def open_run(out: Path, settings: dict[str, Any], training: Dataset, validation: Dataset | None) -> None:
    """Start the run folder, or check that the one there was started with the same settings."""
    config = out / "config.json"
    if config.is_file():
        stored = read_config(out)
        changed = [key for key in settings if stored.get(key) != settings[key]]
        if "recipe" in changed:
            old, new = stored["recipe"], settings["recipe"]
            changed[:1] = [key for key in new if old.get(key) != new[key]]
        if changed:
            raise ValueError(f"{out} was started with another {', '.join(changed)}: take another --out")
        return
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is neither empty nor a run: take another --out")
    out.mkdir(parents=True, exist_ok=True)
    rows = [
        (name, dataset.labels[k], group, part)
        for part, dataset in (("training", training), ("validation", validation))
        if dataset is not None
        for name, k, group in zip(dataset.names, dataset.truth, dataset.groups, strict=True)
    ]
    write_table(out / "split.csv", ("path", "label", "group", "part"), rows)
    versions = {
        "leuko-edge": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "numpy": np.__version__,
    }
    hashed = {"split_sha256": split_sha256(training, validation)}
    write_json(config, {**settings, **hashed, "versions": versions})


def finished(out: Path) -> bool:
    """Say whether a run folder holds a finished model."""
    return (out / "model.keras").is_file()


def read_config(out: Path) -> dict[str, Any]:
    """Read a run's settings, as ``config.json`` holds them.

    Raises
    ------
    ValueError
        If the folder is no run.
    """
    path = out / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text())
    except FileNotFoundError:
        raise ValueError(f"{out} is not a run folder: it has no config.json") from None
    except ValueError as error:
        raise ValueError(f"{path} is damaged ({error})") from error
    return config


def read_scores(out: Path) -> Scores | None:
    """Read a finished run's validation scores, or None for a run without a validation set."""
    path = out / "metrics.json"
    if not path.is_file():
        return None
    scores: Scores = json.loads(path.read_text())
    return scores


def load_run(out: Path) -> tuple[keras.Model, tuple[str, ...], Normalisation]:
    """Load a finished run's model, its labels and how it sees crops.

    Raises
    ------
    ValueError
        If the folder is no run, or an unfinished one.
    """
    config = read_config(out)
    if not finished(out):
        raise ValueError(f"{out} is not finished: repeat its leuko train command to resume it")
    normalisation = Normalisation(**config["recipe"]["normalisation"])
    return keras.models.load_model(out / "model.keras"), tuple(config["labels"]), normalisation


def views_of(out: Path) -> int:
    """Views of a crop over which a run's answers are averaged, as its recipe says; see `edge.classify.test_time_augmentation`.

    Raises
    ------
    ValueError
        If the folder is no run.
    """
    return int(read_config(out)["recipe"].get("views", 1))


def read_history(path: Path) -> list[dict[str, float]]:
    """Read the rows of ``history.csv``."""
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def kept_crops(training: Dataset, validation: Dataset | None) -> RunCrops:
    """Choose the crops that a run keeps."""
    chosen = []
    for label in np.unique(training.truth):
        members = np.flatnonzero(training.truth == label)
        members = members[np.argsort(training.crops[members].mean(axis=(1, 2)), kind="stable")]
        wanted = min(len(members), REPRESENTATIVE // len(training.labels))
        chosen.append(members[np.linspace(0, len(members) - 1, wanted).round().astype(np.int64)])
    side = training.crops.shape[1]
    return RunCrops(
        representative=training.crops[np.concatenate(chosen)],
        validation=np.zeros((0, side, side), np.uint8) if validation is None else validation.crops,
        truth=np.zeros(0, np.int64) if validation is None else validation.truth,
    )


def save_crops(path: Path, crops: RunCrops) -> None:
    """Write ``crops.npz`` at this path."""
    with path.open("wb") as file:  # given a path, numpy would add a suffix of its own
        np.savez_compressed(
            file, representative=crops.representative, validation=crops.validation, truth=crops.truth
        )


def read_crops(out: Path) -> RunCrops:
    """Read the crops kept with a finished run.

    Raises
    ------
    ValueError
        If the run keeps none, or they cannot be read.
    """
    path = out / "crops.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            return RunCrops(archive["representative"], archive["validation"], archive["truth"])
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: train the run anew") from error


def write_json(path: Path, content: object) -> None:
    """Write indented JSON, see `replace_file`."""
    replace_file(path, lambda part: part.write_text(json.dumps(content, indent=2) + "\n"))


def write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write a CSV, see `replace_file`."""

    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])

    replace_file(path, write)


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file so that a power cut leaves the old one or the new one."""
    part = path.with_name(f".part-{path.name}")
    write(part)
    with part.open("rb+") as file:
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
