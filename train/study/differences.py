"""Differences of networks over seeds, with intervals and what several comparisons allow to conclude."""

from __future__ import annotations

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import scipy.stats

SIGNIFICANT = 0.05
"""Chance of a difference by chance alone, over all comparisons together, below which one is significant."""

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True)
class Spread:
    """Mean of n values and their sample standard deviation; None for a single value."""

    n: int
    mean: float
    sd: float | None


@dataclass(frozen=True)
class Difference:
    """Mean of paired differences over n seeds.

    ``standard_error``, the 95 % t interval ``low`` to ``high`` and the t test's ``p`` are None for a single
    seed; `holm` is p corrected for the comparisons beside it.
    """

    n: int
    mean: float
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None
    holm: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the difference is not zero, at 5 % over all comparisons together."""
        return self.holm is not None and self.holm < SIGNIFICANT

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
    p = 2 * float(scipy.stats.t.sf(abs(found.mean) / error, found.n - 1)) if error else float(found.mean == 0)
    return Difference(found.n, found.mean, error, found.mean - reach, found.mean + reach, p, p)


def corrected(comparisons: Mapping[Key, Difference]) -> dict[Key, Difference]:
    """Correct the p of each comparison for the others (Holm, Scand. J. Statist. 6:65, 1979).

    The chance that any of those without a difference is significant stays below 5 %.
    """
    tested = {key: one.p for key, one in comparisons.items() if one.p is not None}
    found, least = dict(comparisons), 0.0
    for rank, key in enumerate(sorted(tested, key=tested.__getitem__)):
        least = max(least, min(1.0, (len(tested) - rank) * tested[key]))
        found[key] = replace(found[key], holm=least)
    return found
