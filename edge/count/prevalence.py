"""How many cells of each label there were, given how many were called so and how often the network errs.

What is counted are answers. Their expected numbers are those of the true cells times the confusion matrix, so
that the error of the raw fractions changes with the mixture. Here it is undone ("adjusted classify and
count", Forman 2008; Saerens et al. 2002), which holds as long as the sample's cells of each label look like
the validation cells of that label ("prior probability shift").
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

METHOD = "maximum likelihood with the validation confusion matrix; melded 95 % intervals"

DRAWS = 1000
"""Monte Carlo draws for each end of each interval."""

_TAIL = 0.025
_SEED = 20240601
_TINY = 1e-300

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Quantified:
    """Estimates of n counted labels; the last axis holds value, low and high.

    Attributes
    ----------
    shares : float64 [n, 3], of the counted cells; the values are NaN if no counted cell is likely at all
    counts : float64 [n, 3], cells; the interval is that of the mean number in such a sample
    total : float64 [3], counted cells together
    """

    shares: Array
    counts: Array
    total: Array


def estimate_prevalence(
    answers: NDArray[np.int64], confusion: NDArray[np.int64], counted: NDArray[np.bool_], draws: int = DRAWS
) -> Quantified:
    """Estimate the true numbers behind counted answers, with intervals for both kinds of error.

    The values are those of maximum likelihood (`unfold`) with the observed confusion matrix. The intervals
    are melded (Fay, Proschan and Brittain, Biometrics 71:146, 2015; for a prevalence behind an imperfect
    test: Bayer, Fay and Graubard, Statistics in Medicine 42:1822, 2023): for each end of each interval,
    answers and rows of the matrix are drawn from the confidence distribution whose quantile is that end of
    the exact interval, and unfolded. With a faultless network and many validation cells the shares' intervals
    become those of Clopper and Pearson, the counts' those of Garwood. They are rounded outward to 0.1 % and
    to whole cells, about what the draws resolve.

    Parameters
    ----------
    answers : int [labels], cells called so
    confusion : int [labels, labels] or [labels, labels + 1], validation cells, rows are the truth; a last
        column holds those that got no answer (not found, rejected)
    counted : bool [labels], which labels make up the shares
    draws : for each end

    Raises
    ------
    ValueError
        If a label has no validation cell: how such cells are called is then unknown.
    """
    labels = len(answers)
    if confusion.shape not in ((labels, labels), (labels, labels + 1)) or counted.shape != (labels,):
        raise ValueError(f"a confusion matrix of shape {confusion.shape} for {labels} labels")
    if not confusion[:, :labels].sum(1).all():
        raise ValueError("a label has no validation cell that got an answer")
    rng = np.random.default_rng(_SEED)
    seen, matrix = answers.astype(np.float64), confusion.astype(np.float64)
    # where the matrix does not tell labels apart, each draw ends where it began: anywhere
    start = rng.dirichlet(np.ones(labels), draws) * max(seen.sum(), 1)
    rates = matrix / matrix.sum(1, keepdims=True)
    best = unfold(np.full((1, labels), seen.mean()), rates[None, :, :labels], seen[None], rounds=2000)[0]

    def ends(target: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Low and high of the target's share and count."""
        limits = []
        for high in (False, True):
            added, leaning = _added(target, counted, high), _leaning(target, matrix.shape, high)
            r = rng.standard_gamma(np.broadcast_to(seen + added, (draws, labels)))
            m = rng.standard_gamma(np.broadcast_to(matrix + leaning, (draws, *matrix.shape)))
            m /= np.maximum(m.sum(2, keepdims=True), _TINY)
            found = unfold(start, m[:, :, :labels], r)
            part, whole = found[:, target].sum(1), found[:, counted].sum(1)
            share = np.where(whole > 0, part / np.maximum(whole, _TINY), float(high))
            limits.append(np.quantile([share, part], 1 - _TAIL if high else _TAIL, axis=1))
        low, high = limits
        unit = np.array([0.001, 1.0])
        return np.floor(low / unit) * unit, np.ceil(high / unit) * unit

    def estimate(target: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Share and count of the target, each as value, low and high."""
        part, whole = best[target].sum(), best[counted].sum()
        low, high = ends(target)
        share = part / whole if whole > 1e-6 else np.nan
        # without a cell to share, what the validation cells alone suggest may stand the wrong way round
        least, most = min(low[0], high[0]), max(low[0], high[0])
        return (
            np.array([share, np.fmin(least, share), np.fmin(np.fmax(most, share), 1)]),
            np.array([part, min(low[1], part), max(high[1], part)]),
        )

    parts = [estimate(np.arange(labels) == k) for k in np.flatnonzero(counted)]
    return Quantified(
        np.array([share for share, _ in parts]), np.array([count for _, count in parts]), estimate(counted)[1]
    )


def unfold(start: Array, rates: Array, answers: Array, rounds: int = 200, tolerance: float = 1e-5) -> Array:
    """Find the true numbers under which the answers are likeliest, each a Poisson count.

    Expectation maximisation: each answer is shared out among the labels that it may come from (Vardi, Shepp
    and Kaufman 1985; with rows of sum 1 it is that of Saerens, Latinne and Decaestecker, Neural Computation
    14:21, 2002). It stays with non-negative numbers, and keeps their sum where every cell gets an answer.

    Parameters
    ----------
    start : float64 [1 or n, labels], positive
    rates : float64 [n, labels, answers], share of each label's cells that get each answer
    answers : float64 [n, answers]
    rounds : at most
    tolerance : a problem is solved when no number changes by more than this part of the answers' sum

    Returns
    -------
    float64 [n, labels]
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


def _added(target: NDArray[np.bool_], counted: NDArray[np.bool_], high: bool) -> Array:
    """One cell more in the target for the high end, in the other counted labels for the low end.

    Gamma(k) and Gamma(k + 1) give the lower and the upper exact limit of a Poisson mean (Garwood 1936), their
    ratios Beta(k, n − k + 1) and Beta(k + 1, n − k), those of a proportion (Clopper and Pearson 1934).
    """
    side = target if high else counted & ~target
    added: Array = side / max(side.sum(), 1) + 0.5 * ~counted
    return added


def _leaning(target: NDArray[np.bool_], shape: tuple[int, ...], high: bool) -> Array:
    """One validation cell more a row: called the target for the low end, anything else for the high end."""
    side = np.zeros(shape[1], bool)
    side[: len(target)] = target
    side = ~side if high else side
    return np.broadcast_to(side / max(side.sum(), 1), shape)
