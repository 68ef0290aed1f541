"""How far several readers of the same cells agree: Cohen's and Fleiss' kappa, and who calls what what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from edge.base import alike_labels
from train.bootstrap import blocks, group_interval
from train.metrics import Interval
from train.readings import majority

MOST_LABELS = 100

NO_READING = -1

_PORTION = 10_000
"""Cells whose votes are in memory at once."""


@dataclass(frozen=True, eq=False)
class Pair:
    """Two readers on the cells that both read.

    Attributes
    ----------
    confusion : int64 [labels, labels]
        Rows are the first reader's labels, columns the second's.
    kappa : float or None
        Cohen's; None if chance alone would make them agree.
    kappa_interval, agreed_interval : Interval or None
        Of kappa and of the share of cells on which they agree, by `train.bootstrap.group_interval`.
    """

    first: str
    second: str
    confusion: NDArray[np.int64]
    kappa: float | None
    kappa_interval: Interval | None
    agreed_interval: Interval | None

    @property
    def cells(self) -> int:
        """Number of cells that both read."""
        return int(self.confusion.sum())

    @property
    def agreed(self) -> float:
        """Share of them on which they agree."""
        return float(np.trace(self.confusion) / self.cells)


@dataclass(frozen=True, eq=False)
class Agreement:
    """Agreement of all readers.

    Attributes
    ----------
    cells, single : int
        Cells that several readers read, and cells that one read, which do not enter.
    groups : int
        Frames or patients of the cells that several read.
    unanimous, tied : int
        Cells on which all readers agree, and cells on whose label they do not settle.
    counts : mapping of str to int
        Cells of each label by the majority of the readings.
    fleiss : float or None
        Fleiss' kappa over all readers; None if chance alone would make them agree.
    differing : tuple of int
        Places of the cells on which readers differ.
    """

    labels: tuple[str, ...]
    readers: tuple[str, ...]
    cells: int
    single: int
    groups: int
    unanimous: int
    tied: int
    counts: Mapping[str, int]
    fleiss: float | None
    fleiss_interval: Interval | None
    pairs: tuple[Pair, ...]
    differing: tuple[int, ...]


def agreement(read: Sequence[Mapping[str, str]], groups: Sequence[str]) -> Agreement:
    """Compare the readings of each cell, by reader.

    Parameters
    ----------
    groups : sequence of str
        Frame or patient of each cell: intervals resample whole groups.

    Raises
    ------
    ValueError
        If no cell has several readings, or there are too many labels, or some that only look different.
    """
    several = [k for k, one in enumerate(read) if len(one) > 1]
    if not several:
        raise ValueError(
            "no cell has several readings: they stand in the column label and in reader1, reader2 and so on"
        )
    chosen = [read[k] for k in several]
    labels = tuple(sorted({label for one in chosen for label in one.values()}))
    readers = tuple(dict.fromkeys(name for one in chosen for name in one))
    _check_labels(labels)
    numbers = {label: k for k, label in enumerate(labels)}
    called = np.array([[numbers.get(one.get(name, ""), NO_READING) for name in readers] for one in chosen])
    names, group = np.unique([groups[k] for k in several], return_inverse=True)
    block = blocks(len(names))[group]
    parts, alike = _read_parts(called, block, len(labels))
    settled = Counter(majority(one.values()) for one in chosen)
    return Agreement(
        labels=labels,
        readers=readers,
        cells=len(several),
        single=len(read) - len(several),
        groups=len(names),
        unanimous=int(alike.sum()),
        tied=settled[None],
        counts={label: settled[label] for label in labels},
        fleiss=_number(_fleiss(parts.sum(axis=0)[None])[0]),
        fleiss_interval=group_interval(parts, _fleiss),
        pairs=tuple(
            _pair((readers[i], readers[j]), called[:, [i, j]], block, len(labels))
            for i, j in combinations(range(len(readers)), 2)
        ),
        differing=tuple(several[k] for k in np.flatnonzero(~alike)),
    )


def _check_labels(labels: Sequence[str]) -> None:
    """Refuse more labels than a person can compare, as matrices grow as their square, and labels alike."""
    if len(labels) > MOST_LABELS:
        raise ValueError(
            f"{len(labels):,} labels, more than the {MOST_LABELS} that are compared: join some with --rename"
        )
    if alike := alike_labels(labels):
        raise ValueError(f"{alike[0]}, for example with --rename")


def _read_parts(
    called: NDArray[np.int64], block: NDArray[np.int64], labels: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return what each block of groups adds to the sums of Fleiss' kappa, and which cells all call the same.

    Parameters
    ----------
    called : int64 [cells, readers]
        Number of the label, or `NO_READING`.
    """
    parts, alike = np.zeros((int(block.max()) + 1, labels + 2)), []
    for start in range(0, len(called), _PORTION):
        portion = called[start : start + _PORTION]
        votes = np.zeros((len(portion), labels), np.int64)
        row, reader = np.nonzero(portion != NO_READING)
        np.add.at(votes, (row, portion[row, reader]), 1)
        np.add.at(parts, block[start : start + _PORTION], _fleiss_parts(votes))
        alike.append(read_alike(votes))
    return parts, np.concatenate(alike)


