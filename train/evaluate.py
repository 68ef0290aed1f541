"""Everything that is measured on a model's answers to labelled crops."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.base import RESEARCH_USE
from train.metrics import (
    BINS,
    CoverageCurve,
    Intervals,
    Scores,
    bootstrap_intervals,
    brier_score,
    calibration_error,
    chance_calibration_error,
    coverage_at,
    coverage_curve,
    reliability,
    score,
)
from train.predict import Predictions

LEVEL, RESAMPLES, SEED = 0.95, 2000, 0
"""Of the bootstrap intervals."""

FEW_GROUPS = 20
"""With fewer, intervals of resampled groups come out too narrow (Cameron, Gelbach and Miller 2008)."""

ACCURACIES = (0.95, 0.98, 0.99)
"""Accuracies whose coverage is reported."""

CURVE_POINTS = 100
"""Points of the coverage curve that are kept; all of them follow from ``predictions.csv``."""

SCALE_TOLERANCE = 0.05
"""Of the data's pixel against the model's, before it is said that they differ."""

WRONG = "wrong"
"""Verdict of a person on a label that is plainly wrong."""


class Bootstrap(TypedDict):
    """How the intervals were made: `units` groups, or single cells where each is its own group."""

    level: float
    resamples: int
    seed: int
    unit: str
    units: int


class Bin(TypedDict):
    """A filled bin of the reliability diagram: confidences in (low, high], and means over its cells."""

    low: float
    high: float
    cells: int
    confidence: float
    accuracy: float


class Calibration(TypedDict):
    """More about the calibration error.

    The number of bins, the error with bins of equal mass, what a calibrated model stays below by chance,
    95 % of the time on as many cells, and the filled bins of equal width.
    """

    bins: int
    equal_mass_error: float
    chance_error: float
    reliability: list[Bin]


class CoveragePoint(TypedDict):
    """Share of the cells whose confidence is at least `threshold`, and the accuracy on these."""

    threshold: float
    coverage: float
    accuracy: float


class Coverage(TypedDict):
    """The coverage–accuracy curve, and by wanted accuracy the point of largest coverage or None."""

    curve: list[CoveragePoint]
    at_accuracy: dict[str, CoveragePoint | None]


class Reject(TypedDict):
    """What the bundle's own threshold does; no accuracy where it rejects every cell."""

    below: float
    rejected: int
    coverage: float
    accuracy: float | None


class Measures(Scores):
    """All that is measured on a set of cells; `reject` is None for a run, which has no threshold."""

    intervals: Intervals
    bootstrap: Bootstrap
    calibration_error: float
    calibration: Calibration
    brier_score: float
    coverage: Coverage
    reject: Reject | None


class Without(Measures):
    """The same measures without the cells whose label a person called wrong, which are named."""

    left_out: list[str]


class Evaluation(Measures):
    """What ``evaluate --json`` prints and ``evaluation.json`` holds.

    `model` says ``kind`` (run or bundle), ``name`` and ``sha256`` of the file; `data` says ``path`` and
    ``sha256`` of the dataset; `views` how many mirrored and turned views of a crop were averaged;
    `trained_on` how many of the cells the model is known to have been trained on; `without` is None unless
    verdicts were given.
    """

    without: Without | None
    views: int
    trained_on: int
    model: dict[str, str]
    data: dict[str, str]
    notices: list[str]
    use: str
    software: str


