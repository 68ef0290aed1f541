"""How many cells of each label there were, given how many were classified so and how often the network errs.

The expected numbers of answers are those of the true cells times the confusion matrix, so that the error of
the raw fractions changes with the mixture. Here it is undone ("adjusted classify and count", Forman 2008;
Saerens et al. 2002). That holds as long as the sample's cells of each label look like the validation cells
of that label ("prior probability shift").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.count.intervals import TAIL, Estimate

METHOD = "maximum likelihood with the validation confusion matrix; melded 95 % intervals"

DRAWS = 1000
"""Monte Carlo draws for each end of each interval."""

_SEED = 20240601
_TINY = 1e-300

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Prevalence:
    """Shares and numbers of the cells of each counted label, and the number of them all.

    The shares have no value if no counted cell is likely. The intervals of the numbers are for the mean of
    such samples.
    """

    shares: tuple[Estimate, ...]
    counts: tuple[Estimate, ...]
    total: Estimate


def estimate_prevalence(
    answers: NDArray[np.int64], confusion: NDArray[np.int64], counted: Mask, draws: int = DRAWS
) -> Prevalence:
    """Estimate the true numbers behind counted answers, with intervals for both kinds of error.

    The values are those of maximum likelihood (`unfold`) with the observed confusion matrix. The intervals
    are melded (Fay, Proschan and Brittain, Biometrics 71:146, 2015; for a prevalence behind an imperfect
    test: Bayer, Fay and Graubard, Statistics in Medicine 42:1822, 2023): for each end of each interval,
    answers and rows of the matrix are drawn from the confidence distribution whose quantile is that end of
    the exact interval, and unfolded. With a perfect network and many validation cells the shares' intervals
    become those of Clopper and Pearson, the counts' those of Garwood. They are rounded outward to 0.1 % and
    to whole cells, about what the draws resolve.

    Parameters
    ----------
    answers : int [labels]
        Cells classified so.
    confusion : int [labels, labels] or [labels, labels + 1]
        Validation cells, rows are the truth; a last column holds those without an answer (not found,
        rejected).
    counted : bool [labels]
        Which labels make up the shares.
    draws : int
        For each end of each interval.

    Raises
    ------
    ValueError
        If a label has no validation cell: how such cells are classified is then unknown.
    """
    labels = len(answers)
    if confusion.shape not in ((labels, labels), (labels, labels + 1)) or counted.shape != (labels,):
        raise ValueError(f"a confusion matrix of shape {confusion.shape} for {labels} labels")
    if not confusion[:, :labels].sum(1).all():
        raise ValueError("a label has no validation cell that got an answer")
    sampler = _Sampler(answers.astype(np.float64), confusion.astype(np.float64), counted, draws)
    cells, matrix = sampler.cells, sampler.matrix
    rates = matrix / matrix.sum(1, keepdims=True)
    best = unfold(np.full((1, labels), cells.mean()), rates[None, :, :labels], cells[None], rounds=2000)[0]
    whole = best[counted].sum()
    shares, counts = [], []
    for target in (*(np.arange(labels) == k for k in np.flatnonzero(counted)), counted):
        low, high = sampler.limits(target, high=False), sampler.limits(target, high=True)
        part = best[target].sum()
        shares.append(_share(part, whole, low[0], high[0]))
        counts.append(Estimate(float(part), float(min(low[1], part)), float(max(high[1], part))))
    return Prevalence(tuple(shares[:-1]), tuple(counts[:-1]), counts[-1])


def _share(part: float, whole: float, low: float, high: float) -> Estimate:
    # without a cell to share, the ends that the validation cells alone suggest may be in reverse order
    low, high = min(low, high), max(low, high)
    if whole <= 1e-6:
        return Estimate(None, float(low), float(min(high, 1)))
    share = part / whole
    return Estimate(float(share), float(min(low, share)), float(min(max(high, share), 1)))


class _Sampler:
    """Draws samples and confusion matrices for the ends of the intervals; see `estimate_prevalence`."""

    def __init__(self, cells: Array, matrix: Array, counted: Mask, draws: int) -> None:
        self.cells, self.matrix = cells, matrix
        self._counted, self._draws = counted, draws
        self._rng = np.random.default_rng(_SEED)
        # where the matrix does not distinguish labels, each draw ends where it began: anywhere
        self._start = self._rng.dirichlet(np.ones(len(cells)), draws) * max(cells.sum(), 1)

    def limits(self, target: Mask, *, high: bool) -> Array:
        """Return one end of the intervals of the target's share and count, float64 [2]."""
        added, leaning = self._added(target, high), self._leaning(target, high)
        answers = self._rng.standard_gamma(np.broadcast_to(self.cells + added, (self._draws, len(added))))
        rates = self._rng.standard_gamma(
            np.broadcast_to(self.matrix + leaning, (self._draws, *self.matrix.shape))
        )
        rates /= np.maximum(rates.sum(2, keepdims=True), _TINY)
        found = unfold(self._start, rates[:, :, : len(added)], answers)
        part, whole = found[:, target].sum(1), found[:, self._counted].sum(1)
        share = np.where(whole > 0, part / np.maximum(whole, _TINY), float(high))
        ends = np.quantile([share, part], 1 - TAIL if high else TAIL, axis=1)
        unit = np.array([0.001, 1.0])
        return np.asarray((np.ceil if high else np.floor)(ends / unit) * unit)

    def _added(self, target: Mask, high: bool) -> Array:
        """Return one more cell: in the target for the high end, in the other counted labels for the low end.

        Gamma(k) and Gamma(k + 1) give the lower and the upper exact limit of a Poisson mean (Garwood 1936),
        their ratios Beta(k, n − k + 1) and Beta(k + 1, n − k) those of a proportion (Clopper and Pearson
        1934).
        """
        side = target if high else self._counted & ~target
        return np.asarray(side / max(side.sum(), 1) + 0.5 * ~self._counted)

    def _leaning(self, target: Mask, high: bool) -> Array:
        """Return one more validation cell per row: classified as the target for the low end, else not so."""
        side = np.zeros(self.matrix.shape[1], bool)
        side[: len(target)] = target
        side = ~side if high else side
        return np.broadcast_to(side / max(side.sum(), 1), self.matrix.shape)