def fleiss_kappa(votes: NDArray[np.int64]) -> float | None:
    """Return Fleiss' kappa of votes [cells, labels], two or more per cell (Psychol. Bull. 76:378, 1971).

    The number of readers may differ between cells. None if chance alone would make them agree.
    """
    return _number(_fleiss(_fleiss_parts(votes).sum(axis=0)[None])[0])


def read_alike(votes: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which cells several people read and all call the same, of votes [cells, labels]."""
    readers = votes.sum(axis=1)
    alike: NDArray[np.bool_] = (readers > 1) & (votes.max(axis=1) == readers)
    return alike


def _fleiss_parts(votes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return what a cell adds to the sums: votes per label, share of its pairs of readers that agree, 1."""
    readers = votes.sum(axis=1)
    agreeing = (votes * (votes - 1)).sum(axis=1) / (readers * (readers - 1))
    return np.column_stack((votes, agreeing, np.ones(len(votes))))


def _fleiss(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return kappa of sums [draws, labels + 2]: votes per label, agreeing shares, cells."""
    votes, agreeing, cells = sums[:, :-2], sums[:, -2], sums[:, -1]
    chance = ((votes / votes.sum(axis=1, keepdims=True)) ** 2).sum(axis=1)
    return _kappa(agreeing / cells, chance)


def _cohen(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Cohen's kappa of sums [draws, 2 labels + 2] of `_pair_parts`."""
    agreed, cells = sums[:, -2], sums[:, -1]
    first, second = np.split(sums[:, :-2], 2, axis=1)
    return _kappa(agreed / cells, (first * second).sum(axis=1) / cells**2)


def _share_agreed(sums: NDArray[np.float64]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = sums[:, -2] / sums[:, -1]
    return share


def _kappa(agreed: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    rest = 1 - chance
    undefined = rest < 1e-12
    kappa: NDArray[np.float64] = np.where(undefined, np.nan, (agreed - chance) / np.where(undefined, 1, rest))
    return kappa


def _pair(readers: tuple[str, str], called: NDArray[np.int64], block: NDArray[np.int64], labels: int) -> Pair:
    """Compare two readers, given what they call each cell, int64 [cells, 2]."""
    both = (called != NO_READING).all(axis=1)
    first, second = called[both].T
    confusion = np.zeros((labels, labels), np.int64)
    np.add.at(confusion, (first, second), 1)
    parts = _pair_parts(first, second, block[both], labels)
    return Pair(
        first=readers[0],
        second=readers[1],
        confusion=confusion,
        kappa=_number(_cohen(parts.sum(axis=0)[None])[0]) if len(first) else None,
        kappa_interval=group_interval(parts, _cohen),
        agreed_interval=group_interval(parts, _share_agreed),
    )


def _pair_parts(
    first: NDArray[np.int64], second: NDArray[np.int64], block: NDArray[np.int64], labels: int
) -> NDArray[np.float64]:
    """Return what each block adds: cells of each label by the first reader, by the second, agreed, cells."""
    blocks, place = np.unique(block, return_inverse=True)
    parts = np.zeros((len(blocks), 2 * labels + 2))
    for column in (first, labels + second, np.full(len(first), -1)):
        np.add.at(parts, (place, column), 1)
    np.add.at(parts[:, -2], place, first == second)
    return parts


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
