"""One label a cell, from all its sightings."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.count import REJECTED, assign, likeliest


@dataclass(eq=False)
class _Sum:
    """Probabilities of some sightings of a cell."""

    probabilities: NDArray[np.float64]
    strangers: int = 0
    sightings: int = 0

    def add(self, probabilities: NDArray[np.float32], known: bool) -> None:
        self.probabilities += probabilities
        self.strangers += not known
        self.sightings += 1


class SeenOften:
    """Cells and their labels, brought up to date frame by frame.

    A cell's probabilities are the mean over its whole sightings, those that no edge cuts; over all of them if
    it was never seen whole. It is rejected if the best of them is below the threshold, or if in at least half
    of these sightings it looked like no training cell.

    Parameters
    ----------
    labels : of the bundle, in output order
    reject_below : a cell whose best probability is smaller is rejected

    Attributes
    ----------
    assigned : identity → label, or ``rejected``
    counts : label, or ``rejected`` → cells
    likeliest : label → cells whose most probable label it is, the rejected ones too
    """

    def __init__(self, labels: Sequence[str], reject_below: float) -> None:
        self.assigned: dict[int, str] = {}
        self.counts: Counter[str] = Counter()
        self.likeliest: Counter[str] = Counter()
        self._labels = tuple(labels)
        self._reject_below = reject_below
        self._sums: dict[int, tuple[_Sum, _Sum]] = {}
        self._likeliest: dict[int, str] = {}

    def add(
        self,
        identities: NDArray[np.int64],
        probabilities: NDArray[np.float32],
        border: Sequence[bool],
        known: Sequence[bool],
    ) -> None:
        """Take in a frame's n cells.

        Parameters
        ----------
        identities : int64 [n], from `Tracker.update`
        probabilities : float32 [n, labels]
        border : whether the frame's edge cuts the cell
        known : whether it looks like the training cells
        """
        for identity, row, cut, alike in zip(identities.tolist(), probabilities, border, known, strict=True):
            if identity not in self._sums:
                self._sums[identity] = (
                    _Sum(np.zeros(len(self._labels))),
                    _Sum(np.zeros(len(self._labels))),
                )
            self._sums[identity][bool(cut)].add(row, bool(alike))
            self._relabel(identity)

    def _relabel(self, identity: int) -> None:
        whole, cut = self._sums[identity]
        sightings = whole if whole.sightings else cut
        mean = (sightings.probabilities / sightings.sightings).astype(np.float32)[None]
        best = likeliest(mean, self._labels)[0]
        label = assign(mean, self._labels, self._reject_below)[0]
        if 2 * sightings.strangers >= sightings.sightings:
            label = REJECTED
        _move(self.counts, self.assigned.get(identity), label)
        _move(self.likeliest, self._likeliest.get(identity), best)
        self.assigned[identity], self._likeliest[identity] = label, best


def _move(counts: Counter[str], before: str | None, now: str) -> None:
    if before is not None:
        counts[before] -= 1
    counts[now] += 1
