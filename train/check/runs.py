"""What a training run says about the crops it was made from: its split and its out-of-fold predictions."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence, Set
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from train.check.findings import count
from train.check.repeats import TRAINING, VALIDATION

SPLIT_CSV = "split.csv"
OUT_OF_FOLD_CSV = "out_of_fold.csv"

_Row = TypeVar("_Row", bound=Sequence[str])


@dataclass(frozen=True, eq=False)
class Predictions:
    """Probabilities of crops by networks that never saw them.

    Attributes
    ----------
    labels : classes, in the order of the columns
    names : files, see `train.data.Dataset`
    truth : int64 [n], given label of each crop
    probabilities : float64 [n, labels]
    """

    labels: tuple[str, ...]
    names: tuple[str, ...]
    truth: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def check_run(run: Path, *, folds: bool) -> None:
    """Read a run's settings and tables as far as they can be judged without its crops: before anything slow.

    Parameters
    ----------
    run
        Run folder.
    folds
        Whether its out-of-fold predictions are wanted, too.

    Raises
    ------
    ValueError
        If the folder is no run, or one of them is missing, damaged or cut short.
    """
    split = _split(run)
    config = run / "config.json"
    if config.is_file():
        with _readable(config):
            told = json.loads(config.read_text(encoding="utf-8"))
            cells = {part: told[part]["cells"] for part in (TRAINING, VALIDATION) if told.get(part)}
        for part, n in cells.items():
            rows = sum(row[1] == part for row in split)
            if rows != n:
                raise ValueError(
                    f"{run / SPLIT_CSV} has {rows:,} {part} crops, {config.name} says {n:,}: "
                    "train the run anew"
                )
    if folds:
        _out_of_fold(run)


def _split(run: Path) -> list[tuple[str, str]]:
    """File and part of each crop."""
    path = run / SPLIT_CSV
    if not path.is_file():
        raise ValueError(f"{run} is not a run folder: it has no {SPLIT_CSV}")
    with _readable(path):
        rows = [(row["path"], row["part"]) for row in _rows(path)]
        if odd := {part for _, part in rows} - {TRAINING, VALIDATION}:
            raise ValueError(f"a part {odd.pop()!r}")
    return rows


def _out_of_fold(run: Path) -> tuple[tuple[str, ...], list[list[str]]]:
    """Labels, and a row a crop: path, label, fold and probabilities."""
    path = run / OUT_OF_FOLD_CSV
    if not path.is_file():
        if not (run / SPLIT_CSV).is_file():
            raise ValueError(f"{run} is not a run folder: it has no {SPLIT_CSV}")
        raise ValueError(
            f"{run} has no out-of-fold predictions: repeat its leuko train command with --folds 5"
        )
    with _readable(path):
        with path.open(newline="", encoding="utf-8") as file:
            header, *table = csv.reader(file)
        if header[:3] != ["path", "label", "fold"]:
            raise ValueError("its columns are not path,label,fold and the labels")
        if any(len(row) != len(header) for row in table):
            raise ValueError("a row is too short or too long")
    lacking = {name for name, _ in _split(run)} - {row[0] for row in table}
    if lacking:
        lost = count(len(lacking), "crop")
        raise ValueError(f"{path} is cut short, it lacks {lost} of the run: repeat its leuko train command")
    return tuple(header[3:]), table


def read_split(
    run: Path, training: Sequence[str], validation: Sequence[str] | None, unreadable: Set[str] = frozenset()
) -> list[str]:
    """Read which part of a run each crop was in.

    Parameters
    ----------
    run
        Run folder.
    training, validation
        Names of the crops of the set that was given to train on, and of the validation set if it was another;
        or, alone, those of either part.
    unreadable
        Names that the run may know besides.

    Returns
    -------
    ``training`` or ``validation`` for each name of both.

    Raises
    ------
    ValueError
        If the run has no split, or it is of other files.
    """
    parts = set(_split(run))
    trained = [(name, part) for name, part in parts if part == TRAINING]
    held_out = [(name, part) for name, part in parts if part == VALIDATION]
    if validation is None:
        part_of = dict(_those_of(run, (list(parts), trained, held_out), training, unreadable))
        return [part_of[name] for name in training]
    _those_of(run, (trained,), training, unreadable)
    _those_of(run, (held_out,), validation, unreadable)
    return [TRAINING] * len(training) + [VALIDATION] * len(validation)


def read_predictions(
    run: Path, names: Sequence[str], given: Sequence[str], unreadable: Set[str] = frozenset()
) -> Predictions:
    """Read a run's out-of-fold predictions of crops with these names and given labels, in this order.

    ``out_of_fold.csv`` has the columns ``path,label,fold`` and a probability a label; crops of the run's
    validation part have the fold ``validation``. The names may be those of the run's whole data or of either
    part, where these are sets of their own.

    Raises
    ------
    ValueError
        If the run has none, they are of other files, or damaged.
    """
    labels, table = _out_of_fold(run)
    with _readable(run / OUT_OF_FOLD_CSV):
        folds = [row for row in table if row[2] != VALIDATION]
        held_out = [row for row in table if row[2] == VALIDATION]
        by_name = {row[0]: row for row in _those_of(run, (table, folds, held_out), names, unreadable)}
        rows = [by_name[name] for name in names]
        for row, label in zip(rows, given, strict=True):
            if row[1] != label:
                raise _OtherDataError(f"{run} was made from other data: {row[0]} was {row[1]}, not {label}")
        if not set(given) <= set(labels):
            raise ValueError("a label without a column")
        truth = np.array([labels.index(label) for label in given], np.int64)
        probabilities = np.array([[float(field) for field in row[3:]] for row in rows]).reshape(
            -1, len(labels)
        )
        if not (np.isfinite(probabilities).all() and np.allclose(probabilities.sum(axis=1), 1, atol=1e-2)):
            raise ValueError("probabilities that do not sum to 1")
    return Predictions(labels, tuple(names), truth, probabilities)


def _those_of(
    run: Path, choices: Sequence[Sequence[_Row]], names: Sequence[str], unreadable: Set[str]
) -> Sequence[_Row]:
    """Choose the rows that are of exactly these files; a row begins with its file."""
    for rows in choices:
        if {row[0] for row in rows} - unreadable == set(names):
            return rows
    nearest = min(choices, key=lambda rows: len({row[0] for row in rows}.symmetric_difference(names)))
    different = sorted(({row[0] for row in nearest} - unreadable).symmetric_difference(names))
    where = "is not among its files" if different[0] in set(names) else "is not in the data"
    more = f", nor {count(len(different) - 1, 'other', 'others')}" if len(different) > 1 else ""
    raise _OtherDataError(f"{run} was made from other data: {different[0]} {where}{more}")


class _OtherDataError(ValueError):
    """The run is of another set: nothing is damaged."""


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except _OtherDataError:
        raise
    except (AttributeError, KeyError, IndexError, TypeError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} is damaged ({error}): train the run anew") from error


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
