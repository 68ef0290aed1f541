"""Fit a network into a run folder, or resume a fit there from its last whole epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import keras
import numpy as np
from numpy.typing import NDArray

from edge.classify import average_probabilities
from edge.find import Normalisation, level
from train.batches import Batches
from train.data import Dataset
from train.metrics import Scores, score
from train.network_file import read_network
from train.networks import build_network, multiply_accumulates
from train.recipe import Recipe, TrainingJob
from train.report.curves import write_curves
from train.run import (
    METRICS,
    NETWORK,
    Epoch,
    finished,
    open_run,
    read_history,
    read_scores,
    save_crops,
    save_network,
    write_history,
    write_json,
)

CHECKPOINT = "checkpoint.keras"
SECONDS_PER_MAC = 22e-12
"""Seconds per multiply-accumulate of a network in training: measured on two cores, a crop takes 22 ms at full
width (1.0 G) and 6 ms at half (0.27 G)."""

BATCH = 64
"""Crops per step when a finished network classifies."""


def _ignore(*_: object) -> None:
    """Do nothing."""


@dataclass(frozen=True)
class FitObserver:
    """Functions called before each fold (its number from 1), after each step, and after each epoch.

    `on_step` gets the epoch from 0, the steps done in it and its number of steps; `on_epoch` gets the new row
    of the history.
    """

    on_fold: Callable[[int], None] = _ignore
    on_step: Callable[[int, int, int], None] = _ignore
    on_epoch: Callable[[Epoch], None] = _ignore


SILENT = FitObserver()


def normalised(crops: NDArray[np.uint8], normalisation: Normalisation) -> NDArray[np.float32]:
    """Turn grey crops, uint8 [n, s, s], into a network's input, float32 [n, s, s, 1]."""
    grey = level(crops, normalisation.background)[..., np.newaxis].astype(np.float32)
    return grey * np.float32(normalisation.scale) + np.float32(normalisation.offset)


def probabilities(
    model: keras.Model,
    crops: NDArray[np.uint8],
    normalisation: Normalisation,
    test_time_views: int = 1,
) -> NDArray[np.float32]:
    """Classify grey crops, uint8 [n, s, s], with a Keras model.

    Returns
    -------
    float32 [n, labels]
        Averaged over the views of a crop, see `edge.classify.average_probabilities`.
    """

    def classify(view: NDArray[np.uint8]) -> NDArray[np.float32]:
        parts = [
            np.asarray(model.predict_on_batch(normalised(view[start : start + BATCH], normalisation)))
            for start in range(0, len(view), BATCH)
        ]
        found: NDArray[np.float32] = np.concatenate(parts).astype(np.float32, copy=False)
        return found

    return average_probabilities(classify, crops, test_time_views)


def expected_seconds(recipe: Recipe, training: Dataset, macs: int | None = None) -> float:
    """Return about how long a fit takes on two cores; `macs` are the network's per crop, if known."""
    if macs is None:
        macs = sum(multiply_accumulates(build_network(recipe, len(training.labels))).values())
        keras.utils.clear_session()
    crops = len(Batches(training, recipe, 0, 0)) * recipe.batch
    return recipe.epochs * crops * macs * SECONDS_PER_MAC


def fit(job: TrainingJob, out: Path, observer: FitObserver = SILENT) -> Scores | None:
    """Fit a network into the run folder `out`, or resume from the last whole epoch there.

    The same job gives the same model, whether or not it was interrupted.

    Returns
    -------
    Scores or None
        Of the finished network on the validation set; None without one.

    Raises
    ------
    ValueError
        If the folder holds another job's run, the crops are not of the recipe's side, or the loss is not
        finite.
    OSError
        If a file cannot be written.
    """
    side = job.training.crops.shape[1]
    if side != job.recipe.side_px:
        raise ValueError(f"crops of {side} px for a network that takes {job.recipe.side_px} px")
    open_run(out, job)
    if not finished(out):
        # OpenCV's threads would compete with the backend for the cores: measured, a third of the time
        cv2.setNumThreads(1)
        trained = _train(job, out, observer)
        _finish(job, out, trained)
    return read_scores(out)


