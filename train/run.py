"""The folder of a training run, which a kill or a power cut leaves usable.

``config.json`` holds recipe, seed, labels, data hashes and versions, ``split.csv`` the part of each crop,
``history.csv`` one row per epoch, ``curves.html`` these rows as curves, ``checkpoint.keras`` model and
optimizer after the last whole epoch. A finished run adds ``metrics.json`` (scores on the validation set),
``crops.npz`` (what a converter needs to quantise and calibrate without the data) and, written last,
``model.keras``.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import BadZipFile, ZipFile

import keras
import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.base import ANOTHER_NAME, open_input, replaced_atomically, replaced_path, write_atomically
from edge.find import Normalisation
from train.data import Dataset
from train.metrics import Scores, scores_of
from train.network_file import read_network
from train.networks import build_network
from train.recipe import TrainingJob
from train.run_config import CONFIG, read_config, read_object, stored_settings
from train.table import VALIDATION, Row, SplitCrop, read_table, write_table

REPRESENTATIVE = 300
"""Training crops kept with a run, for the ranges of a quantised network."""

NETWORK, METRICS, CROPS, SPLIT = "model.keras", "metrics.json", "crops.npz", "split.csv"

_MOST_BYTES = 4 << 30
_LEAST_INFLATED, _MOST_INFLATED = 64 << 20, 50
"""Bytes that a file of crops may have when inflated, and how many times its own size it may have beyond them;
crops of cells shrink to a third, empty ones to a fiftieth."""

_DAMAGE = (
    # of zipfile, whose NotImplementedError is an unknown compression and RuntimeError a password, and of zlib
    *(OSError, ValueError, KeyError, EOFError, BadZipFile, NotImplementedError, RuntimeError, zlib.error),
    *(SyntaxError, TokenError),  # of NumPy's header
)


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
    groups : tuple of str [n]
        Frame or patient of each validation crop.
    readings : int64 [n, labels] or None
        How many readers give a validation crop each label; None if no crop has several readings.
    """

    representative: NDArray[np.uint8]
    validation: NDArray[np.uint8]
    truth: NDArray[np.int64]
    groups: tuple[str, ...]
    readings: NDArray[np.int64] | None = None


def open_run(out: Path, job: TrainingJob, **more: object) -> None:
    """Begin a run folder, or check that the one there was begun with the same settings, `more` included.

    Raises
    ------
    ValueError
        If the folder was begun otherwise, or holds something else.
    """
    settings = _settings(job) | more
    if (out / CONFIG).is_file():
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
    write_table(out / SPLIT, SplitCrop, rows)
    settings["versions"] = {
        "leuko-edge": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "numpy": np.__version__,
    }
    write_json(out / CONFIG, settings)


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
    stored = stored_settings(out)
    for key, option in (("targets_sha256", "--teacher"), ("teacher_sha256", "--distil")):
        if stored.get(key):
            raise ValueError(f"{out} was started with {option}, which no longer exists; {ANOTHER_NAME}")
    changed = [key for key in settings if stored.get(key) != settings[key]]
    if "recipe" in changed:
        old, new = asdict(read_config(out).recipe), settings["recipe"]
        changed[:1] = [key for key in new if old[key] != new[key]]
    if changed:
        raise ValueError(f"{out} was started with another {', '.join(changed)}; {ANOTHER_NAME}")


def finished(out: Path) -> bool:
    """Return whether a run folder holds a finished model."""
    return (out / NETWORK).is_file()


def read_scores(out: Path) -> Scores | None:
    """Return a finished run's validation scores; None for a run without a validation set.

    They are worked out again from the confusion matrix; ValueError if ``metrics.json`` is damaged.
    """
    path = out / METRICS
    if not path.is_file():
        return None
    stored, labels = read_object(path), read_config(out).labels
    try:
        confusion = np.array(stored["confusion"])
        whole = confusion.shape == (len(labels),) * 2 and confusion.dtype.kind == "i"
        if not whole or confusion.min() < 0 or not 0 < confusion.max() < 1 << 40:
            raise ValueError("no confusion matrix of its labels")
        scores = scores_of(confusion, labels)
        if stored != scores:
            raise ValueError("its scores are not those of its confusion matrix")
    except (ValueError, KeyError) as error:
        raise ValueError(f"{path} is damaged ({error}): train the run again") from error
    return scores


