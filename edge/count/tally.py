"""The differential count of some decisions, with its exact intervals."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from edge.base import FailedFrame
from edge.classify import REASONS, Decision
from edge.count.intervals import Estimate, estimate_proportion


@dataclass(frozen=True)
class Tally:
    """What was counted.

    Attributes
    ----------
    counted : tuple of str
        The labels of the differential; the others are not leukocytes.
    counts : mapping
        Label → cells, for every label of the bundle.
    answers : mapping
        Label → cells in distribution whose most probable label it is, those of low confidence included.
    rejected_by : mapping
        Reason → cells, for every reason.
    failed : tuple of FailedFrame
        Files, pages and frames that are not counted.
    unlisted : mapping
        Kind → further frames of a device that are not counted; see `edge.base.FailedFrame`.
    dispersion : mapping
        Counted label → variance of its share, relative to that of cells that are counted once and lie at
        random; 1 of a label that is not there.
    """

    labels: tuple[str, ...]
    counted: tuple[str, ...]
    counts: Mapping[str, int]
    answers: Mapping[str, int]
    rejected_by: Mapping[str, int]
    frames_read: int
    failed: tuple[FailedFrame, ...]
    unlisted: Mapping[str, int] = field(default_factory=dict)
    dispersion: Mapping[str, float] = field(default_factory=dict)

    @property
    def unreadable(self) -> tuple[FailedFrame, ...]:
        """Those of the frames not counted that could not be read: they are missing from the sample."""
        return tuple(frame for frame in self.failed if frame.kind == "unreadable")

    @property
    def left_out(self) -> dict[str, int]:
        """Kind → frames that are not counted, listed or not."""
        return dict(Counter(frame.kind for frame in self.failed) + Counter(self.unlisted))

    @property
    def rejected(self) -> int:
        """Rejected cells, whatever the reason."""
        return sum(self.rejected_by.values())

    @property
    def cells(self) -> int:
        """All cells found, the rejected ones included."""
        return sum(self.answers.values()) + self.rejected_by["out_of_distribution"]

    @property
    def leukocytes(self) -> int:
        """Cells with a counted label: the differential's denominator."""
        return sum(self.counts[label] for label in self.counted)

    @property
    def fractions(self) -> dict[str, Estimate]:
        """Share of each counted label among the leukocytes, with its interval (`estimate_proportion`).

        A single counted label always has all of them; reports leave that out.
        """
        return {
            label: estimate_proportion(self.counts[label], self.leukocytes, self.dispersion.get(label, 1.0))
            for label in self.counted
        }


def tally_decisions(
    labels: Sequence[str],
    counted: Sequence[str],
    decisions: Iterable[Decision] | Mapping[Decision, int],
    frames_read: int,
    failed: Iterable[FailedFrame],
    unlisted: Mapping[str, int] | None = None,
) -> Tally:
    """Count decisions, or take a mapping from decision to cells; see `Tally` for the other parameters."""
    by_label, answers, by_reason = Counter[str](), Counter[str](), Counter[str]()
    for decision, cells in Counter(decisions).items():
        by_label[decision.label] += cells
        answers[decision.likeliest] += cells * decision.answered
        by_reason[decision.rejected_by] += cells
    return Tally(
        labels=tuple(labels),
        counted=tuple(counted),
        counts={label: by_label[label] for label in labels},
        answers={label: answers[label] for label in labels},
        rejected_by={reason: by_reason[reason] for reason in REASONS},
        frames_read=frames_read,
        failed=tuple(failed),
        unlisted=dict(unlisted or {}),
    )
