"""Counts corrected for misclassification."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.count.intervals import Estimate
from edge.count.prevalence import METHOD, estimate_prevalence
from edge.count.tally import Tally


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


def correct_counts(tally: Tally, confusion: Sequence[Sequence[int]]) -> Correction:
    """Correct counts for misclassification; see `edge.count.prevalence`.

    Rejected cells take part with their most probable label, as they do in the matrix.

    Parameters
    ----------
    tally : what was counted
    confusion : validation cells, rows are the truth, in label order
    """
    labels, counted = tally.labels, tally.counted
    unvalidated = tuple(label for label, row in zip(labels, confusion, strict=True) if not any(row))
    if unvalidated:
        return Correction(METHOD, {}, {}, None, unvalidated)
    found = estimate_prevalence(
        np.array([tally.likeliest[label] for label in labels]),
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