def read_wrong_labels(path: Path, names: Sequence[str]) -> NDArray[np.bool_]:
    """Read which labels a person called wrong.

    Parameters
    ----------
    path
        A CSV with the columns ``path,verdict``, such as ``leuko data check --model`` writes; a label is wrong
        where the verdict is the word ``wrong``.
    names
        The files of the dataset, n of them.

    Returns
    -------
    bool [n], true where the label is wrong.

    Raises
    ------
    ValueError
        If a column is missing or a path is not in the dataset.
    OSError
        If the file cannot be read.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in ("path", "verdict") if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{path}: column {', '.join(missing)} is missing; needed are path,verdict")
            verdicts = [(row["path"] or "", (row["verdict"] or "").strip().lower()) for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file ({error})") from error
    known = set(names)
    unknown = [name for name, _ in verdicts if name not in known]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise ValueError(f"{path}: {unknown[0]!r}{more} not in the data: give the table of these cells")
    wrong = {name for name, verdict in verdicts if verdict == WRONG}
    return np.array([name in wrong for name in names], bool)


def measure(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
    groups: Sequence[str],
    reject_below: float | None = None,
) -> Measures:
    """Measure answers.

    Parameters
    ----------
    truth : int [n], indices into `labels`
    probabilities : float32 [n, labels]
    labels : class names
    groups : group of each cell
    reject_below : threshold on the best probability, if there is one

    Raises
    ------
    ValueError
        Without cells.
    """
    answers = probabilities.argmax(axis=1)
    scores = score(truth, answers, labels)
    confidence, right = probabilities.max(axis=1), answers == truth
    units = len(set(groups))
    curve = coverage_curve(confidence, right)
    return Measures(
        **scores,
        intervals=bootstrap_intervals(
            truth, answers, labels, groups, level=LEVEL, resamples=RESAMPLES, seed=SEED
        ),
        bootstrap=Bootstrap(
            level=LEVEL,
            resamples=RESAMPLES,
            seed=SEED,
            unit="group" if units < len(truth) else "cell",
            units=units,
        ),
        calibration_error=calibration_error(confidence, right),
        calibration=_calibration(confidence, right),
        brier_score=brier_score(probabilities, truth),
        coverage=Coverage(
            curve=_thinned(curve),
            at_accuracy={str(wanted): _point_at(curve, wanted) for wanted in ACCURACIES},
        ),
        reject=None if reject_below is None else _rejecting(confidence, right, reject_below),
    )


def _calibration(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> Calibration:
    found = reliability(confidence, right)
    return Calibration(
        bins=BINS,
        equal_mass_error=calibration_error(confidence, right, equal_mass=True),
        chance_error=chance_calibration_error(confidence),
        reliability=[
            Bin(
                low=float(found.edges[k]),
                high=float(found.edges[k + 1]),
                cells=int(found.cells[k]),
                confidence=float(found.confidence[k]),
                accuracy=float(found.accuracy[k]),
            )
            for k in np.flatnonzero(found.cells)
        ],
    )


def _point(curve: CoverageCurve, index: int) -> CoveragePoint:
    threshold, coverage, accuracy = (float(values[index]) for values in curve)
    return CoveragePoint(threshold=threshold, coverage=coverage, accuracy=accuracy)


def _point_at(curve: CoverageCurve, accuracy: float) -> CoveragePoint | None:
    index = coverage_at(curve, accuracy)
    return None if index is None else _point(curve, index)


def _thinned(curve: CoverageCurve) -> list[CoveragePoint]:
    """At most `CURVE_POINTS` points of a curve, evenly over the coverage, the last one always."""
    wanted = np.arange(1, CURVE_POINTS + 1) / CURVE_POINTS
    return [_point(curve, index) for index in np.unique(np.searchsorted(curve.coverage, wanted))]


def _rejecting(confidence: NDArray[np.float32], right: NDArray[np.bool_], below: float) -> Reject:
    kept = confidence >= below
    return Reject(
        below=below,
        rejected=int((~kept).sum()),
        coverage=float(kept.mean()),
        accuracy=float(right[kept].mean()) if kept.any() else None,
    )


def evaluation(
    predictions: Predictions, data: str | Path, wrong: NDArray[np.bool_] | None = None
) -> Evaluation:
    """State everything that is measured on predictions.

    Parameters
    ----------
    predictions : see `Predictions`
    data : where the dataset was read from
    wrong : bool [n], labels that a person called wrong: all is measured with them, and once more without

    Raises
    ------
    ValueError
        If every label is called wrong.
    """
    dataset = predictions.dataset

    def measured(chosen: NDArray[np.bool_]) -> Measures:
        return measure(
            dataset.truth[chosen],
            predictions.probabilities[chosen],
            dataset.labels,
            [dataset.groups[k] for k in np.flatnonzero(chosen)],
            predictions.reject_below,
        )

    without = None
    if wrong is not None:
        if wrong.all():
            raise ValueError("every label is called wrong: no cell is left to score")
        names = [dataset.names[k] for k in np.flatnonzero(wrong)]
        without = Without(**measured(~wrong), left_out=names)
    measures = measured(np.ones(len(dataset.truth), bool))
    return Evaluation(
        **measures,
        without=without,
        views=predictions.views,
        trained_on=predictions.trained_on,
        model=predictions.model,
        data={"path": str(data), "sha256": dataset.sha256},
        notices=_notices(predictions, measures["bootstrap"]),
        use=RESEARCH_USE,
        software=f"leuko-edge {__version__}",
    )


def _notices(predictions: Predictions, bootstrap: Bootstrap) -> list[str]:
    """What must be said with these measures."""
    notices = [predictions.notice] if predictions.notice else []
    cells, units = len(predictions.dataset.truth), bootstrap["units"]
    seen_um, made_for_um = predictions.dataset.pixel_um, predictions.pixel_um
    if seen_um and made_for_um and abs(seen_um / made_for_um - 1) > SCALE_TOLERANCE:
        notices.append(
            f"a pixel is {seen_um:.4g} µm wide here, {made_for_um:.4g} µm in what the model was made for: "
            "these cells are not of the size that it knows"
        )
    if predictions.trained_on:
        notices.append(
            f"trained on {predictions.trained_on:,} of these {cells:,} cells: this says little of new ones"
        )
    if units == 1:
        notices.append("all cells are of one group: nothing tells how groups differ, so no intervals")
    elif bootstrap["unit"] == "group" and units < FEW_GROUPS:
        notices.append(f"only {units} groups: the intervals are likely too narrow")
    return notices
