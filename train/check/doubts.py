"""Labels that predictions by networks which never saw the crop doubt, and what a person says to them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from edge.base import write_atomically
from train.check.findings import Finding, Result
from train.check.runs import Predictions

DOUBTS_CSV = "doubts.csv"
HEADER = ("rank", "path", "label", "suggested", "label_probability", "suggested_probability", "verdict")

WRONG = "wrong"
"""Verdict of a person on a label that is plainly wrong."""


LOWEST_ACCURACY = 0.7
"""Networks that are right less often are too weak to doubt a label."""

FEWER_ERRORS = 0.5
"""So are those that err more often than this share of the errors made by always naming the largest class."""


@dataclass(frozen=True)
class Doubt:
    """One label that is doubted.

    Attributes
    ----------
    rank : from 1, the least likely label first
    path : file of the crop, relative to its set
    label, suggested : as given, and what the networks take it for
    label_probability, suggested_probability : theirs
    """

    rank: int
    path: str
    label: str
    suggested: str
    label_probability: float
    suggested_probability: float


@dataclass(frozen=True)
class Doubts:
    """What networks that never saw the crops say to their labels.

    Attributes
    ----------
    accuracy : share of the labels that they agree with
    largest_share : share of the largest class, the accuracy of always naming it
    found : the labels in doubt, by rank; none from networks that are too weak
    """

    accuracy: float
    largest_share: float
    found: tuple[Doubt, ...] = ()

    @property
    def too_weak(self) -> bool:
        """Whether the networks err so often that their doubts say more of them than of the labels."""
        errors, errors_of_largest = 1 - self.accuracy, 1 - self.largest_share
        return self.accuracy < LOWEST_ACCURACY or errors > FEWER_ERRORS * errors_of_largest


def find_doubts(predictions: Predictions) -> Doubts:
    """Doubt labels by confident learning (Northcutt, Jiang, Chuang, JAIR 70, 2021).

    Raises
    ------
    ModuleNotFoundError
        Without cleanlab, which the train extra brings.
    """
    from cleanlab.filter import find_label_issues

    # cleanlab wants every class to have a crop
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
        suggested = int(present[probabilities[index].argmax()])
        label = int(predictions.truth[index])
        found.append(
            Doubt(
                rank=rank,
                path=predictions.names[index],
                label=predictions.labels[label],
                suggested=predictions.labels[suggested],
                label_probability=float(predictions.probabilities[index, label]),
                suggested_probability=float(predictions.probabilities[index, suggested]),
            )
        )
    return replace(doubts, found=tuple(found))


def check_doubts(doubts: Doubts, cells: int) -> Result:
    """Answer how many labels are in doubt."""
    quality = f"the networks' accuracy out of fold is {doubts.accuracy:.3f}"
    if doubts.too_weak:
        message = (
            f"always naming the largest class gives {doubts.largest_share:.3f}: train better networks first"
        )
        return Result("doubted labels", f"too weak to doubt labels: {quality}", (Finding(message),))
    findings = [
        Finding(
            f"{doubt.label}? the out-of-fold prediction says {doubt.suggested} "
            f"({doubt.label_probability:.2f} against {doubt.suggested_probability:.2f})",
            doubt.path,
            value=round(doubt.label_probability, 4),
        )
        for doubt in doubts.found
    ]
    return Result("doubted labels", f"{len(findings):,} of {cells:,}; {quality}", tuple(findings))


def write_doubts(path: Path, doubts: Sequence[Doubt]) -> None:
    """Write the doubts as a table with a column ``verdict`` for a person to fill in.

    Verdicts in a table that is there already are kept, also on labels no longer doubted.

    Raises
    ------
    ValueError
        If the table there is none of this kind.
    OSError
        If it cannot be written.
    """
    earlier = _read_verdicts(path) if path.exists() else {}
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(HEADER)
    for doubt in doubts:
        row = earlier.pop(doubt.path, {})
        given, suggested = f"{doubt.label_probability:.6f}", f"{doubt.suggested_probability:.6f}"
        # a verdict speaks about one label: on another one it no longer holds
        verdict = row.get("verdict", "") if row.get("label") in (None, doubt.label) else ""
        writer.writerow((doubt.rank, doubt.path, doubt.label, doubt.suggested, given, suggested, verdict))
    for row in earlier.values():
        if row.get("verdict"):
            writer.writerow(("", *(row.get(key) or "" for key in HEADER[1:])))
    write_atomically(path, text.getvalue().encode())


def _read_verdicts(path: Path) -> dict[str, dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            return {row["path"]: row for row in csv.DictReader(file)}
    except (KeyError, UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a table of doubts ({error}): move it away") from error
