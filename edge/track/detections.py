"""One label a cell, from all its detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.classify import REJECTED, decide_labels, most_probable_labels


@dataclass(eq=False)
class _Sum:
    """Probabilities of some detections of a cell."""

    probabilities: NDArray[np.float64]
    strangers: int = 0
    detections: int = 0

    def add(self, probabilities: NDArray[np.float32], known: bool) -> None:
        self.probabilities += probabilities
        self.strangers += not known
        self.detections += 1


class TrackedCells:
    """Cells and their labels, brought up to date frame by frame.

    A cell's probabilities are the mean over its whole detections, those that no edge cuts; over all of them if
    it was never seen whole. It is rejected if the best of them is below the threshold, or if in at least half
    of these detections it looked like no training cell.

    Parameters
    ----------
    labels : of the bundle, in output order
    reject_below : a cell whose best probability is smaller is rejected

    Attributes
    ----------
    assigned : track_id → label, or ``rejected``
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
        track_ids: NDArray[np.int64],
        probabilities: NDArray[np.float32],
        border: Sequence[bool],
        known: Sequence[bool],
    ) -> None:
        """Take in a frame's n cells.

        Parameters
        ----------
        track_ids : int64 [n], from `Tracker.update`
        probabilities : float32 [n, labels]
        border : whether the frame's edge cuts the cell
        known : whether it looks like the training cells
        """
        for track_id, row, cut, alike in zip(track_ids.tolist(), probabilities, border, known, strict=True):
            if track_id not in self._sums:
                self._sums[track_id] = (
                    _Sum(np.zeros(len(self._labels))),
                    _Sum(np.zeros(len(self._labels))),
                )
            self._sums[track_id][bool(cut)].add(row, bool(alike))
            self._relabel(track_id)

    def _relabel(self, track_id: int) -> None:
        whole, cut = self._sums[track_id]
        detections = whole if whole.detections else cut
        mean = (detections.probabilities / detections.detections).astype(np.float32)[None]
        best = most_probable_labels(mean, self._labels)[0]
        label = decide_labels(mean, self._labels, self._reject_below)[0]
        if 2 * detections.strangers >= detections.detections:
            label = REJECTED
        _move(self.counts, self.assigned.get(track_id), label)
        _move(self.likeliest, self._likeliest.get(track_id), best)
        self.assigned[track_id], self._likeliest[track_id] = label, best


def _move(counts: Counter[str], before: str | None, now: str) -> None:
    if before is not None:
        counts[before] -= 1
    counts[now] += 1
