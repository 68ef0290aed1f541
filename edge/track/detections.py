"""One decision per cell, from all its detections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.classify import Decision, decide_labels


@dataclass(eq=False)
class _Sum:
    """Sums over some detections of a cell."""

    probabilities: NDArray[np.float64]
    out_of_distribution: int = 0
    detections: int = 0


class TrackedCells:
    """The tracked cells and their decisions, updated frame by frame.

    A cell's probabilities are the mean over its whole detections, those that no edge cuts; over all of them
    if it was never seen whole. It is out of distribution if at least half of these detections are.

    Attributes
    ----------
    decisions : dict
        Track id → decision.
    counts : Counter
        Decision → cells.
    """

    def __init__(self, labels: Sequence[str], reject_below: float) -> None:
        self.decisions: dict[int, Decision] = {}
        self.counts: Counter[Decision] = Counter()
        self._labels = tuple(labels)
        self._reject_below = reject_below
        self._sums: dict[int, tuple[_Sum, _Sum]] = {}

    def add(
        self,
        track_ids: NDArray[np.int64],
        probabilities: NDArray[np.float32],
        border: Sequence[bool],
        in_distribution: Sequence[bool],
    ) -> None:
        """Add a frame's n cells, with their track ids from `Tracker.update` and probabilities [n, labels]."""
        for track_id, row, cut, typical in zip(
            track_ids.tolist(), probabilities, border, in_distribution, strict=True
        ):
            if track_id not in self._sums:
                whole, cut_off = (_Sum(np.zeros(len(self._labels))) for _ in range(2))
                self._sums[track_id] = whole, cut_off
            detections = self._sums[track_id][bool(cut)]
            detections.probabilities += row
            detections.out_of_distribution += not typical
            detections.detections += 1
            self._decide(track_id)

    def _decide(self, track_id: int) -> None:
        whole, cut = self._sums[track_id]
        used = whole if whole.detections else cut
        mean = (used.probabilities / used.detections).astype(np.float32)
        in_distribution = np.array([2 * used.out_of_distribution < used.detections])
        (decision,) = decide_labels(mean[None], in_distribution, self._labels, self._reject_below)
        if track_id in self.decisions:
            self.counts[self.decisions[track_id]] -= 1
        self.counts[decision] += 1
        self.decisions[track_id] = decision
