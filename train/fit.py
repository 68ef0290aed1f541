"""Fitting a network into a run folder that survives being killed.

A run folder holds ``config.json`` (recipe, seed, labels, data hashes, versions), ``split.csv``,
``history.csv`` (a row an epoch), ``checkpoint.keras`` (model and optimizer after the last whole epoch) and,
once finished, ``metrics.json`` (scores on the validation set), ``crops.npz`` (what a converter needs to
quantise and calibrate, so that a run converts without its data) and ``model.keras``.
"""

from __future__ import annotations

import csv
import json
import math
import os
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.crop import Normalisation, level
from train import augment
from train.data import Dataset
from train.metrics import Scores, score
from train.networks import NETWORKS

PLAIN = Normalisation(background=0, scale=1 / 255, offset=0.0)
CENTRED = Normalisation(background=128, scale=1 / 64, offset=-2.0)
"""Background grey is 0, so that convolutions pad with background and batch norm starts from no large mean."""


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a fit, but for the data and the seed.

    Attributes
    ----------
    name : what the recipe is called
    network, width, dropout, batch_norm_momentum : see `train.networks`
    epochs, batch : passes over the (augmented) crops, and crops a step
    learning_rate : Adam's; the peak where there is a `warm_up`
    warm_up : None for a constant rate, or the share of the steps in which it rises before a cosine's fall
    weight_decay : decoupled from the gradient (AdamW)
    label_smoothing : probability mass spread over all labels
    clip_norm : largest norm of the whole gradient, or None
    normalisation : what the network sees of a grey crop
    augmentation : ``paper``, its fixed expansion, or ``random``, drawn anew every epoch from balanced classes
    """

    name: str
    network: str = "fusion"
    width: float = 1.0
    dropout: float = 0.0
    batch_norm_momentum: float = 0.99
    epochs: int = 25
    batch: int = 32
    learning_rate: float = 1e-4
    warm_up: float | None = None
    weight_decay: float = 0.0
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    augmentation: Literal["paper", "random"] = "paper"
    normalisation: Normalisation = PLAIN


RECIPES = {
    "paper": Recipe("paper"),
    "best": Recipe(
        "best",
        dropout=0.4,
        batch_norm_momentum=0.9,
        epochs=60,
        learning_rate=1e-3,
        warm_up=0.05,
        weight_decay=1e-2,
        label_smoothing=0.1,
        clip_norm=1.0,
        augmentation="random",
        normalisation=CENTRED,
    ),
}
"""``paper``: Chen, Fu et al., Heliyon, 2024 (Adam, 1e-4, batch 32, 25 epochs). ``best``: this project's."""


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """One epoch of training batches; its content depends on the seed and the epoch alone."""

    def __init__(self, dataset: Dataset, recipe: Recipe, seed: int, epoch: int) -> None:
        super().__init__()
        self._dataset = dataset
        self._seed = (seed, epoch)
        self._normalisation = recipe.normalisation
        self._random = recipe.augmentation == "random"
        rng = np.random.default_rng(self._seed)
        if self._random:
            self._order = augment.balanced_order(dataset.truth, rng)
        else:
            factors = augment.expansion_factors(list(dataset.counts().values()))
            self._order = rng.permutation(augment.expansion(dataset.truth, factors))
        self._batch = min(recipe.batch, len(self._order))

    def __len__(self) -> int:
        """Whole batches only: a short last one would weigh its crops more and be compiled anew."""
        return len(self._order) // self._batch

    def __getitem__(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the normalised crops float32 [batch, s, s, 1], one-hot labels float32 [batch, labels]."""
        places = range(step * self._batch, (step + 1) * self._batch)
        crops = np.stack([self._crop(place) for place in places])[..., np.newaxis]
        sources = self._order[places.start : places.stop]
        truth = self._dataset.truth[sources if self._random else sources[:, 0]]
        crops *= np.float32(255 * self._normalisation.scale)
        crops += np.float32(self._normalisation.offset)
        return crops, np.eye(len(self._dataset.labels), dtype=np.float32)[truth]

    def _crop(self, place: int) -> NDArray[np.float32]:
        if self._random:
            rng = np.random.default_rng((*self._seed, place))
            return augment.random_variant(self._dataset.crops[self._order[place]], rng)
        crop, factor, variant = self._order[place].tolist()
        return augment.paper_variant(self._dataset.crops[crop], factor, variant) / np.float32(255)


def normalised(crops: NDArray[np.uint8], normalisation: Normalisation) -> NDArray[np.float32]:
    """Turn grey crops uint8 [n, s, s] into a network's input float32 [n, s, s, 1]."""
    grey = level(crops, normalisation.background)[..., np.newaxis].astype(np.float32)
    return grey * np.float32(normalisation.scale) + np.float32(normalisation.offset)


def _compiled(recipe: Recipe, labels: int, steps: int, seed: int) -> keras.Model:
    """Build and compile the recipe's network for `steps` steps an epoch."""
    keras.utils.set_random_seed(seed)
    model = NETWORKS[recipe.network](
        labels,
        width=recipe.width,
        dropout=recipe.dropout,
        batch_norm_momentum=recipe.batch_norm_momentum,
        seed=seed,
    )
    rate: float | keras.optimizers.schedules.LearningRateSchedule = recipe.learning_rate
    if recipe.warm_up is not None:
        total = steps * recipe.epochs
        rising = max(1, round(recipe.warm_up * total))
        rate = keras.optimizers.schedules.CosineDecay(
            0.0, max(1, total - rising), warmup_target=recipe.learning_rate, warmup_steps=rising
        )
    model.compile(
        optimizer=keras.optimizers.Adam(
            rate, weight_decay=recipe.weight_decay or None, global_clipnorm=recipe.clip_norm
        ),
        loss=keras.losses.CategoricalCrossentropy(label_smoothing=recipe.label_smoothing),
        metrics=["accuracy"],
        # measured: XLA on a CPU takes 1.7 times as long a step as TensorFlow's own oneDNN kernels
        jit_compile=keras.backend.backend() == "jax",
    )
    return model


def _seed_dropout(model: keras.Model, steps_done: int) -> None:
    """Set the dropout masks to those that follow `steps_done` steps; Keras does not save their state."""
    for variable in model.variables:
        if variable.path.endswith("seed_generator_state"):
            variable.assign([int(variable[0]), steps_done])


def probabilities(
    model: keras.Model, crops: NDArray[np.uint8], normalisation: Normalisation, batch: int = 64
) -> NDArray[np.float32]:
    """Classify grey crops uint8 [n, s, s] with a Keras model: float32 [n, labels]."""
    parts = [
        np.asarray(model.predict_on_batch(normalised(crops[start : start + batch], normalisation)))
        for start in range(0, len(crops), batch)
    ]
    answers: NDArray[np.float32] = np.concatenate(parts).astype(np.float32, copy=False)
    return answers


def _replace(path: Path, write: Callable[[Path], object]) -> None:
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


def _write_json(path: Path, content: object) -> None:
    _replace(path, lambda part: part.write_text(json.dumps(content, indent=2) + "\n"))


def _write_table(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *rows])

    _replace(path, write)


