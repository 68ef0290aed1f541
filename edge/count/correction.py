"""Counts corrected for misclassification and, where frames were validated, for missed cells."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge.classify import Decision
from edge.count.better import Errors, expected_errors, width_of_validation
from edge.count.intervals import Estimate
from edge.count.prevalence import METHOD, Ends, Sampler, count_ends, prevalence
from edge.count.tally import Tally
from edge.model import Manifest

FEW_VALIDATED = 0.9
"""Share of an interval's width that the validation cells alone leave, from which counting more cells hardly
narrows it."""


@dataclass(frozen=True, eq=False)
class Validation:
    """How a bundle answers cells whose truth is known.

    Attributes
    ----------
    confusion : int64 [labels, labels] or [labels, labels + 1]
        Cells; rows are the truth. The last column holds those without an answer: out of distribution and,
        where `misses` says so, not found.
    false : int64 [labels] or None
        Answers given where there is no cell; None where nobody looked.
    misses : bool
        Whether cells that are not found are among those without an answer.
    """

    confusion: NDArray[np.int64]
    false: NDArray[np.int64] | None = None
    misses: bool = False

    @classmethod
    def of(cls, manifest: Manifest, *, usual: bool) -> Validation:
        """Take a bundle's validation cells.

        How many are missed holds only for frames that are counted in the `usual` way: each by itself and
        with the gates of `edge.find`.
        """
        answers = manifest.answers
        if answers is None:
            return cls(np.array(manifest.confusion))
        cells = np.array(answers.cells)
        if not usual or not answers.frames:
            return cls(cells)
        cells[:, -1] += np.array(answers.missed)
        return cls(cells, np.array(answers.false[:-1]), misses=True)

    def unvalidated(self, labels: tuple[str, ...]) -> tuple[str, ...]:
        """Return the labels without a validation cell that got an answer."""
        answered = self.confusion[:, : len(labels)].any(axis=1).tolist()
        return tuple(label for label, some in zip(labels, answered, strict=True) if not some)

    def sampler(self, answers: NDArray[np.int64], counted: NDArray[np.bool_], dispersion: float) -> Sampler:
        """Return what draws the true cells behind answers."""
        return Sampler(answers, self.confusion, counted, false=self.false, dispersion=dispersion)


@dataclass(frozen=True)
class Correction:
    """Estimated true numbers of cells, given the errors that the network made on its validation cells.

    If labels are unvalidated, without validation cells, nothing can be estimated: the fractions and counts of
    the counted labels are empty, and `leukocytes`, the cells of all counted labels, is None.

    Attributes
    ----------
    left_out : int
        Cells out of distribution, which take no part.
    misses : bool
        Whether cells that were not found, and answers where there is no cell, are corrected for.
    validated : int
        Validation cells.
    few_validated : bool
        Validation cells, not counted ones, set the width of the intervals.
    errors : Errors or None
        How far from the truth raw and corrected numbers are expected; None without a cell.
    """

    method: str
    fractions: Mapping[str, Estimate]
    counts: Mapping[str, Estimate]
    leukocytes: Estimate | None
    unvalidated: tuple[str, ...]
    left_out: int = 0
    misses: bool = False
    validated: int = 0
    few_validated: bool = False
    errors: Errors | None = None

    @property
    def report(self) -> Literal["raw", "corrected"]:
        """Which values are expected to be nearer to the truth; only the corrected intervals hold it."""
        raw = self.leukocytes is None or (self.errors is not None and self.errors.raw_leads)
        return "raw" if raw else "corrected"


def correct_counts(tally: Tally, validation: Validation) -> Correction:
    """Correct counts for misclassification; see `edge.count.prevalence`.

    The cells in distribution take part with their most probable label, however small its probability, as the
    validation cells do: so the correction is the same whatever is rejected for low confidence. Of the tally's
    dispersions the largest widens all intervals.
    """
    labels, out = tally.labels, tally.rejected_by["out_of_distribution"]
    validated = int(validation.confusion.sum())
    if unvalidated := validation.unvalidated(labels):
        return Correction(METHOD, {}, {}, None, unvalidated, out, validated=validated)
    answers, counted = (
        np.array([tally.answers[label] for label in labels]),
        np.array([label in tally.counted for label in labels]),
    )
    sampler = validation.sampler(answers, counted, max(tally.dispersion.values(), default=1.0))
    found = prevalence(sampler)
    kept = np.array([tally.counts[label] for label in labels]) / np.maximum(answers, 1)
    places = {label: k for k, label in enumerate(label for label in labels if label in tally.counted)}
    return Correction(
        METHOD,
        {label: found.shares[places[label]] for label in tally.counted},
        {label: found.counts[places[label]] for label in tally.counted},
        found.total,
        (),
        out,
        validation.misses,
        validated,
        width_of_validation(sampler, found) >= FEW_VALIDATED,
        expected_errors(sampler, kept),
    )


def corrected_inside(
    decisions: Mapping[Decision, int],
    tally: Tally,
    validation: Validation,
    labels: Sequence[str],
    *,
    dispersion: float = 1.0,
) -> Ends:
    """Return the number of true cells with some of a tally's counted labels, corrected like the tally.

    Parameters
    ----------
    decisions : mapping
        Decision → those of the tally's cells that are meant.
    dispersion : float
        Variance of their number, relative to that of cells that lie at random.
    """
    answers = Counter[str]()
    for decision, cells in decisions.items():
        answers[decision.likeliest] += cells * decision.answered
    sampler = validation.sampler(
        np.array([answers[label] for label in tally.labels]),
        np.array([label in tally.counted for label in tally.labels]),
        dispersion,
    )
    return count_ends(sampler, np.array([label in labels for label in tally.labels]))
