"""Sentences on an evaluation, for the terminal and the page."""

from __future__ import annotations

from edge.base import quantity
from train.evaluate import Measures, Reject, Unanimous
from train.metrics import Interval, Intervals, Scores

UNDEFINED = "–"
"""Shown for a score that is 0 / 0."""


def percent(value: float, digits: int = 1) -> str:
    """Return a share in per cent."""
    return f"{100 * value:.{digits}f} %"


def score_words(value: float | None, interval: Interval | None = None, *, digits: int = 3) -> str:
    """Return a score with its interval; an undefined score is a dash."""
    if value is None:
        return UNDEFINED
    return f"{value:.{digits}f}" + (f" ({interval[0]:.2f}–{interval[1]:.2f})" if interval else "")


def class_words(scores: Scores, intervals: Intervals | None, label: str) -> list[str]:
    """Return precision, recall and F1 of a class, with their intervals if given."""
    return [
        score_words(scores[key][label], None if intervals is None else intervals[key][label])
        for key in ("precision", "recall", "f1")
    ]


def interval_words(measures: Measures) -> str:
    """Return how the intervals were made."""
    made = measures["sampling"]
    numbers = ""
    if made["unit"] == "group":
        numbers = (
            f" on effective numbers of cells, because cells of one of the {made['units']} groups (frames, "
            "patients) are not independent"
        )
    return (
        f"{percent(made['level'], 0)} intervals: Clopper–Pearson{numbers}; that of F1 follows from "
        "TP / (TP + FP + FN)"
    )


def calibration_words(measures: Measures) -> str:
    """Return the calibration error, and its size by chance."""
    return (
        f"expected calibration error {measures['calibration_error']:.3f} "
        f"(a calibrated model stays below {measures['calibration']['chance_error']:.3f} on as many cells)"
    )


def coverage_words(measures: Measures) -> str:
    """Return which share of the cells can be answered at which accuracy."""
    words = [
        f"{percent(float(wanted), 0)} on {'none' if point is None else percent(point['coverage'])}"
        for wanted, point in measures["coverage"]["at_accuracy"].items()
    ]
    return f"accuracy reached on the most confident share of the cells: {', '.join(words)}"


def reject_words(reject: Reject) -> str:
    """Return the effect of the bundle's threshold."""
    others = "" if reject["accuracy"] is None else f", accuracy {reject['accuracy']:.3f} on the others"
    rejected = quantity(reject["rejected"], "cell")
    return f"below the bundle's threshold of {reject['below']:g}: {rejected} rejected{others}"


def unanimous_words(unanimous: Unanimous) -> str:
    """Return the accuracy where readers agree."""
    return (
        f"accuracy {score_words(unanimous['accuracy'], unanimous['interval'], digits=4)} on the "
        f"{quantity(unanimous['cells'], 'cell')} that all of their readers call the same"
    )