def _settings(training: Dataset, validation: Dataset | None, recipe: Recipe, seed: int) -> dict[str, Any]:
    def described(dataset: Dataset) -> dict[str, Any]:
        return {"cells": len(dataset.truth), "counts": dataset.counts(), "sha256": dataset.sha256}

    return {
        "recipe": asdict(recipe),
        "seed": seed,
        "labels": list(training.labels),
        "crop_px": training.crops.shape[1],
        "training": described(training),
        "validation": None if validation is None else described(validation),
    }


def _open_run(out: Path, settings: dict[str, Any], sets: dict[str, Dataset | None]) -> None:
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
        for part, dataset in sets.items()
        if dataset is not None
        for name, k, group in zip(dataset.names, dataset.truth, dataset.groups, strict=True)
    ]
    _write_table(out / "split.csv", ("path", "label", "group", "part"), rows)
    versions = {
        "leuko-edge": __version__,
        "keras": keras.__version__,
        "backend": keras.backend.backend(),
        "numpy": np.__version__,
    }
    _write_json(config, {**settings, "versions": versions})


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


def _kept_crops(training: Dataset, validation: Dataset | None) -> RunCrops:
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


def finished(out: Path) -> bool:
    """Say whether a run folder holds a finished model."""
    return (out / "model.keras").is_file()


