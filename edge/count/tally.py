"""From class probabilities to a differential count with honest uncertainty."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from edge.base import FailedFrame
from edge.classify import REJECTED
from edge.count.intervals import Estimate, clopper_pearson


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


def tally_labels(
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
