"""Fitting a network into a run folder, from its last whole epoch where it was begun before."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from edge.classify import average_probabilities
from edge.find import Normalisation, level
from train import augment
from train.data import Dataset
from train.distil import Teacher
from train.metrics import Scores, score
from train.networks import NETWORKS, network_of
from train.networks.head import refuse_width
from train.recipe import Recipe
from train.run import (
    finished,
    kept_crops,
    open_run,
    read_history,
    read_scores,
    replace_file,
    save_crops,
    settings_of,
    write_json,
    write_table,
)


class Batches(keras.utils.PyDataset):  # type: ignore[misc]
    """One epoch of training batches; its content depends on the seed and the epoch alone."""

    def __init__(
        self,
        dataset: Dataset,
        recipe: Recipe,
        seed: int,
        epoch: int,
        targets: NDArray[np.float32] | None = None,
        teacher: Teacher | None = None,
    ) -> None:
        super().__init__()
        self._dataset = dataset
        self._targets = targets
        self._teacher = teacher
        self._seed = (seed, epoch)
        self._recipe = recipe
        self._random = recipe.augmentation == "random"
        rng = np.random.default_rng(self._seed)
        if self._random:
            self._order = augment.balanced_order(dataset.truth, rng, recipe.balance)
        else:
            factors = augment.expansion_factors(list(dataset.counts().values()))
            self._order = rng.permutation(augment.expansion(dataset.truth, factors))
        self._batch = min(recipe.batch, len(self._order))

    def __len__(self) -> int:
        """Whole batches only: a short last one would weigh its crops more and be compiled anew."""
        return len(self._order) // self._batch

    def __getitem__(self, step: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the normalised crops float32 [batch, s, s, 1], targets float32 [batch, labels]."""
        places = range(step * self._batch, (step + 1) * self._batch)
        crops = np.stack([self._crop(place) for place in places])[..., np.newaxis]
        order = self._order[places.start : places.stop]
        sources = order if self._random else order[:, 0]
        crops *= np.float32(255 * self._recipe.normalisation.scale)
        crops += np.float32(self._recipe.normalisation.offset)
        if self._targets is None:
            labels = np.eye(len(self._dataset.labels), dtype=np.float32)[self._dataset.truth[sources]]
        else:
            labels = self._targets[sources]
        if self._recipe.mixup:
            rng = np.random.default_rng((*self._seed, step, 1))
            share = np.float32(rng.beta(self._recipe.mixup, self._recipe.mixup))
            others = rng.permutation(len(crops))
            crops = share * crops + (1 - share) * crops[others]
            labels = share * labels + (1 - share) * labels[others]
        if self._teacher is not None:
            labels = self._teacher.answer(crops)
        return crops, labels

    def _crop(self, place: int) -> NDArray[np.float32]:
        if self._random:
            rng = np.random.default_rng((*self._seed, place))
            crop = self._dataset.crops[self._order[place]]
            backgrounds = self._dataset.backgrounds
            if len(backgrounds) and rng.random() < self._recipe.backgrounds:
                crop = augment.lay_over(crop, backgrounds[rng.integers(len(backgrounds))], rng)
            return augment.random_variant(self._levelled(crop), rng)
        source, factor, number = self._order[place].tolist()
        crop = self._levelled(self._dataset.crops[source])
        return augment.paper_variant(crop, factor, number) / np.float32(255)

    def _levelled(self, crop: NDArray[np.uint8]) -> NDArray[np.uint8]:
        levelled: NDArray[np.uint8] = level(crop[np.newaxis], self._recipe.normalisation.background)[0]
        return levelled


def normalised(crops: NDArray[np.uint8], normalisation: Normalisation) -> NDArray[np.float32]:
    """Turn grey crops uint8 [n, s, s] into a network's input float32 [n, s, s, 1]."""
    grey = level(crops, normalisation.background)[..., np.newaxis].astype(np.float32)
    return grey * np.float32(normalisation.scale) + np.float32(normalisation.offset)


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


def fit(
    training: Dataset,
    validation: Dataset | None,
    out: Path,
    recipe: Recipe,
    seed: int,
    *,
    targets: NDArray[np.float32] | None = None,
    teacher: Teacher | None = None,
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
    targets
        Probabilities float32 [n, labels] to learn instead of the labels, see `train.folds.soft_targets`.
    teacher
        Networks whose answers to each batch are learnt instead of labels and targets.
    on_step
        Called with the epoch (from 0), the steps done in it and its steps.
    on_epoch
        Called with each new row of the history: ``epoch`` (from 1), ``loss``, ``accuracy``, ``seconds``, and
        ``validation_loss`` and ``validation_accuracy`` where there is a validation set.

    Returns
    -------
    Scores of the finished network on the validation set, or None without one.

    Raises
    ------
    ValueError
        If the folder is another run's, the recipe's network is unknown or has no such width, or the loss is
        not finite.
    """
    if recipe.network not in NETWORKS:
        raise ValueError(f"no network {recipe.network}; there are {', '.join(NETWORKS)}")
    if not NETWORKS[recipe.network].has_width:
        refuse_width(recipe.network, recipe.width)  # before anything is written
    kept = kept_crops(training, validation)
    taught_by = None if teacher is None else teacher.sha256
    settings = settings_of(training, validation, recipe, seed, targets, taught_by)
    open_run(out, settings, training, validation)
    if finished(out):
        return read_scores(out)

    # its threads would fight the training backend's for the cores: a third of the time went there
    cv2.setNumThreads(1)
    steps = len(Batches(training, recipe, seed, 0))
    checkpoint, table = out / "checkpoint.keras", out / "history.csv"
    if checkpoint.is_file():
        model = keras.models.load_model(checkpoint)
        first = int(model.optimizer.iterations) // steps
        rows = read_history(table)[:first]
    else:
        model = _compiled(recipe, len(training.labels), training.crops.shape[1], steps, seed)
        first, rows = 0, []

    for epoch in range(first, recipe.epochs):
        start = time.monotonic()
        told = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs, epoch=epoch: on_step(epoch, step + 1, steps)
        )
        batches = Batches(training, recipe, seed, epoch, targets, teacher)
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
        write_table(table, tuple(rows[0]), [tuple(f"{v:.6g}" for v in r.values()) for r in rows])
        replace_file(checkpoint, model.save)
        on_epoch(row)

    # in float32 and without the optimizer
    plain = network_of(
        replace(recipe, precision="float32"), len(training.labels), training.crops.shape[1], seed
    )
    plain.set_weights(model.get_weights())
    if validation is not None:
        answers = average_probabilities(
            lambda crops: probabilities(plain, crops, recipe.normalisation), validation.crops, recipe.views
        )
        write_json(out / "metrics.json", score(validation.truth, answers.argmax(axis=1), validation.labels))
    replace_file(out / "crops.npz", lambda part: save_crops(part, kept))
    # the last file written, so its presence says that the run is finished
    replace_file(out / "model.keras", plain.save)
    return read_scores(out)


def _compiled(recipe: Recipe, labels: int, crop_px: int, steps: int, seed: int) -> keras.Model:
    """Build and compile the recipe's network for `steps` steps an epoch."""
    keras.utils.set_random_seed(seed)
    model = network_of(recipe, labels, crop_px, seed)
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
