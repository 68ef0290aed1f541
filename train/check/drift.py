"""Whether light or focus changes over a set's groups, or from class to class."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from train.check.findings import Finding, Result
from train.check.inventory import Cell

OUTLIER = 3.5
"""Modified z-score from which a group stands out (Iglewicz and Hoaglin, 1993)."""

SIGNIFICANCE = 0.01
"""Two-sided p-value of the trend test below which a trend is more than chance."""

TREND = {"brightness": 0.05, "focus": 0.2}
"""Relative change over all groups from which a trend matters; the training varies light by more than that."""

CLASS_AUC = 0.9
"""Share of pairs that brightness alone tells apart from which it is a shortcut for a network."""

FEWEST_GROUPS = 8
"""Below so many groups neither a trend nor an outlier can be told."""

_TREND_GROUPS = 1000  # of more, as many evenly spaced ones are compared pair by pair


@dataclass(frozen=True, eq=False)
class Drift:
    """One measure over the groups in their order.

    Attributes
    ----------
    measure : ``brightness`` or ``focus``
    groups : g names in natural order
    values : float64 [g], median over each group's crops, each freed of its class's difference from the whole
    outlier : bool [g]
    slope : change a group (Theil, 1950; Sen, 1968)
    p_value : of no trend (Mann, 1945; Kendall, 1975)
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


def measure_drift(cells: Sequence[Cell], measure: str) -> Drift | None:
    """Follow ``brightness`` or ``focus`` over the groups, or None for too few groups."""
    values = np.array([getattr(cell, measure) for cell in cells], np.float64)
    labels = np.array([cell.label for cell in cells])
    whole = float(np.median(values)) if len(values) else 0.0
    for label in np.unique(labels):  # or a group of dark cells would pass for a dim lamp
        values[labels == label] -= np.median(values[labels == label]) - whole
    members: defaultdict[str, list[float]] = defaultdict(list)
    for cell, value in zip(cells, values.tolist(), strict=True):
        members[cell.group].append(value)
    groups = tuple(sorted(members, key=natural))
    if len(groups) < FEWEST_GROUPS:
        return None
    medians = np.array([np.median(members[group]) for group in groups])
    kept = np.linspace(0, len(medians) - 1, min(len(medians), _TREND_GROUPS)).round().astype(np.int64)
    slope, p_value = trend(medians[kept])
    slope *= (len(kept) - 1) / (len(medians) - 1)
    return Drift(measure, groups, medians, outliers(medians), slope, p_value)


def natural(text: str) -> tuple[list[str | int], str]:
    """Order ``f2`` before ``f10``."""
    parts = re.split("([0-9]+)", text.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], text


def outliers(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Flag values far from the median in units of the median absolute deviation: bool [n]."""
    distance = np.abs(values - np.median(values))
    spread = float(np.median(distance))
    # where most are equal, a step of rounding is no outlier
    spread = max(spread, 0.005 * abs(float(np.median(values))))
    flagged: NDArray[np.bool_] = 0.6745 * distance > OUTLIER * spread
    return flagged


def trend(values: NDArray[np.float64]) -> tuple[float, float]:
    """Theil-Sen slope a step and the p-value of the Mann-Kendall test with ties, normal approximation."""
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
    """Answer whether a measure drifts over the groups or leaps in one."""
    if drift is None:
        return Result(measure, f"that takes {FEWEST_GROUPS} groups", ran=False)
    findings = []
    way = f"{drift.change:+.1%} over {len(drift.groups):,} groups"
    if drift.drifts:
        message = f"{measure} drifts: {way} (Mann-Kendall p = {drift.p_value:.1g})"
        findings.append(Finding(message, value=round(drift.change, 4)))
    middle = float(np.median(drift.values))
    for k in np.flatnonzero(drift.outlier):
        group, value = drift.groups[k], float(drift.values[k])
        message = f"{measure} {value:.3g}, median of the groups {middle:.3g}"
        findings.append(Finding(message, group, value=round(value, 4)))
    low, high = np.percentile(drift.values, (5, 95))
    words = [
        f"drifts, {way}" if drift.drifts else f"no trend ({way})",
        f"nine in ten {low:.3g} to {high:.3g}",
    ]
    if drift.outlier.any():
        words.append(f"{drift.outlier.sum():,} far from the others")
    return Result(measure, ", ".join(words), tuple(findings))


def check_class_brightness(cells: Sequence[Cell]) -> Result:
    """Answer whether brightness alone would tell a class from the others."""
    brightness = np.array([cell.brightness for cell in cells])
    labels = np.array([cell.label for cell in cells])
    findings, words = [], []
    for label in np.unique(labels):
        inside, outside = brightness[labels == label], brightness[labels != label]
        if not len(outside):
            continue
        share = area_under_curve(inside, outside)
        words.append(f"{label} {np.median(inside):.0f}")
        if max(share, 1 - share) > CLASS_AUC:
            than = "brighter" if share > 0.5 else "darker"
            message = (
                f"{than} than a crop of another class in {max(share, 1 - share):.0%} of pairs: "
                "a network may learn the lamp instead of the cell"
            )
            findings.append(Finding(message, str(label), value=round(share, 4)))
    return Result(
        "brightness of classes", ", ".join(words) or "a single class", tuple(findings), ran=bool(words)
    )


def area_under_curve(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    """Share of pairs in which the first is the larger one, ties half (Mann and Whitney, 1947)."""
    order = np.sort(outside)
    below = np.searchsorted(order, inside, "left") + np.searchsorted(order, inside, "right")
    return float(below.mean() / 2 / len(outside))
