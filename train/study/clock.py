"""The time that a study still takes, from the epochs that have been timed."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping


class Clock:
    """Knows how many epochs each run has done, and how long an epoch of each network takes.

    Parameters
    ----------
    epochs
        Of every run.
    macs
        Multiply-accumulates of a crop, by network: what a network not yet timed is judged by.
    """

    def __init__(self, epochs: int, macs: Mapping[str, int]) -> None:
        self._epochs = epochs
        self._macs = macs
        self._done: defaultdict[tuple[str, int], int] = defaultdict(int)
        self._seconds: defaultdict[str, list[float]] = defaultdict(list)

    def epoch(self, network: str, seed: int, seconds: float) -> None:
        """Note one epoch of a run."""
        self._done[network, seed] += 1
        self._seconds[network].append(seconds)

    def epoch_seconds(self, network: str) -> float | None:
        """Return the median epoch of a network, an estimate by its size, or None before the first epoch."""
        if self._seconds[network]:  # the median: the first epoch of a run also compiles
            return statistics.median(self._seconds[network])
        timed = {name: statistics.median(seconds) for name, seconds in self._seconds.items() if seconds}
        if not timed:
            return None
        return sum(timed.values()) / sum(self._macs[name] for name in timed) * self._macs[network]

    def left(self, runs: Iterable[tuple[str, int]]) -> float | None:
        """Return the seconds that these runs (network, seed) still take, or None before the first epoch."""
        total = 0.0
        for network, seed in runs:
            each = self.epoch_seconds(network)
            if each is None:
                return None
            total += each * max(0, self._epochs - self._done[network, seed])
        return total