def _train(job: TrainingJob, out: Path, observer: FitObserver) -> keras.Model:
    """Train for all epochs that the run folder lacks, with a checkpoint after each."""
    steps = len(Batches(job.training, job.recipe, job.seed, 0))
    model, history = _last_checkpoint(job, out, steps) or (_compiled(job, steps), [])
    for epoch in range(len(history), job.recipe.epochs):
        start = time.monotonic()
        reporter = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda step, logs, epoch=epoch: observer.on_step(epoch, step + 1, steps)
        )
        batches = Batches(job.training, job.recipe, job.seed, epoch)
        _seed_dropout(model, epoch * steps)
        logs = model.fit(batches, shuffle=False, verbose=0, callbacks=[reporter]).history
        (loss,), (accuracy,) = logs["loss"], logs["accuracy"]
        if not math.isfinite(loss):
            raise ValueError(f"the loss is {loss} after epoch {epoch + 1}: lower the learning rate")
        row = Epoch(epoch=epoch + 1, loss=loss, accuracy=accuracy, seconds=0.0)
        if job.validation is not None:
            row = _validated(row, model, job.validation, job.recipe)
        row = replace(row, seconds=time.monotonic() - start)
        history.append(row)
        # the history first: a checkpoint then never lacks its epochs, and resuming cuts a surplus row
        write_history(out, history)
        write_curves(out, history, job.recipe.epochs)
        save_network(out / CHECKPOINT, model)
        observer.on_epoch(row)
    return model


def _last_checkpoint(job: TrainingJob, out: Path, steps: int) -> tuple[keras.Model, list[Epoch]] | None:
    """Load the model after the last whole epoch and the history up to there; None before the first."""
    for partial in out.glob(".*.partial*"):  # of a write that a kill cut short
        partial.unlink()
    if not (out / CHECKPOINT).is_file():
        return None
    labels = len(job.training.labels)
    model = read_network(
        out / CHECKPOINT, lambda: build_network(job.recipe, labels), lambda: _compiled(job, steps)
    )
    history = read_history(out)
    epochs, more = divmod(int(model.optimizer.iterations), steps)
    if more or not 0 < epochs <= min(len(history), job.recipe.epochs):
        raise ValueError(
            f"{out / CHECKPOINT} and history.csv are not of one run: delete both to begin the run again"
        )
    return model, history[:epochs]


def _validated(row: Epoch, model: keras.Model, validation: Dataset, recipe: Recipe) -> Epoch:
    """Add the loss and accuracy on the validation set, of one view per crop, to a row."""
    found = probabilities(model, validation.crops, recipe.normalisation)
    of_truth = found[np.arange(len(found)), validation.truth]
    return replace(
        row,
        validation_loss=float(-np.log(np.maximum(of_truth, 1e-7)).mean()),
        validation_accuracy=float((found.argmax(axis=1) == validation.truth).mean()),
    )


def _finish(job: TrainingJob, out: Path, trained: keras.Model) -> None:
    """Write the scores, the kept crops and the network, in float32 and without the optimizer."""
    plain = build_network(replace(job.recipe, precision="float32"), len(job.training.labels), job.seed)
    plain.set_weights(trained.get_weights())
    if (validation := job.validation) is not None:
        views = job.recipe.test_time_views
        answers = probabilities(plain, validation.crops, job.recipe.normalisation, views).argmax(axis=1)
        scores = score(validation.truth, answers, validation.labels)
        write_json(out / METRICS, scores)
    save_crops(out, job)
    write_curves(out, read_history(out), job.recipe.epochs, finished=True)
    # written last: its presence means that the run is finished
    save_network(out / NETWORK, plain)


def _compiled(job: TrainingJob, steps: int) -> keras.Model:
    """Build and compile the network for `steps` steps per epoch."""
    recipe = job.recipe
    keras.utils.set_random_seed(job.seed)
    model = build_network(recipe, len(job.training.labels), job.seed)
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
        # measured: a step takes 1.7 times as long with XLA on a CPU as with TensorFlow's oneDNN kernels
        jit_compile=keras.backend.backend() == "jax",
    )
    return model


def _seed_dropout(model: keras.Model, steps_done: int) -> None:
    """Set the dropout masks to those that follow `steps_done` steps; Keras does not save their state."""
    for variable in model.variables:
        if variable.path.endswith("seed_generator_state"):
            variable.assign([int(variable[0]), steps_done])
