"""How far several readers of the same cells agree: Cohen's and Fleiss' kappa, and who calls what what."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from train.bootstrap import group_interval
from train.metrics import Interval
from train.readings import majority


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
        If no cell has several readings.
    """
    several = [k for k, one in enumerate(read) if len(one) > 1]
    if not several:
        raise ValueError(
            "no cell has several readings: they stand in the column label and in reader1, reader2 and so on"
        )
    chosen = [read[k] for k in several]
    labels = tuple(sorted({label for one in chosen for label in one.values()}))
    readers = tuple(dict.fromkeys(name for one in chosen for name in one))
    _, group = np.unique([groups[k] for k in several], return_inverse=True)
    votes = np.array([[[*one.values()].count(label) for label in labels] for one in chosen])
    settled = [majority(one.values()) for one in chosen]
    alike = read_alike(votes)
    parts = np.zeros((int(group.max()) + 1, len(labels) + 2))
    np.add.at(parts, group, _fleiss_parts(votes))
    return Agreement(
        labels=labels,
        readers=readers,
        cells=len(several),
        single=len(read) - len(several),
        groups=len(parts),
        unanimous=int(alike.sum()),
        tied=settled.count(None),
        counts={label: settled.count(label) for label in labels},
        fleiss=_number(_fleiss(parts.sum(axis=0)[None])[0]),
        fleiss_interval=group_interval(parts, _fleiss),
        pairs=tuple(_pair(chosen, group, labels, *both) for both in combinations(readers, 2)),
        differing=tuple(several[k] for k in np.flatnonzero(~alike)),
    )


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


def _cohen(confusion: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return Cohen's kappa of confusion matrices [draws, labels, labels]."""
    cells = confusion.sum(axis=(1, 2))
    chance = (confusion.sum(axis=1) * confusion.sum(axis=2)).sum(axis=1) / cells**2
    return _kappa(_share_agreed(confusion), chance)


def _share_agreed(confusion: NDArray[np.float64]) -> NDArray[np.float64]:
    share: NDArray[np.float64] = np.trace(confusion, axis1=1, axis2=2) / confusion.sum(axis=(1, 2))
    return share


def _kappa(agreed: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.float64]:
    rest = 1 - chance
    undefined = rest < 1e-12
    kappa: NDArray[np.float64] = np.where(undefined, np.nan, (agreed - chance) / np.where(undefined, 1, rest))
    return kappa


def _pair(
    read: Sequence[Mapping[str, str]],
    group: NDArray[np.int64],
    labels: Sequence[str],
    first: str,
    second: str,
) -> Pair:
    both = [k for k, one in enumerate(read) if first in one and second in one]
    frames, place = np.unique(group[both], return_inverse=True)
    rows, columns = ([labels.index(read[k][name]) for k in both] for name in (first, second))
    parts = np.zeros((len(frames), len(labels), len(labels)), np.int64)
    np.add.at(parts, (place, rows, columns), 1)
    whole = parts.sum(axis=0)
    return Pair(
        first=first,
        second=second,
        confusion=whole,
        kappa=_number(_cohen(whole[None].astype(np.float64))[0]) if both else None,
        kappa_interval=group_interval(parts, _cohen),
        agreed_interval=group_interval(parts, _share_agreed),
    )


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