def fit(
    training: Dataset,
    validation: Dataset | None,
    out: Path,
    recipe: Recipe,
    seed: int,
    *,
    on_step: Callable[[int, int, int], None] = lambda epoch, step, steps: None,
    on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
) -> Scores | None:
    """Fit a network into the run folder `out`, from its last whole epoch where it was begun before.

    The same data, recipe and seed give the same model, unbroken or resumed.

    Parameters
    ----------
    training, validation
        Crops of the network's input size; without a validation set nothing is scored.
    out
        Run folder: absent, empty, or begun with the same settings.
    recipe, seed
        How to fit.
    on_step
        Called with the epoch (from 0), the steps done in it and its steps.
    on_epoch
        Called with each new row of the history: ``epoch`` (from 1), ``loss``, ``accuracy``, ``seconds``, and
        ``validation_loss`` and ``validation_accuracy`` where there is a validation set.

    Returns
    -------
    Scores of the last epoch on the validation set, or None without one.

    Raises
    ------
    ValueError
        If the folder is another run's, the recipe's network is unknown, or the loss is not finite.
    """
    if recipe.network not in NETWORKS:
        raise ValueError(f"no network {recipe.network}; there are {', '.join(NETWORKS)}")
    kept = _kept_crops(training, validation)
    _open_run(
        out,
        _settings(training, validation, recipe, seed),
        {"training": training, "validation": validation},
    )
    if finished(out):
        return read_scores(out)

    training = replace(training, crops=level(training.crops, recipe.normalisation.background))
    # its threads would fight the training backend's for the cores: a third of the time went there
    cv2.setNumThreads(1)
    steps = len(Batches(training, recipe, seed, 0))
    checkpoint, table = out / "checkpoint.keras", out / "history.csv"
    if checkpoint.is_file():
        model = keras.models.load_model(checkpoint)
        first = int(model.optimizer.iterations) // steps
        rows = _read_history(table)[:first]
    else:
        model = _compiled(recipe, len(training.labels), steps, seed)
        first, rows = 0, []

    answers = None
    for epoch in range(first, recipe.epochs):
        start = time.monotonic()
        told = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs, epoch=epoch: on_step(epoch, step + 1, steps)
        )
        batches = Batches(training, recipe, seed, epoch)
        _seed_dropout(model, epoch * steps)
        logs = model.fit(batches, shuffle=False, verbose=0, callbacks=[told]).history
        row = {"epoch": float(epoch + 1), "loss": logs["loss"][0], "accuracy": logs["accuracy"][0]}
        if not math.isfinite(row["loss"]):
            raise ValueError(f"the loss is {row['loss']} after epoch {epoch + 1}: lower the learning rate")
        if validation is not None:
            answers = probabilities(model, validation.crops, recipe.normalisation)
            right = answers[np.arange(len(answers)), validation.truth]
            row["validation_loss"] = float(-np.log(np.maximum(right, 1e-7)).mean())
            row["validation_accuracy"] = float((answers.argmax(axis=1) == validation.truth).mean())
        row["seconds"] = time.monotonic() - start
        rows.append(row)
        # the history first: a checkpoint never lacks its epochs, and a surplus row is cut when resuming
        _write_table(table, tuple(rows[0]), [tuple(f"{v:.6g}" for v in r.values()) for r in rows])
        _replace(checkpoint, model.save)
        on_epoch(row)

    if validation is not None:
        if answers is None:
            answers = probabilities(model, validation.crops, recipe.normalisation)
        _write_json(out / "metrics.json", score(validation.truth, answers.argmax(axis=1), validation.labels))
    _replace(out / "crops.npz", lambda part: _save_crops(part, kept))
    # without the optimizer; the last file written, so its presence says that the run is finished
    _replace(out / "model.keras", keras.Model(model.inputs, model.outputs, name=model.name).save)
    return read_scores(out)


def _save_crops(path: Path, crops: RunCrops) -> None:
    with path.open("wb") as file:  # given a path, numpy would add a suffix of its own
        np.savez_compressed(
            file, representative=crops.representative, validation=crops.validation, truth=crops.truth
        )


def _read_history(path: Path) -> list[dict[str, float]]:
    with path.open(newline="", encoding="utf-8") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def read_scores(out: Path) -> Scores | None:
    """Read a finished run's validation scores, or None for a run without a validation set."""
    path = out / "metrics.json"
    if not path.is_file():
        return None
    scores: Scores = json.loads(path.read_text())
    return scores


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


def recipe_of(name: str, **changes: float | int | str | None) -> Recipe:
    """Return a recipe with the given settings changed; None leaves one as it is."""
    given: dict[str, Any] = {key: value for key, value in changes.items() if value is not None}
    return replace(RECIPES[name], **given)
