"""The remaining time of a study, estimated from the epochs timed so far."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping


class Clock:
    """Counts the epochs of each run and times the epochs of each network.

    Parameters
    ----------
    epochs : int
        Epochs per run.
    macs : Mapping[str, int]
        Multiply-accumulates per crop of each network, by which a network without timed epochs is estimated.
    """

    def __init__(self, epochs: int, macs: Mapping[str, int]) -> None:
        self._epochs = epochs
        self._macs = macs
        self._done: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    def epoch(self, network: str, seed: int, seconds: float) -> None:
        """Record one epoch of a run."""
        self._done[network, seed] += 1
        self._seconds[network].append(seconds)

    def epoch_seconds(self, network: str) -> float | None:
        """Return a network's median epoch, or an estimate by its size; None before the first epoch."""
        if self._seconds[network]:  # the median: the first epoch of a run also compiles
            return statistics.median(self._seconds[network])
        timed = {name: statistics.median(seconds) for name, seconds in self._seconds.items() if seconds}
        if not timed:
            return None
        return sum(timed.values()) / sum(self._macs[name] for name in timed) * self._macs[network]

    def left(self, runs: Iterable[tuple[str, int]]) -> float | None:
        """Return the seconds left for these runs (network, seed); None before the first epoch."""
        total = 0.0
        for network, seed in runs:
            each = self.epoch_seconds(network)
            if each is None:
                return None
            total += each * max(0, self._epochs - self._done[network, seed])
        return total
