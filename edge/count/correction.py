"""Counts corrected for misclassification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from edge.count.intervals import Estimate
from edge.count.prevalence import METHOD, estimate_prevalence
from edge.count.tally import Tally


@dataclass(frozen=True)
class Correction:
    """Estimated true numbers of cells, given the errors that the network made on its validation cells.

    If labels are unvalidated, without validation cells, nothing can be estimated: the fractions and counts of
    the counted labels are empty, and `leukocytes`, the cells of all counted labels, is None.
    """

    method: str
    fractions: Mapping[str, Estimate]
    counts: Mapping[str, Estimate]
    leukocytes: Estimate | None
    unvalidated: tuple[str, ...]


def correct_counts(tally: Tally, confusion: Sequence[Sequence[int]]) -> Correction:
    """Correct counts for misclassification; see `edge.count.prevalence`.

    Rejected cells take part with their most probable label, as they do in the matrix of validation cells,
    whose rows are the truth.
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
    places = {label: k for k, label in enumerate(label for label in labels if label in counted)}
    return Correction(
        METHOD,
        {label: found.shares[places[label]] for label in counted},
        {label: found.counts[places[label]] for label in counted},
        found.total,
        (),
    )
