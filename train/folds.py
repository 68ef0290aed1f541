"""Out-of-fold predictions: the probabilities of each crop from a network that never saw it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import keras
import numpy as np
from numpy.typing import NDArray

from edge.model import TEST_TIME_VIEWS
from train.check.runs import OUT_OF_FOLD_CSV
from train.data import Dataset
from train.fit import SILENT, FitObserver, fit, probabilities
from train.recipe import TrainingJob
from train.run import load_run
from train.table import FoldCrop, write_table


def assign_folds(dataset: Dataset, folds: int, seed: int = 0) -> NDArray[np.int64]:
    """Assign whole groups to folds so that each fold gets about the same share of every class.

    Groups come in random order, the largest first; each joins the fold that lacks most of what it holds.

    Returns
    -------
    int64 [n]
        Fold of each crop, from 0.

    Raises
    ------
    ValueError
        If there are fewer groups than folds.
    """
    groups = dataset.group_members()
    if len(groups) < folds:
        raise ValueError(f"{len(groups)} groups cannot make {folds} folds")
    rng = np.random.default_rng(seed)
    order = sorted(rng.permutation(len(groups)).tolist(), key=lambda k: -len(groups[k]))
    size = np.bincount(dataset.truth, minlength=len(dataset.labels))
    lacking = np.tile(size / folds, (folds, 1))
    fold_of = np.zeros(len(dataset.truth), np.int64)
    for k in order:
        indices = groups[k]
        gain = np.bincount(dataset.truth[indices], minlength=len(size))
        # in shares of a class, so that a rare class counts as much as a frequent one
        distance = np.sum(((lacking - gain) / np.maximum(size, 1)) ** 2, axis=1)
        before = np.sum((lacking / np.maximum(size, 1)) ** 2, axis=1)
        fold = int(np.argmin(distance - before))
        fold_of[indices] = fold
        lacking[fold] -= gain
    return fold_of


def write_out_of_fold(job: TrainingJob, out: Path, folds: int, observer: FitObserver = SILENT) -> None:
    """Fit one network per fold and write ``out_of_fold.csv`` into the folder of the finished run `out`.

    The table has the columns ``path,label,fold`` and one probability per label, averaged over all test-time
    views. ``fold`` counts from 1. Crops of the validation part have the fold ``validation``: the run's own
    network never saw them.

    Each fold is a training run under ``folds`` in the run's folder, with the run's recipe and seed. It is
    resumed like any other; a finished one is not fitted again.

    Raises
    ------
    ValueError
        If there are too few groups, a class lies in one fold only, or a fit fails.
    """
    fold_of = assign_folds(job.training, folds, job.seed)
    found = np.zeros((len(job.training.truth), len(job.training.labels)), np.float32)
    for fold in range(folds):
        inside, outside = (
            job.training.take(np.flatnonzero(part)) for part in (fold_of != fold, fold_of == fold)
        )
        _refuse_missing_class(job.training, inside)
        observer.on_fold(fold + 1)
        run = out / "folds" / f"{fold + 1}of{folds}"
        fit(replace(job, training=inside, validation=outside), run, observer)
        found[fold_of == fold] = _predict(run, outside)
        keras.utils.clear_session()
    rows = _rows(job.training, [str(fold + 1) for fold in fold_of], found)
    if (validation := job.validation) is not None:
        rows += _rows(validation, ["validation"] * len(validation.truth), _predict(out, validation))
    write_table(out / OUT_OF_FOLD_CSV, FoldCrop, rows)


def _refuse_missing_class(whole: Dataset, part: Dataset) -> None:
    left = part.counts()
    missing = [label for label, n in whole.counts().items() if n and not left[label]]
    if missing:
        raise ValueError(
            f"all crops of {', '.join(missing)} lie in one fold: give more groups, or fewer folds"
        )


def _predict(run: Path, dataset: Dataset) -> NDArray[np.float32]:
    """Return a run's probabilities of crops, float32 [n, labels]."""
    model, _, normalisation = load_run(run)
    return probabilities(model, dataset.crops, normalisation, TEST_TIME_VIEWS[-1])


def _rows(dataset: Dataset, folds: list[str], found: NDArray[np.float32]) -> list[FoldCrop]:
    return [
        FoldCrop(
            path=name,
            label=dataset.labels[k],
            fold=fold,
            others={label: f"{p:.6f}" for label, p in zip(dataset.labels, row, strict=True)},
        )
        for name, k, fold, row in zip(dataset.names, dataset.truth, folds, found, strict=True)
    ]
