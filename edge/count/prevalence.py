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


@dataclass(frozen=True, eq=False)
class Ends:
    """An estimated number of cells, and draws whose quantiles are the ends of its interval, float64 [draws].

    They are for melding with what else is unsure: the low end of a quotient of two numbers is the quantile of
    this one's low draws over the other one's high draws.
    """

    value: float
    low: Array
    high: Array


def estimate_prevalence(
    answers: NDArray[np.int64],
    confusion: NDArray[np.int64],
    counted: Mask,
    draws: int = DRAWS,
    *,
    false: NDArray[np.int64] | None = None,
    dispersion: float = 1.0,
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
    false : int [labels], optional
        Answers that were given beside the validation cells where there is no cell; so many per cell are
        assumed in the sample.
    dispersion : float
        Variance of the answers, relative to that of cells that are counted once and lie at random.

    Raises
    ------
    ValueError
        If a label has no validation cell: how such cells are classified is then unknown.
    """
    return prevalence(Sampler(answers, confusion, counted, draws, false=false, dispersion=dispersion))


def prevalence(sampler: Sampler) -> Prevalence:
    """Return what `estimate_prevalence` does."""
    best, counted = sampler.best(), sampler.counted
    whole = best[counted].sum()
    shares, counts = [], []
    for target in (*(np.arange(len(best)) == k for k in np.flatnonzero(counted)), counted):
        low, high = sampler.limits(target, high=False), sampler.limits(target, high=True)
        part = best[target].sum()
        shares.append(_share(part, whole, low[0], high[0]))
        counts.append(Estimate(float(part), float(min(low[1], part)), float(max(high[1], part))))
    return Prevalence(tuple(shares[:-1]), tuple(counts[:-1]), counts[-1])


def count_ends(sampler: Sampler, target: Mask) -> Ends:
    """Return the number of the target's cells, with draws of its ends."""
    low, high = (sampler.draw(target, high=high)[:, target].sum(1) for high in (False, True))
    return Ends(float(sampler.best()[target].sum()), low, high)


def _share(part: float, whole: float, low: float, high: float) -> Estimate:
    # without a cell to share, the ends that the validation cells alone suggest may be in reverse order
    low, high = min(low, high), max(low, high)
    if whole <= 1e-6:
        return Estimate(None, float(low), float(min(high, 1)))
    share = part / whole
    return Estimate(float(share), float(min(low, share)), float(min(max(high, share), 1)))


class Sampler:
    """Draws samples and confusion matrices for the ends of the intervals; see `estimate_prevalence`."""

    def __init__(
        self,
        answers: NDArray[np.int64],
        confusion: NDArray[np.int64],
        counted: Mask,
        draws: int = DRAWS,
        *,
        false: NDArray[np.int64] | None = None,
        dispersion: float = 1.0,
    ) -> None:
        labels = len(answers)
        if confusion.shape not in ((labels, labels), (labels, labels + 1)) or counted.shape != (labels,):
            raise ValueError(f"a confusion matrix of shape {confusion.shape} for {labels} labels")
        if not confusion[:, :labels].sum(1).all():
            raise ValueError("a label has no validation cell that got an answer")
        self.cells, self.matrix = answers.astype(np.float64), confusion.astype(np.float64)
        self.counted = counted
        self._false = None if false is None else false.astype(np.float64)
        self._draws, self._dispersion = draws, dispersion
        self._rng = np.random.default_rng(_SEED)
        # where the matrix does not distinguish labels, each draw ends where it began: anywhere
        self._start = self._rng.dirichlet(np.ones(labels), draws) * max(self.cells.sum(), 1)

    def rates(self) -> Array:
        """Return the observed answers per cell of each label, float64 [labels, labels]."""
        per_cell: Array = self.matrix[:, : len(self.cells)] / self.matrix.sum(1, keepdims=True)
        return per_cell if self._false is None else per_cell + self._false / self.matrix.sum()

    def redrawn_rates(self, rng: np.random.Generator, samples: int) -> Array:
        """Return the rates that other such validations would find, [samples, labels, labels]."""
        cells = self.matrix.sum(1)
        rows = [rng.multinomial(int(n), row / n, samples) for n, row in zip(cells, self.matrix, strict=True)]
        rates: Array = np.stack(rows, axis=1)[:, :, : len(cells)] / cells[:, None]
        if self._false is not None:
            rates += rng.poisson(self._false, (samples, 1, len(cells))) / cells.sum()
        return rates

    def best(self) -> Array:
        """Return the most likely numbers of cells, float64 [labels]."""
        start = np.full((1, len(self.cells)), self.cells.mean())
        found: Array = unfold(start, self.rates()[None], self.cells[None], rounds=2000)[0]
        return found

    def draw(self, target: Mask, *, high: bool, fixed_answers: bool = False) -> Array:
        """Return numbers of cells whose quantiles are one end of the target's intervals, [draws, labels].

        With fixed answers they are those of a sample so large that only the validation cells make it unsure.
        """
        labels = len(self.cells)
        added, times = self._added(target, high), self._dispersion
        answers = np.broadcast_to(self.cells + added, (self._draws, labels))
        if not fixed_answers:
            effective = np.broadcast_to(self.cells / times + added, (self._draws, labels))
            answers = self._rng.standard_gamma(effective) * times
        leaning = self._leaning(target, high)
        rates = self._rng.standard_gamma(
            np.broadcast_to(self.matrix + leaning, (self._draws, *self.matrix.shape))
        )
        rates = rates[:, :, :labels] / np.maximum(rates.sum(2, keepdims=True), _TINY)
        if self._false is not None:
            false = np.broadcast_to(self._false + leaning[0, :labels], (self._draws, labels))
            rates += self._rng.standard_gamma(false)[:, None] / self.matrix.sum()
        return unfold(self._start, rates, answers)

    def limits(self, target: Mask, *, high: bool, fixed_answers: bool = False) -> Array:
        """Return one end of the intervals of the target's share and count, float64 [2]."""
        found = self.draw(target, high=high, fixed_answers=fixed_answers)
        part, whole = found[:, target].sum(1), found[:, self.counted].sum(1)
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
        side = target if high else self.counted & ~target
        return np.asarray(side / max(side.sum(), 1) + 0.5 * ~self.counted)

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
