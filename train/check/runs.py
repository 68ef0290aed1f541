"""A training run's split and out-of-fold predictions of the crops that it was made from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.base import quantity
from train.run_config import CONFIG, part_sizes
from train.table import TRAINING, VALIDATION, FoldCrop, SplitCrop, read_table

SPLIT_CSV = "split.csv"
OUT_OF_FOLD_CSV = "out_of_fold.csv"

_AnyCrop = TypeVar("_AnyCrop", SplitCrop, FoldCrop)


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities [n, labels] of n crops by networks that never saw them; `truth` [n] is as given."""

    labels: tuple[str, ...]
    names: tuple[str, ...]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]


@dataclass(frozen=True)
class RunTables:
    """The split of a run folder and, if they were read, its out-of-fold predictions."""

    run: Path
    split: list[SplitCrop]
    folds: list[FoldCrop]

    def parts(
        self, training: Sequence[str], validation: Sequence[str] | None, unreadable: Set[str] = frozenset()
    ) -> list[str]:
        """Return the part that each crop was in, ``training`` or ``validation``.

        Without names of a validation set, those of `training` may be of either part. The run may list the
        `unreadable` ones besides.

        Raises
        ------
        ValueError
            If the run is of other files.
        """
        trained = [crop for crop in self.split if crop.part == TRAINING]
        held_out = [crop for crop in self.split if crop.part == VALIDATION]
        if validation is None:
            matching = _matching(self.run, (self.split, trained, held_out), training, unreadable)
            part_of = {crop.path: crop.part for crop in matching}
            return [part_of[name] for name in training]
        _matching(self.run, (trained,), training, unreadable)
        _matching(self.run, (held_out,), validation, unreadable)
        return [TRAINING] * len(training) + [VALIDATION] * len(validation)

    def predictions(
        self, names: Sequence[str], given: Sequence[str], unreadable: Set[str] = frozenset()
    ) -> Predictions:
        """Return the out-of-fold predictions of crops with these names and given labels, in this order.

        The names may be those of the run's whole data or of either part, if these are sets of their own.

        Raises
        ------
        ValueError
            If the predictions are of other files, or damaged.
        """
        folds = [crop for crop in self.folds if crop.fold != VALIDATION]
        held_out = [crop for crop in self.folds if crop.fold == VALIDATION]
        matching = _matching(self.run, (self.folds, folds, held_out), names, unreadable)
        by_name = {crop.path: crop for crop in matching}
        rows = [by_name[name] for name in names]
        for row, label in zip(rows, given, strict=True):
            if row.label != label:
                raise ValueError(
                    f"{self.run} was made from other data: {row.path} was {row.label}, not {label}"
                )
        with _damage_named(self.run / OUT_OF_FOLD_CSV):
            labels = tuple(self.folds[0].others)
            if not set(given) <= set(labels):
                raise ValueError("a label without a column")
            probabilities = np.array([[float(text) for text in row.others.values()] for row in rows])
            probabilities = probabilities.reshape(-1, len(labels))
            if not (
                np.isfinite(probabilities).all() and np.allclose(probabilities.sum(axis=1), 1, atol=1e-2)
            ):
                raise ValueError("probabilities that do not sum to 1")
        truth = np.array([labels.index(label) for label in given], np.int64)
        return Predictions(labels, tuple(names), truth, probabilities)


def read_run(run: Path, *, folds: bool = False) -> RunTables:
    """Read a run's tables, with `folds` its out-of-fold predictions too.

    Raises
    ------
    ValueError
        If the folder is not a run, or a file is missing, damaged or cut short.
    """
    path = run / SPLIT_CSV
    if not path.is_file():
        raise ValueError(f"{run} is not a run folder: it has no {SPLIT_CSV}")
    with _damage_named(path):
        split = list(read_table(path, SplitCrop, whole=True).values())
    for part, n in part_sizes(run).items() if (run / CONFIG).is_file() else ():
        rows = sum(crop.part == part for crop in split)
        if rows != n:
            raise ValueError(f"{path} has {rows:,} {part} crops, {CONFIG} {n:,}: train the run again")
    return RunTables(run, split, _read_folds(run, split) if folds else [])


def _read_folds(run: Path, split: Sequence[SplitCrop]) -> list[FoldCrop]:
    path = run / OUT_OF_FOLD_CSV
    if not path.is_file():
        raise ValueError(
            f"{run} has no out-of-fold predictions: repeat its leuko train command with --folds 5"
        )
    with _damage_named(path):
        crops = list(read_table(path, FoldCrop, whole=True).values())
    if missing := {crop.path for crop in split} - {crop.path for crop in crops}:
        crops_lost = quantity(len(missing), "crop")
        raise ValueError(
            f"{path} is cut short, it lacks {crops_lost} of the run: repeat its leuko train command"
        )
    return crops


@contextmanager
def _damage_named(path: Path) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{path.name} is damaged ({error}): train the run again") from error


def _matching(
    run: Path, choices: Sequence[Sequence[_AnyCrop]], names: Sequence[str], unreadable: Set[str]
) -> Sequence[_AnyCrop]:
    """Return the choice of crops that is of exactly these files."""
    listed = [{crop.path for crop in crops} for crops in choices]
    for crops, paths in zip(choices, listed, strict=True):
        if paths - unreadable == set(names):
            return crops
    nearest = min(listed, key=lambda paths: len(paths.symmetric_difference(names)))
    different = sorted((nearest - unreadable).symmetric_difference(names))
    where = "is not among its files" if different[0] in set(names) else "is not in the data"
    more = f", nor {quantity(len(different) - 1, 'other', 'others')}" if len(different) > 1 else ""
    raise ValueError(f"{run} was made from other data: {different[0]} {where}{more}")