def load_run(out: Path) -> tuple[keras.Model, tuple[str, ...], Normalisation]:
    """Load a finished run's network, float32, its labels and the normalisation of its crops.

    Raises
    ------
    ValueError
        If the folder is not a run's, the run is unfinished, or its network is not one that `leuko train`
        writes.
    """
    config = read_config(out)
    if not finished(out):
        raise ValueError(f"{out} is not finished: repeat its leuko train command to resume it")
    recipe = replace(config.recipe, precision="float32")
    network = read_network(out / NETWORK, lambda: build_network(recipe, len(config.labels)))
    return network, config.labels, recipe.normalisation


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
    readings = None if validation is None else validation.readings
    with replaced_atomically(out / CROPS) as file:
        np.savez_compressed(
            file,
            **({} if readings is None else {"readings": readings}),
            representative=training.crops[np.concatenate(chosen)],
            validation=training.crops[:0] if validation is None else validation.crops,
            truth=training.truth[:0] if validation is None else validation.truth,
        )


def read_crops(out: Path) -> RunCrops:
    """Read the crops kept with a finished run.

    Raises
    ------
    ValueError
        If there are none, they cannot be read, or they are not of the run's side and labels.
    """
    path, config = out / CROPS, read_config(out)
    try:
        with open_input(path, _MOST_BYTES) as file, ZipFile(file) as archive:
            declared = sum(one.file_size for one in archive.infolist())
            if declared > max(_LEAST_INFLATED, _MOST_INFLATED * path.stat().st_size):
                raise ValueError("it is too large when inflated")
            side = config.crop_px
            representative = _read_array(archive, "representative", np.uint8, (side, side))
            validation = _read_array(archive, "validation", np.uint8, (side, side))
            truth = _read_array(archive, "truth", np.int64, ())
            readings = None
            if "readings.npy" in archive.namelist():
                readings = _read_array(archive, "readings", np.int64, (len(config.labels),))
        if not 0 < len(representative) <= REPRESENTATIVE or len(validation) != len(truth):
            raise ValueError("another number of crops than leuko train keeps")
        if len(truth) and not 0 <= truth.min() <= truth.max() < len(config.labels):
            raise ValueError("a label that the run lacks")
        if readings is not None and (len(readings) != len(truth) or not _plausible(readings)):
            raise ValueError("readings of other crops")
    except _DAMAGE as error:
        raise ValueError(f"{path} cannot be read ({error}): train the run again") from error
    rows = read_table(out / SPLIT, SplitCrop).values()
    groups = tuple(row.group or row.path for row in rows if row.part == VALIDATION)
    if len(groups) != len(truth):
        raise ValueError(
            f"{out / SPLIT} lists {len(groups)} validation crops, and {CROPS} holds {len(truth)}: "
            "train the run again"
        )
    return RunCrops(representative, validation, truth, groups, readings)


def _plausible(readings: NDArray[np.int64]) -> bool:
    """Return whether every crop was read, and by no more people than there are columns in a table."""
    return bool((readings >= 0).all() and (readings.sum(axis=1) > 0).all() and (readings < 1024).all())


def _read_array(archive: ZipFile, name: str, dtype: type[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """Read an array [n, *shape]; its size is checked before memory is taken."""
    info = archive.getinfo(f"{name}.npy")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)  # type: ignore[no-untyped-call] # of NumPy
        if version != (1, 0):
            raise ValueError(f"{name} is no array of numbers")
        found, in_columns, kind = np.lib.format.read_array_header_1_0(file)  # type: ignore[no-untyped-call] # as above
        size = math.prod(found) * np.dtype(dtype).itemsize
        if kind != dtype or in_columns or found[1:] != shape or file.tell() + size != info.file_size:
            raise ValueError(f"{name} is no array of {np.dtype(dtype).name} {list(shape)}")
        return np.frombuffer(file.read(), dtype).reshape(found)