def unfold(start: Array, rates: Array, answers: Array, rounds: int = 200, tolerance: float = 1e-5) -> Array:
    """Return the Poisson means under which the answers are most likely, float64 [n, labels].

    Expectation maximisation: each answer is distributed among the labels that it may come from (Vardi, Shepp
    and Kaufman 1985; with rows of sum 1 it is that of Saerens, Latinne and Decaestecker, Neural Computation
    14:21, 2002). The numbers stay non-negative, and keep their sum where every cell gets an answer.

    Parameters
    ----------
    start : float64 [1 or n, labels]
        Positive.
    rates : float64 [n, labels, answers]
        Share of each label's cells that get each answer.
    answers : float64 [n, answers]
    tolerance : float
        A problem is solved when no number changes by more than this part of the answers' sum.
    """
    result = np.broadcast_to(start, rates.shape[:2]).copy()
    answered = np.maximum(rates.sum(2), 1e-9)
    busy = np.arange(len(result))
    now, m, r, reached = result, rates, answers, answered
    for k in range(rounds):
        expected = np.einsum("nl,nla->na", now, m)
        before = now
        now = now * np.einsum("nla,na->nl", m, r / np.maximum(expected, _TINY)) / reached
        if k % 8 == 7:
            result[busy] = now
            moving = np.abs(now - before).max(1) > tolerance * r.sum(1)
            if not moving.any():
                break
            if moving.mean() < 0.8:
                busy, now, m, r, reached = (a[moving] for a in (busy, now, m, r, reached))
    result[busy] = now
    return result
