"""A number with its interval, and exact binomial intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

LEVEL = 0.95
"""Confidence level of every interval that is printed; tables and pages say "95 %"."""

TAIL = (1 - LEVEL) / 2

NORMAL = 1.959963984540054
"""Standard deviations on either side of the mean of a normal distribution that hold the share `LEVEL`; the
module that computes them takes 10 ms to import."""


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; the value is None for a share of no cells."""

    value: float | None
    low: float
    high: float


def estimate_proportion(successes: int, trials: int, dispersion: float = 1.0) -> Estimate:
    """Return successes over trials with the Clopper–Pearson interval of effective numbers.

    Both are divided by the dispersion, the variance relative to that of independent trials (Korn and
    Graubard, Survey Methodology 24:193, 1998).
    """
    low, high = clopper_pearson(successes / dispersion, trials / dispersion)
    return Estimate(successes / trials if trials else None, low, high)


def clopper_pearson(successes: float, trials: float, level: float = LEVEL) -> tuple[float, float]:
    """Return the exact two-sided interval of a binomial proportion; effective numbers need not be whole.

    Clopper and Pearson, Biometrika 26:404 (1934): the quantiles of Beta(k, n-k+1) and Beta(k+1, n-k).
    SciPy has them too, but costs 140 MB of disk and 0.7 s at each start (measured on x86).

    Raises
    ------
    ValueError
        Unless 0 ≤ successes ≤ trials and 0 < level < 1.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes:g} of {trials:g} is not a proportion")
    if not 0 < level < 1:
        raise ValueError(f"the confidence level must lie between 0 and 1, not {level}")
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else _beta_quantile(tail, successes, trials - successes + 1)
    high = 1.0 if successes == trials else _beta_quantile(1 - tail, successes + 1, trials - successes)
    return low, high


def student_t(freedom: float, level: float = LEVEL) -> float:
    """Return the t that the share `level` of Student's distribution with that freedom lies within ±t of."""
    x = _beta_quantile(1 - level, freedom / 2, 0.5)  # freedom / (freedom + t²) is beta distributed
    return math.sqrt(freedom * (1 - x) / x)


def _beta_quantile(p: float, a: float, b: float) -> float:
    """Invert the regularised incomplete beta function; 60 bisections reach the last bit of a double."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _beta_cdf(middle, a, b) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_cdf(x: float, a: float, b: float) -> float:
    """Return the regularised incomplete beta I_x(a, b), by Lentz's continued fraction (DLMF 8.17.22)."""
    if x > (a + 1) / (a + b + 2):  # the fraction converges quickly only on this side of the mean
        return 1 - _beta_cdf(1 - x, b, a)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
        if x > 0
        else -math.inf
    )
    tiny = 1e-300
    c, d = 1.0, 1.0 / max(1 - (a + b) * x / (a + 1), tiny)
    fraction = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        step = 1.0
        for numerator in (even, odd):
            c = (1 + numerator / c) or tiny
            d = 1 / ((1 + numerator * d) or tiny)
            step = c * d
            fraction *= step
        if abs(step - 1) < 1e-15:
            break
    return math.exp(log_front) * fraction / a
