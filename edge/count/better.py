"""Which numbers are better, raw or corrected ones, and whether more validation cells would help."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.count.prevalence import Prevalence, Sampler, unfold

SAMPLES = 400
"""Simulated counts in which the errors are measured."""

_SEED = 20240602
_TINY = 1e-300

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Errors:
    """Expected errors of raw and of corrected numbers, root mean square.

    Of several counted labels those of the shares, of a single one that of the number, relative to it.
    """

    raw: float
    corrected: float

    @property
    def raw_leads(self) -> bool:
        """Whether correcting is expected to add more error than it takes away."""
        return self.raw < self.corrected


def expected_errors(sampler: Sampler, kept: Array) -> Errors | None:
    """Simulate counts and validations like these, and measure both errors; None without a counted cell.

    The most likely numbers and rates stand for the truth (parametric bootstrap, Efron and Tibshirani 1993,
    chapter 6): answers and validation cells are drawn from them, and the drawn answers are corrected by the
    drawn validation. Raw numbers are taken to be as biased as they differ from the corrected ones, less what
    the validation cells alone would make them differ.

    Parameters
    ----------
    kept : float64 [labels]
        Share of the cells of each answer that are counted under it; the others are of low confidence.
    """
    truth, counted = sampler.best(), sampler.counted
    if truth[counted].sum() <= _TINY:
        return None
    rng = np.random.default_rng(_SEED)
    answers = rng.poisson(truth @ sampler.rates(), (SAMPLES, len(truth))).astype(np.float64)
    corrected = unfold(np.full((1, len(truth)), truth.mean()), sampler.redrawn_rates(rng, SAMPLES), answers)
    true, raw, corrected = (found[:, counted] for found in (truth[None], answers * kept, corrected))
    if counted.sum() > 1:
        true, raw, corrected = (
            found / np.maximum(found.sum(1, keepdims=True), _TINY) for found in (true, raw, corrected)
        )
    else:
        raw, corrected, true = raw / true, corrected / true, np.ones(1)
    biases = (raw.mean(0) - true) ** 2 - (raw - corrected).var(0)
    raw_square = raw.var(0).mean() + max(float(biases.mean()), 0.0)
    return Errors(float(np.sqrt(raw_square)), float(np.sqrt(((corrected - true) ** 2).mean())))


def width_of_validation(sampler: Sampler, found: Prevalence) -> float:
    """Return which part of the widest interval would be left if infinitely many cells were counted.

    Of several counted labels it is the widest interval of a share, of a single one that of the number.
    """
    labels = np.flatnonzero(sampler.counted)
    several = len(labels) > 1
    intervals = found.shares if several else found.counts
    widest = max(range(len(labels)), key=lambda k: intervals[k].high - intervals[k].low)
    target = np.arange(len(sampler.counted)) == labels[widest]
    low, high = (sampler.limits(target, high=high, fixed_answers=True) for high in (False, True))
    k = 0 if several else 1
    return float((high[k] - low[k]) / max(intervals[widest].high - intervals[widest].low, 1e-9))
