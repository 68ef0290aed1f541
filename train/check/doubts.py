"""Labels that networks which never saw the crop doubt, and a person's verdicts on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from train.check.findings import Finding, Result
from train.check.runs import Predictions
from train.table import Verdict, read_table, write_table

DOUBTS_CSV = "doubts.csv"

MIN_ACCURACY = 0.7
"""Networks with a lower accuracy are too weak to doubt a label."""

ERROR_RATIO = 0.5
"""So are those with more than this share of the errors of always naming the largest class."""


@dataclass(frozen=True)
class Doubt:
    """A given label in doubt, and the one that networks suggest; rank 1 is the least likely label."""

    rank: int
    path: str
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float


@dataclass(frozen=True)
class Doubts:
    """The labels that networks doubt.

    Attributes
    ----------
    accuracy : float
        Share of the labels that the networks agree with.
    largest_share : float
        Share of the largest class, which is the accuracy of always naming it.
    found : tuple of Doubt
        By rank; empty if the networks are too weak.
    """

    accuracy: float
    largest_share: float
    found: tuple[Doubt, ...] = ()

    @property
    def too_weak(self) -> bool:
        """Whether the networks err so often that their doubts tell more about them than about the labels."""
        return self.accuracy < MIN_ACCURACY or 1 - self.accuracy > ERROR_RATIO * (1 - self.largest_share)


def find_doubts(predictions: Predictions) -> Doubts:
    """Find doubtful labels by confident learning (Northcutt, Jiang, Chuang, JAIR 70, 2021)."""
    from cleanlab.filter import find_label_issues  # of the train extra, and slow to import

    # cleanlab needs at least one crop of every class
    present, counts = np.unique(predictions.truth, return_counts=True)
    if len(present) < 2:
        return Doubts(1.0, 1.0)
    accuracy = float((predictions.probabilities.argmax(axis=1) == predictions.truth).mean())
    doubts = Doubts(accuracy, float(counts.max() / counts.sum()))
    if doubts.too_weak:
        return doubts
    probabilities = predictions.probabilities[:, present]
    probabilities = probabilities / np.maximum(probabilities.sum(axis=1, keepdims=True), 1e-12)
    truth = np.searchsorted(present, predictions.truth)
    ranked = find_label_issues(truth, probabilities, return_indices_ranked_by="self_confidence", n_jobs=1)
    found = []
    for rank, index in enumerate(map(int, ranked), start=1):
        label, suggested = int(predictions.truth[index]), int(present[probabilities[index].argmax()])
        label_names = predictions.labels[label], predictions.labels[suggested]
        given, best = predictions.probabilities[index, [label, suggested]].round(6).tolist()
        found.append(Doubt(rank, predictions.names[index], *label_names, given, best))
    return replace(doubts, found=tuple(found))


def check_doubts(doubts: Doubts, crops: int) -> Result:
    """Check how many labels are in doubt."""
    quality = f"the networks' out-of-fold accuracy is {doubts.accuracy:.3f}"
    if doubts.too_weak:
        largest = f"always naming the largest class gives {doubts.largest_share:.3f}"
        finding = Finding(f"{largest}: train better networks first")
        return Result("doubtful labels", f"too weak to doubt labels: {quality}", (finding,))
    findings = []
    for doubt in doubts.found:
        message = f"{doubt.label}? the out-of-fold prediction is {doubt.suggested} "
        message += f"({doubt.label_probability:.2f} against {doubt.suggested_probability:.2f})"
        findings.append(Finding(message, doubt.path, value=round(doubt.label_probability, 4)))
    return Result("doubtful labels", f"{len(findings):,} of {crops:,}; {quality}", tuple(findings))


def write_doubts(path: Path, doubts: Sequence[Doubt]) -> None:
    """Write the doubts as a table with a column ``verdict`` for a person to fill in.

    Verdicts in an earlier table are kept, also those on labels no longer in doubt.

    Raises
    ------
    ValueError
        If the earlier file is not such a table.
    """
    try:
        earlier = {row.path: row for row in read_table(path, Verdict).values()} if path.exists() else {}
    except ValueError as error:
        raise ValueError(f"{error}; move it away: it is not a table of doubts") from error
    rows = []
    for doubt in doubts:
        before = earlier.pop(doubt.path, None)
        # a verdict is about one label: on another one it no longer holds
        holds = before is not None and before.label in ("", doubt.label)
        rows.append(Verdict(**asdict(doubt), verdict=before.verdict if before and holds else ""))
    rows += [replace(row, rank=None) for row in earlier.values() if row.verdict]
    write_table(path, Verdict, rows)
