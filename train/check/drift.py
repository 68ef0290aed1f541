"""Changes of light and focus over a set's groups, and between its classes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.base import natural_order, quantity
from edge.count import area_under_roc
from train.check.findings import Finding, Result
from train.check.inventory import Crop

OUTLIER = 3.5
"""Modified z-score from which a group is an outlier (Iglewicz and Hoaglin, 1993)."""

SIGNIFICANCE = 0.01
"""Two-sided p-value of the trend test below which a trend is more than chance."""

TREND = {"brightness": 0.05, "focus": 0.2}
"""Relative change over all groups from which a trend matters; training varies the light by more than that."""

CLASS_AUC = 0.9
"""Area under the ROC curve from which brightness alone is a shortcut for a network."""

MIN_GROUPS = 8
"""With fewer groups, neither a trend nor an outlier can be found."""

_TREND_GROUPS = 1000  # of more, as many evenly spaced ones are compared pair by pair


@dataclass(frozen=True, eq=False)
class Drift:
    """One measure over the groups, which are in natural order.

    Attributes
    ----------
    measure : str
        ``brightness`` or ``focus``.
    values : float64 [groups]
        Median over each group's crops, each class first brought to the common level.
    outlier : bool [groups]
        Groups far from the median.
    slope : float
        Change per group (Theil, 1950; Sen, 1968).
    p_value : float
        Of no trend (Mann, 1945; Kendall, 1975).
    """

    measure: str
    groups: tuple[str, ...]
    values: NDArray[np.float64]
    outlier: NDArray[np.bool_]
    slope: float
    p_value: float

    @property
    def change(self) -> float:
        """Relative change over all groups along the trend."""
        middle = float(np.median(self.values))
        return self.slope * (len(self.values) - 1) / middle if middle else 0.0

    @property
    def drifts(self) -> bool:
        """Whether the trend is more than chance and large enough to matter."""
        return self.p_value < SIGNIFICANCE and abs(self.change) > TREND[self.measure]

    def outliers(self) -> list[str]:
        """Return the groups far from the median."""
        return [self.groups[k] for k in np.flatnonzero(self.outlier)]


def measure_drift(crops: Sequence[Crop], measure: str) -> Drift | None:
    """Follow ``brightness`` or ``focus`` over the groups; None for fewer than `MIN_GROUPS`."""
    values = np.array([getattr(crop, measure) for crop in crops], np.float64)
    labels = np.array([crop.label for crop in crops])
    whole = float(np.median(values)) if len(values) else 0.0
    for label in np.unique(labels):  # or a group of dark cells would pass for a dim lamp
        values[labels == label] -= np.median(values[labels == label]) - whole
    members: defaultdict[str, list[float]] = defaultdict(list)
    for crop, value in zip(crops, values.tolist(), strict=True):
        members[crop.group].append(value)
    groups = tuple(sorted(members, key=natural_order))
    if len(groups) < MIN_GROUPS:
        return None
    medians = np.array([np.median(members[group]) for group in groups])
    kept = np.linspace(0, len(medians) - 1, min(len(medians), _TREND_GROUPS)).round().astype(np.int64)
    slope, p_value = trend(medians[kept])
    slope *= (len(kept) - 1) / (len(medians) - 1)
    return Drift(measure, groups, medians, outliers(medians), slope, p_value)


def outliers(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Flag values far from the median in units of the median absolute deviation: bool [n]."""
    distance = np.abs(values - np.median(values))
    # if most are equal, a step of rounding is no outlier
    spread = max(float(np.median(distance)), 0.005 * abs(float(np.median(values))))
    flagged: NDArray[np.bool_] = 0.6745 * distance > OUTLIER * spread
    return flagged


def trend(values: NDArray[np.float64]) -> tuple[float, float]:
    """Return the Theil-Sen slope per step and the p-value of the Mann-Kendall test with ties."""
    n = len(values)
    rises = np.concatenate([values[i + 1 :] - values[i] for i in range(n - 1)])
    steps = np.concatenate([np.arange(1, n - i) for i in range(n - 1)])
    score = float(np.sign(rises).sum())
    _, ties = np.unique(values, return_counts=True)
    variance = (n * (n - 1) * (2 * n + 5) - float((ties * (ties - 1) * (2 * ties + 5)).sum())) / 18
    if variance <= 0:
        return 0.0, 1.0
    z = max(0.0, abs(score) - 1) / math.sqrt(variance)
    return float(np.median(rises / steps)), math.erfc(z / math.sqrt(2))


def check_drift(drift: Drift | None, measure: str) -> Result:
    """Check whether a measure drifts over the groups or jumps in one."""
    if drift is None:
        return Result(measure, f"needs {MIN_GROUPS} groups", ran=False)
    findings = []
    change = f"{drift.change:+.1%} over {quantity(len(drift.groups), 'group')}"
    if drift.drifts:
        message = f"{measure} drifts: {change} (Mann-Kendall p = {drift.p_value:.1g})"
        findings.append(Finding(message, value=round(drift.change, 4)))
    middle = float(np.median(drift.values))
    for group, value in zip(drift.outliers(), drift.values[drift.outlier].tolist(), strict=True):
        message = f"{measure} {value:.3g}, median of the groups {middle:.3g}"
        findings.append(Finding(message, group, value=round(value, 4)))
    low, high = np.percentile(drift.values, (5, 95))
    answer = f"drifts, {change}" if drift.drifts else f"no trend ({change})"
    answer += f", 90% of the groups {low:.3g} to {high:.3g}"
    if drift.outlier.any():
        answer += f", {drift.outlier.sum():,} far from the others"
    return Result(measure, answer, tuple(findings))


def check_class_brightness(crops: Sequence[Crop]) -> Result:
    """Check whether brightness alone tells a class from the others."""
    brightness = np.array([crop.brightness for crop in crops])
    labels = np.array([crop.label for crop in crops])
    findings, answers = [], []
    for label in np.unique(labels):
        inside, outside = brightness[labels == label], brightness[labels != label]
        if not len(outside):
            continue
        share = area_under_roc(inside, outside)
        answers.append(f"{label} {np.median(inside):.0f}")
        if max(share, 1 - share) > CLASS_AUC:
            than = "brighter" if share > 0.5 else "darker"
            message = (
                f"{than} than a crop of another class in {max(share, 1 - share):.0%} of pairs: "
                "a network may learn the lamp instead of the cell"
            )
            findings.append(Finding(message, str(label), value=round(share, 4)))
    answer = ", ".join(answers) or "a single class"
    return Result("brightness of classes", answer, tuple(findings), ran=bool(answers))
