"""Sentences on an evaluation, for the terminal and the page."""

from __future__ import annotations

from edge.base import quantity
from train.evaluate import Measures, Reject
from train.metrics import Interval, Intervals, Scores

UNDEFINED = "–"
"""Shown for a score that is 0 / 0."""

ZERO_WIDTH = (
    "an interval without width means that no resample differed, not that mistakes are impossible: "
    "0 mistakes in n cells are compatible with a rate of 3/n"
)
"""The rule of three (Hanley and Lippman-Hand, JAMA 249:1743, 1983)."""


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
    made = measures["bootstrap"]
    of = (
        f"of the {made['units']} groups (frames, patients), because cells of one group are not independent"
        if made["unit"] == "group"
        else "of single cells"
    )
    return (
        f"{percent(made['level'], 0)} intervals: percentile bootstrap, {made['resamples']:,} resamples {of}"
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


def has_zero_width(measures: Measures) -> bool:
    """Return whether an interval has no width, which must not be read as certainty."""
    found = measures["intervals"]
    kinds = (found["precision"], found["recall"], found["f1"])
    intervals = [found["accuracy"], *(interval for kind in kinds for interval in kind.values())]
    return any(interval is not None and interval[0] == interval[1] for interval in intervals)
