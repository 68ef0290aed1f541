"""Out-of-fold predictions: what each crop is taken for by a model that never saw it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edge.classify import average_probabilities
from edge.find import Normalisation
from train.check.runs import OUT_OF_FOLD_CSV, read_predictions
from train.data import Dataset
from train.fit import fit, probabilities
from train.recipe import Recipe
from train.run import load_run, write_table


def assign_folds(dataset: Dataset, folds: int, seed: int = 0) -> NDArray[np.int64]:
    """Deal whole groups out to folds so that each gets about the same share of every class.

    Groups come in random order, the largest first, and go to the fold that lacks most of what they hold.

    Returns
    -------
    int64 [n]
        Fold of each crop, from 0.

    Raises
    ------
    ValueError
        If there are fewer groups than folds.
    """
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(dataset.groups):
        members[group].append(index)
    if len(members) < folds:
        raise ValueError(f"{len(members)} groups cannot make {folds} folds")
    rng = np.random.default_rng(seed)
    names = list(members)
    order = sorted(rng.permutation(len(names)).tolist(), key=lambda k: -len(members[names[k]]))
    size = np.bincount(dataset.truth, minlength=len(dataset.labels))
    lacking = np.tile(size / folds, (folds, 1))
    fold_of = np.zeros(len(dataset.truth), np.int64)
    for k in order:
        indices = members[names[k]]
        gain = np.bincount(dataset.truth[indices], minlength=len(size))
        # in shares of a class, so that a rare one counts as much as a frequent one
        distance = np.sum(((lacking - gain) / np.maximum(size, 1)) ** 2, axis=1)
        before = np.sum((lacking / np.maximum(size, 1)) ** 2, axis=1)
        fold = int(np.argmin(distance - before))
        fold_of[indices] = fold
        lacking[fold] -= gain
    return fold_of


def out_of_fold(
    training: Dataset,
    validation: Dataset | None,
    out: Path,
    recipe: Recipe,
    seed: int,
    folds: int,
    *,
    on_fold: Callable[[int], None] = lambda fold: None,
    on_step: Callable[[int, int, int], None] = lambda epoch, step, steps: None,
    on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
) -> None:
    """Predict every crop of a finished run by a model that never saw it, into its ``out_of_fold.csv``.

    The table has the columns ``path,label,fold`` and a probability a label, the mean over the mirrored and
    turned views. ``fold`` counts from 1; the validation part, which the run's own model never saw, has
    ``validation`` there.

    Each fold is a run of its own under ``folds`` in the run's folder, with the run's recipe and seed, and is
    resumed like any other; finished ones are not fitted again.

    Parameters
    ----------
    training, validation, out, recipe, seed
        Those of the finished run, see `train.fit.fit`.
    folds
        Number of parts, at least 2.
    on_fold
        Called with each fold's number, from 1, before it is fitted.
    on_step, on_epoch
        See `train.fit.fit`.

    Raises
    ------
    ValueError
        If the groups are too few, a class lies in one fold only, or a fit fails.
    """
    fold_of = assign_folds(training, folds, seed)
    answers = np.zeros((len(training.truth), len(training.labels)), np.float32)
    for fold in range(folds):
        inside, outside = (training.take(np.flatnonzero(part)) for part in (fold_of != fold, fold_of == fold))
        bare = [label for label, n in inside.counts().items() if not n and training.counts()[label]]
        if bare:
            raise ValueError(
                f"all crops of {', '.join(bare)} lie in one fold: give more groups, or fewer folds"
            )
        on_fold(fold + 1)
        run = out / "folds" / f"{fold + 1}of{folds}"
        fit(inside, outside, run, recipe, seed, on_step=on_step, on_epoch=on_epoch)
        model, _, normalisation = load_run(run)
        answers[fold_of == fold] = _seen_from_all_sides(model, outside.crops, normalisation)
        keras.backend.clear_session()

    parts = [(training, answers, [str(fold + 1) for fold in fold_of])]
    if validation is not None:
        model, _, normalisation = load_run(out)
        seen = _seen_from_all_sides(model, validation.crops, normalisation)
        parts.append((validation, seen, ["validation"] * len(validation.truth)))
    rows = [
        (name, dataset.labels[k], fold, *(f"{p:.6f}" for p in row))
        for dataset, values, names in parts
        for name, k, fold, row in zip(dataset.names, dataset.truth, names, values, strict=True)
    ]
    write_table(out / OUT_OF_FOLD_CSV, ("path", "label", "fold", *training.labels), rows)


def _seen_from_all_sides(
    model: keras.Model, crops: NDArray[np.uint8], normalisation: Normalisation
) -> NDArray[np.float32]:
    return average_probabilities(lambda view: probabilities(model, view, normalisation), crops, 8)


def soft_targets(training: Dataset, teacher: Path, share: float) -> NDArray[np.float32]:
    """Mix the labels of crops with what a run's folds, which never saw them, take them for.

    A label that is plainly wrong then weighs less, and a crop between two classes says so: distillation from
    out-of-fold predictions (after Hinton, Vinyals and Dean, 2015, arXiv:1503.02531).

    Parameters
    ----------
    training
        Crops to train on.
    teacher
        Run folder with out-of-fold predictions of all of them.
    share
        Of the predictions in the mixture, 0 to 1.

    Returns
    -------
    float32 [n, labels]

    Raises
    ------
    ValueError
        If the run has no such predictions, or they are of other crops or labels.
    """
    seen = read_predictions(teacher, training.names, [training.labels[k] for k in training.truth])
    if seen.labels != training.labels:
        raise ValueError(
            f"{teacher} has the labels {', '.join(seen.labels)}, not {', '.join(training.labels)}"
        )
    given = np.eye(len(training.labels), dtype=np.float32)[training.truth]
    return ((1 - share) * given + share * seen.probabilities).astype(np.float32)
