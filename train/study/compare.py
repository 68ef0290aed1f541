"""Compare networks that were trained with the same seeds: means, paired differences and ranks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import scipy.stats


@dataclass(frozen=True)
class Spread:
    """Mean of n values and their sample standard deviation; None for a single value."""

    n: int
    mean: float
    sd: float | None


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences over n seeds.

    ``standard_error`` and the 95 % t interval ``low`` to ``high`` are None for a single seed.
    """

    n: int
    mean: float
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    def holds(self, value: float) -> bool:
        """Return whether a value lies in the interval."""
        return self.low is not None and self.high is not None and self.low <= value <= self.high


def spread(values: Sequence[float]) -> Spread:
    """Return the mean and sample standard deviation of at least one value."""
    return Spread(
        len(values), statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None
    )


def paired(one: Mapping[int, float], other: Mapping[int, float]) -> Difference | None:
    """Return `one` minus `other` (each seed → value) over their common seeds; None without any."""
    differences = [one[seed] - other[seed] for seed in one if seed in other]
    if not differences:
        return None
    found = spread(differences)
    if found.sd is None:
        return Difference(1, found.mean)
    error = found.sd / math.sqrt(found.n)
    reach = error * float(scipy.stats.t.ppf(0.975, found.n - 1))
    return Difference(found.n, found.mean, error, found.mean - reach, found.mean + reach)


def discordant(here: Mapping[str, float], paper: Mapping[str, float]) -> list[tuple[str, str]]:
    """List the pairs (better, worse) by `here` that `paper` ranks the other way; ties do not count.

    Both are network → value; larger is better.
    """
    pairs = [
        (a, b) if here[a] > here[b] else (b, a)
        for a, b in combinations(here, 2)
        if a in paper and b in paper and here[a] != here[b]
    ]
    return [(better, worse) for better, worse in pairs if paper[better] < paper[worse]]
