"""Every measure of a model's answers to labelled crops."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.base import RESEARCH_USE, quantity
from edge.count import LEVEL
from train.agreement import read_alike
from train.confidence import (
    BINS,
    Bin,
    CoveragePoint,
    brier_score,
    calibration_error,
    chance_calibration_error,
    coverage_curve,
    largest_coverage,
    reliability,
)
from train.metrics import LEAST_GROUPS, Interval, Intervals, Scores, score, score_intervals
from train.predict import Predictions
from train.table import Verdict, read_table

INTERVALS = "Clopper–Pearson on effective numbers of cells"

ACCURACIES = (0.95, 0.98, 0.99)
"""Accuracies whose coverage is reported."""

CURVE_POINTS = 100
"""Points kept of the coverage curve; ``predictions.csv`` gives the rest."""

SCALE_TOLERANCE = 0.05
"""Relative difference between the pixels of the data and of the model from which a notice is given."""


class Sampling(TypedDict):
    """How the intervals were made; `unit` is ``group``, or ``cell`` if each cell is its own group."""

    level: float
    method: str
    unit: str
    units: int


class Calibration(TypedDict):
    """Details of the calibration error.

    A calibrated model stays below `chance_error` in 95 % of all draws of as many cells. `reliability` holds
    the filled bins of equal width.
    """

    bins: int
    equal_mass_error: float
    chance_error: float
    reliability: list[Bin]


class Coverage(TypedDict):
    """The coverage–accuracy curve, and per wanted accuracy its point of largest coverage, if any."""

    curve: list[CoveragePoint]
    at_accuracy: dict[str, CoveragePoint | None]


class Reject(TypedDict):
    """The effect of the bundle's own threshold; `accuracy` is None if it rejects every cell."""

    below: float
    rejected: int
    coverage: float
    accuracy: float | None


class Measures(Scores):
    """All measures of a set of cells; `reject` is None for a run, which has no threshold."""

    intervals: Intervals
    sampling: Sampling
    calibration_error: float
    calibration: Calibration
    brier_score: float
    coverage: Coverage
    reject: Reject | None


class Unanimous(TypedDict):
    """Accuracy on the cells that several people read and all call the same."""

    cells: int
    accuracy: float
    interval: Interval | None


class Without(Measures):
    """The same measures without the cells whose label a person marked as wrong (`left_out`)."""

    left_out: list[str]


class Evaluation(Measures):
    """The output of ``evaluate --json`` and content of ``evaluation.json``.

    `model` and `trained_on` are those of `Predictions`; `data` holds ``path`` and ``sha256`` of the dataset.
    `without` is None unless verdicts were given, `unanimous` unless several people read a cell alike.
    """

    unanimous: Unanimous | None
    without: Without | None
    test_time_views: int
    trained_on: int
    model: dict[str, str]
    data: dict[str, str]
    notices: list[str]
    use: str
    software: str


def read_wrong_labels(path: Path, names: Sequence[str]) -> NDArray[np.bool_]:
    """Read which of the files with these names have a label that a person marked as wrong: bool [n].

    The table at `path` has the columns ``path,verdict``, like the one of ``leuko data check --model``.

    Raises
    ------
    ValueError
        If a column is missing or a path is not among the names.
    """
    verdicts = read_table(path, Verdict).values()
    known = set(names)
    unknown = [row.path for row in verdicts if row.path not in known]
    if unknown:
        more = f" and {len(unknown) - 1} more" if len(unknown) > 1 else ""
        raise ValueError(f"{path}: {unknown[0]!r}{more} not in the data: give the table of these cells")
    wrong = {row.path for row in verdicts if row.is_wrong}
    return np.array([name in wrong for name in names], bool)


