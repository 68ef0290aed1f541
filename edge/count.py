"""From class probabilities to a differential count with honest uncertainty."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.frames import FailedFrame, Frame
from edge.quality import Quality
from edge.quantify import METHOD, quantify
from edge.segment import Cell

REJECTED = "rejected"


@dataclass(frozen=True, eq=False)
class CountedFrame:
    """One frame, worked through.

    Attributes
    ----------
    frame : the frame
    sha256 : of the frame: `edge.frames.Frame.sha256`, or of its grey values and size
    cells : found in it, n of them
    crops : uint8 [n, side, side], what the network saw
    probabilities : float32 [n, labels]
    assigned : label of each cell, or ``rejected``
    quality : of the frame, if it was measured
    breaches : limits of quality that it is beyond, in words
    identities : int64 [n], the same for all sightings of one cell; None where cells are not followed
    tracker_state : what following cells needs to go on after this frame; None if that is not asked for
    """

    frame: Frame
    sha256: str
    cells: list[Cell]
    crops: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    assigned: list[str]
    quality: Quality | None = None
    breaches: tuple[str, ...] = ()
    identities: NDArray[np.int64] | None = None
    tracker_state: bytes | None = None


@dataclass(frozen=True)
class Estimate:
    """A number with its 95 % interval; a share of no cells has the value None."""

    value: float | None
    low: float
    high: float


@dataclass(frozen=True)
class Tally:
    """What was counted.

    Attributes
    ----------
    labels : every label of the bundle, in its order
    counted : the labels that make the differential; the others are not leukocytes
    counts : label → cells, for every label
    rejected : cells whose best probability lies below the bundle's threshold, and strangers
    frames_read : frames that were decoded and searched
    failed : files and pages that could not be read, with their reasons
    """

    labels: tuple[str, ...]
    counted: tuple[str, ...]
    counts: Mapping[str, int]
    rejected: int
    frames_read: int
    failed: tuple[FailedFrame, ...]

    @property
    def cells(self) -> int:
        """All cells found, the rejected ones too."""
        return sum(self.counts.values()) + self.rejected

    @property
    def leukocytes(self) -> int:
        """The differential's denominator: cells with a counted label."""
        return sum(self.counts[label] for label in self.counted)

    @property
    def fractions(self) -> dict[str, Estimate]:
        """Share of each counted label among the counted cells, with its Clopper–Pearson interval.

        Of a single counted label it is all of them: reports leave that out.
        """
        n = self.leukocytes
        return {
            label: Estimate(self.counts[label] / n if n else None, *clopper_pearson(self.counts[label], n))
            for label in self.counted
        }


@dataclass(frozen=True)
class Correction:
    """What the answers say of the true cells, given the errors that the network made on its validation cells.

    Attributes
    ----------
    method : in words
    fractions : counted label → share of the counted cells; empty if nothing can be said
    counts : counted label → cells; empty likewise. The interval is that of the mean of such samples
    leukocytes : cells of all counted labels together; None likewise
    unvalidated : labels without validation cells; with any, nothing can be said
    """

    method: str
    fractions: Mapping[str, Estimate]
    counts: Mapping[str, Estimate]
    leukocytes: Estimate | None
    unvalidated: tuple[str, ...]


def correct(
    labels: Sequence[str],
    counted: Sequence[str],
    answers: Mapping[str, int],
    confusion: Sequence[Sequence[int]],
) -> Correction:
    """Correct counts for misclassification; see `edge.quantify`.

    Parameters
    ----------
    labels : in output order
    counted : the labels that make the differential
    answers : label → cells whose most probable label it is, the rejected ones too: so the matrix was counted
    confusion : validation cells, rows are the truth, in label order
    """
    unvalidated = tuple(label for label, row in zip(labels, confusion, strict=True) if not any(row))
    if unvalidated:
        return Correction(METHOD, {}, {}, None, unvalidated)
    found = quantify(
        np.array([answers.get(label, 0) for label in labels]),
        np.array(confusion),
        np.array([label in counted for label in labels]),
    )
    names = [label for label in labels if label in counted]
    shares = dict(zip(names, map(_estimate, found.shares), strict=True))
    counts = dict(zip(names, map(_estimate, found.counts), strict=True))
    return Correction(
        METHOD,
        {label: shares[label] for label in counted},
        {label: counts[label] for label in counted},
        _estimate(found.total),
        (),
    )


def _estimate(row: NDArray[np.float64]) -> Estimate:
    value, low, high = map(float, row)
    return Estimate(None if math.isnan(value) else value, low, high)


def likeliest(probabilities: NDArray[np.float32], labels: Sequence[str]) -> list[str]:
    """Name the most probable label of each cell, however small its probability; float32 [n, labels]."""
    return [labels[k] for k in probabilities.argmax(axis=1)] if len(probabilities) else []


def assign(probabilities: NDArray[np.float32], labels: Sequence[str], reject_below: float) -> list[str]:
    """Name the most probable label of each cell, or ``rejected``.

    Parameters
    ----------
    probabilities : float32 [n, labels]
    labels : in output order
    reject_below : a cell whose best probability is smaller is rejected
    """
    return [
        label if row.max() >= reject_below else REJECTED
        for row, label in zip(probabilities, likeliest(probabilities, labels), strict=True)
    ]


def tally(
    labels: Sequence[str],
    counted: Sequence[str],
    assigned: Iterable[str] | Mapping[str, int],
    frames_read: int,
    failed: Iterable[FailedFrame],
) -> Tally:
    """Count assigned labels, or take them counted; see `Tally` for the other parameters."""
    found = Counter(assigned)
    return Tally(
        labels=tuple(labels),
        counted=tuple(counted),
        counts={label: found[label] for label in labels},
        rejected=found[REJECTED],
        frames_read=frames_read,
        failed=tuple(failed),
    )


def clopper_pearson(successes: int, trials: int, level: float = 0.95) -> tuple[float, float]:
    """Exact two-sided interval of a binomial proportion.

    Clopper and Pearson, Biometrika 26:404 (1934): the quantiles of Beta(k, n-k+1) and Beta(k+1, n-k).
    SciPy would give them too, but costs 140 MB of disk and 0.7 s more at each start (measured on x86).

    Raises
    ------
    ValueError
        Unless 0 ≤ successes ≤ trials and 0 < level < 1.
    """
    if not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no proportion")
    if not 0 < level < 1:
        raise ValueError(f"the confidence level must lie between 0 and 1, not {level}")
    tail = (1 - level) / 2
    low = 0.0 if successes == 0 else _beta_quantile(tail, successes, trials - successes + 1)
    high = 1.0 if successes == trials else _beta_quantile(1 - tail, successes + 1, trials - successes)
    return low, high


def _beta_quantile(p: float, a: float, b: float) -> float:
    """Bisect the regularised incomplete beta function; 60 halvings reach the last bit of a double."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _beta_cdf(middle, a, b) < p:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _beta_cdf(x: float, a: float, b: float) -> float:
    """Regularised incomplete beta function I_x(a, b), by Lentz's continued fraction (DLMF 8.17.22)."""
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
