"""Compare networks that were trained with the same seeds: means, paired differences and ranks."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations


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
    def settled(self) -> bool:
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
    reach = error * t_quantile(found.n - 1)
    return Difference(found.n, found.mean, error, found.mean - reach, found.mean + reach)


def discordant(here: Mapping[str, float], paper: Mapping[str, float]) -> list[tuple[str, str]]:
    """List the pairs (better, worse) by `here` that `paper` ranks the other way; ties do not count.

    Parameters
    ----------
    here, paper : Mapping[str, float]
        Network → value; larger is better.
    """
    pairs = [
        (a, b) if here[a] > here[b] else (b, a)
        for a, b in combinations(here, 2)
        if a in paper and b in paper and here[a] != here[b]
    ]
    return [(better, worse) for better, worse in pairs if paper[better] < paper[worse]]


def t_quantile(degrees: int, share: float = 0.95) -> float:
    """Return t such that Student's T with at least 1 degree of freedom lies within ±t with this probability.

    Bisects the finite sums for integer degrees (Abramowitz and Stegun 26.7.3 and 26.7.4).
    """
    low, high = 0.0, math.pi / 2  # of the angle whose tangent is t / sqrt(degrees)
    for _ in range(60):
        middle = (low + high) / 2
        if _inner_share(middle, degrees) < share:
            low = middle
        else:
            high = middle
    return math.tan(high) * math.sqrt(degrees)


def _inner_share(angle: float, degrees: int) -> float:
    """Return the probability that T lies within ±tan(angle) √degrees."""
    cos2 = math.cos(angle) ** 2
    is_odd = degrees % 2
    term = math.cos(angle) if is_odd else 1.0
    total = 0.0
    for k in range(1 + is_odd, degrees, 2):
        total += term
        term *= cos2 * k / (k + 1)
    total *= math.sin(angle)
    return 2 / math.pi * (angle + total) if is_odd else total