def measure(
    truth: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
    groups: Sequence[str],
    reject_below: float | None = None,
) -> Measures:
    """Measure the answers of probabilities [n, labels] to the truth [n], indices into `labels`.

    Raises
    ------
    ValueError
        Without cells.
    """
    answers = probabilities.argmax(axis=1)
    scores = score(truth, answers, labels)
    confidence, right = probabilities.max(axis=1), answers == truth
    units = len(set(groups))
    unit = "group" if units < len(truth) else "cell"
    curve = coverage_curve(confidence, right)
    return Measures(
        **scores,
        intervals=score_intervals(truth, answers, labels, groups),
        sampling=Sampling(level=LEVEL, method=INTERVALS, unit=unit, units=units),
        calibration_error=calibration_error(confidence, right),
        calibration=Calibration(
            bins=BINS,
            equal_mass_error=calibration_error(confidence, right, equal_mass=True),
            chance_error=chance_calibration_error(confidence),
            reliability=reliability(confidence, right),
        ),
        brier_score=brier_score(probabilities, truth),
        coverage=Coverage(
            curve=_thinned(curve),
            at_accuracy={str(wanted): largest_coverage(curve, wanted) for wanted in ACCURACIES},
        ),
        reject=None if reject_below is None else _reject(confidence, right, reject_below),
    )


def _thinned(curve: list[CoveragePoint]) -> list[CoveragePoint]:
    """Return at most `CURVE_POINTS` points of a curve, evenly over the coverage, always with the last."""
    wanted = np.arange(1, CURVE_POINTS + 1) / CURVE_POINTS
    return [curve[k] for k in np.unique(np.searchsorted([point["coverage"] for point in curve], wanted))]


def _reject(confidence: NDArray[np.float32], right: NDArray[np.bool_], below: float) -> Reject:
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
    """Measure predictions on the dataset that was read from `data`, and again without the `wrong` labels.

    Raises
    ------
    ValueError
        If every label is marked as wrong.
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
            raise ValueError("every label is marked as wrong: no cell is left to score")
        without = Without(**measured(~wrong), left_out=[dataset.names[k] for k in np.flatnonzero(wrong)])
    measures = measured(np.ones(len(dataset.truth), bool))
    return Evaluation(
        **measures,
        unanimous=_unanimous(predictions),
        without=without,
        test_time_views=predictions.test_time_views,
        trained_on=predictions.trained_on,
        model=predictions.model,
        data={"path": str(data), "sha256": dataset.sha256},
        notices=_notices(predictions, measures["sampling"]),
        use=RESEARCH_USE,
        software=f"leuko-edge {__version__}",
    )


def _unanimous(predictions: Predictions) -> Unanimous | None:
    """Measure the cells on which all of several readers agree."""
    readings = predictions.dataset.readings
    if readings is None or not (alike := read_alike(readings)).any():
        return None
    chosen = np.flatnonzero(alike)
    dataset, answers = predictions.dataset.take(chosen), predictions.answers[chosen]
    return Unanimous(
        cells=len(chosen),
        accuracy=float((answers == dataset.truth).mean()),
        interval=score_intervals(dataset.truth, answers, dataset.labels, dataset.groups)["accuracy"],
    )


def scale_notice(here_um: float | None, model_um: float | None) -> str:
    """Return a notice on crops of another pixel than the model's; empty if it is the same, or not known."""
    if not (here_um and model_um) or abs(here_um / model_um - 1) <= SCALE_TOLERANCE:
        return ""
    return (
        f"a pixel is {here_um:.4g} µm wide here and {model_um:.4g} µm in the model's own crops: "
        "the model was not made for cells of this size"
    )


def _notices(predictions: Predictions, sampling: Sampling) -> list[str]:
    """Return what limits the meaning of these measures."""
    notices = [predictions.notice] if predictions.notice else []
    cells, units = len(predictions.dataset.truth), sampling["units"]
    if predictions.tied:
        notices.append(
            f"{quantity(predictions.tied, 'cell is', 'cells are')} left out: their readers settle on no label"
        )
    if scale := scale_notice(predictions.dataset.pixel_um, predictions.pixel_um):
        notices.append(scale)
    if predictions.trained_on:
        notices.append(
            f"the model was trained on {predictions.trained_on:,} of these {quantity(cells, 'cell')}: the "
            "scores say little about new cells"
        )
    if units == 1:
        notices.append("all cells are of one group: how groups differ is unknown, so there are no intervals")
    elif sampling["unit"] == "group" and units < LEAST_GROUPS:
        notices.append(
            f"the cells are of {units} groups, and how groups differ shows from {LEAST_GROUPS} on: there are "
            "no intervals"
        )
    return notices
