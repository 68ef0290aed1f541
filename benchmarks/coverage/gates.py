"""Scores near 1, the loss by int8, thresholds, the pixel size, and several comparisons."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.row import Row, Scenario
from convert.loss import Loss, loss_of
from convert.paired import paired_interval
from convert.thresholds import guaranteed_threshold, least_precision, reject_threshold
from edge.calibration import Spacing, estimate_pixel_size
from edge.model import Parity
from train.metrics import score_intervals
from train.study.differences import corrected, paired

CLASSES = np.array([25, 73, 75, 16])
"""Validation cells of hemocytometer's four labels, 189 in all."""

Bools = NDArray[np.bool_]


def in_groups(rng: np.random.Generator, p: float, alike: float, group: NDArray[np.int64]) -> Bools:
    """Draw whether cells are right; `alike` is the correlation of two cells of one group."""
    if not alike:
        return rng.random(len(group)) < p
    rest = (1 - alike) / alike
    rates = rng.beta(p * rest, (1 - p) * rest, group.max() + 1)
    return np.asarray(rng.random(len(group)) < rates[group])


def scores(recall: float, groups: int, alike: float, trials: int = 300) -> Iterator[Row]:
    """Simulate answers of a network whose every class has that recall; groups of 0 are single cells."""
    rng = np.random.default_rng((round(1000 * recall), groups, round(100 * alike)))
    covered: dict[str, list[float]] = {name: [] for name in ("accuracy", "recall", "precision", "F1")}
    widths: dict[str, list[float]] = {name: [] for name in covered}
    # wrong answers fall on the other classes alike
    rates = np.full((4, 4), (1 - recall) / 3) + np.eye(4) * (recall - (1 - recall) / 3)
    joint = rates * (CLASSES / CLASSES.sum())[:, None]
    precision = np.diag(joint) / joint.sum(0)
    agreed = np.diag(joint) / (joint.sum(0) + joint.sum(1) - np.diag(joint))
    true = {
        "accuracy": [recall],
        "recall": [recall] * 4,
        "precision": precision,
        "F1": 2 * agreed / (1 + agreed),
    }
    for _ in range(trials):
        truth = rng.permutation(np.repeat(np.arange(4), CLASSES))
        group = rng.integers(0, groups, len(truth)) if groups else np.arange(len(truth))
        right = in_groups(rng, recall, alike, group)
        answers = np.where(right, truth, (truth + rng.integers(1, 4, len(truth))) % 4)
        found = score_intervals(truth, answers, list("abcd"), [str(one) for one in group] if groups else None)
        ends = {"accuracy": [found["accuracy"]], "recall": found["recall"].values()}
        ends |= {"precision": found["precision"].values(), "F1": found["f1"].values()}
        for name, intervals in ends.items():
            inside = [(low_high, t) for low_high, t in zip(intervals, true[name], strict=True) if low_high]
            covered[name].append(float(np.mean([low <= t <= high for (low, high), t in inside])))
            widths[name].append(float(np.mean([high - low for (low, high), _ in inside])))
    where = f"{groups} groups, correlation {alike:g}" if groups else "single cells"
    for name, hits in covered.items():
        yield Row(
            f"evaluate: {name}",
            f"recall {recall:g}, 189 cells, {where}",
            sum(hits),
            trials,
            float(np.mean(widths[name])),
        )


def loss(cells: int, lost: float, won: float, alike: float = 0.0, trials: int = 1000) -> Iterator[Row]:
    """Simulate the int8 gate where such shares of the cells are lost and won."""
    rng = np.random.default_rng((cells, round(1e4 * lost), round(1e4 * won), round(100 * alike)))
    covered, width, decided = 0, 0.0, dict.fromkeys(Loss, 0)
    group = np.repeat(np.arange(cells), 7)[:cells]
    for _ in range(trials):
        changed = in_groups(rng, lost + won, alike, group)
        gains = np.where(changed, np.where(rng.random(cells) < lost / max(lost + won, 1e-9), -1, 1), 0)
        low, high = paired_interval(gains, [str(one) for one in group] if alike else None)
        covered += low <= 100 * (won - lost) <= high
        width += high - low
        mean = float(gains.mean())
        decided[
            loss_of(Parity(cells, 1, min(1.0, 1 + mean), low, high, 1 - float(np.mean(gains != 0)), 0), 0.5)
        ] += 1
    where = f"{cells} cells, loses {100 * lost:g} %, wins {100 * won:g} %" + (
        f", correlation {alike:g}" if alike else ""
    )
    yield Row("int8 − float, points", where, covered, trials, width / trials)
    for name, verdict in {
        "int8 gate passes in silence": Loss.EXCLUDED,
        "int8 gate refuses": Loss.SHOWN,
    }.items():
        yield Row(name, where, decided[verdict], trials, not_printed="how often; otherwise it warns")


def thresholds(cells: int, precision: float, trials: int = 400) -> Iterator[Row]:
    """Simulate thresholds on confidences whose square root is the chance to be right, 0.923 in the mean."""
    rng = np.random.default_rng((cells, round(1000 * precision)))
    falling = np.sort(rng.beta(6, 1, 200_000))[::-1]
    means = np.cumsum(falling**0.5) / np.arange(1, len(falling) + 1)

    def truth(threshold: float) -> float:
        return float(means[max(0, int(np.searchsorted(-falling, -threshold, "right")) - 1)])

    plain = kept = limits = fixed = reached = 0
    for _ in range(trials):
        values = rng.beta(6, 1, cells)
        right = rng.random(cells) < values**0.5
        fixed += least_precision(values, right, 0.8, chosen=False) <= truth(0.8)
        chosen = reject_threshold(values, right, precision)
        plain += truth(chosen) >= precision
        limits += least_precision(values, right, chosen, chosen=True) <= truth(chosen)
        try:
            sure = guaranteed_threshold(values, right, precision)
        except ValueError:
            kept += 1  # refused
            continue
        reached += 1
        kept += truth(sure) >= precision
    where = f"precision {precision:g} on {cells} cells"
    yield Row("one-sided limit of a fixed threshold", f"0.8 on {cells} cells", fixed, trials)
    yield Row("one-sided limit with --precision", where, limits, trials)
    yield Row("--precision-guaranteed", f"{where}, {reached / trials:.0%} reached", kept, trials)
    yield Row("--precision", where, plain, trials, not_printed="what was asked for; the limit is printed")


def pixel(spacings: int, directions: int, trials: int = 2000) -> Iterator[Row]:
    """Simulate the pixel size of a frame from those of others; both scatter by 0.1 %."""
    rng, covered, width = np.random.default_rng((spacings, directions)), 0, 0.0
    for _ in range(trials):
        scales = 1 + 0.001 * rng.standard_normal(spacings + 1)
        found = [
            Spacing("down" if k % directions else "across", 500 * scale, 1e-9, 0.0, 6)
            for k, scale in enumerate(scales[1:])
        ]
        size = estimate_pixel_size(found, 50)
        covered += abs(0.1 / scales[0] - size.pixel_um) <= 1.96 * size.uncertainty_um
        width += 2 * 1.96 * size.uncertainty_um
    yield Row(
        "pixel size, µm", f"{spacings} spacings in {directions} directions", covered, trials, width / trials
    )


def studies(networks: int, seeds: int, trials: int = 2000) -> Iterator[Row]:
    """Simulate studies in which no network is better; covered: nothing is called significant."""
    rng, silent, alone = np.random.default_rng((networks, seeds)), 0, 0
    for _ in range(trials):
        runs = [dict(enumerate(rng.standard_normal(seeds))) for _ in range(networks)]
        leads = {k: found for k, one in enumerate(runs[1:]) if (found := paired(runs[0], one))}
        silent += not any(one.significant for one in corrected(leads).values())
        alone += not any(one.significant for one in leads.values())
    where = f"{networks} networks, {seeds} seeds, none better"
    yield Row("study: nothing significant", where, silent, trials)
    yield Row("study: without Holm's correction", where, alone, trials, not_printed="corrected since")


SCENARIOS: dict[str, Scenario] = {
    **{
        f"scores {recall:g} {groups} {alike:g}": partial(scores, recall, groups, alike)
        for recall in (0.99, 0.95, 0.85)
        for groups, alike in ((0, 0.0), (28, 0.2), (20, 0.1))
    },
    **{
        f"int8 {cells} {lost:g} {won:g}": partial(loss, cells, lost, won)
        for cells in (189, 1000)
        for lost, won in ((0.0, 0.0), (0.01, 0.01), (0.02, 0.0), (0.03, 0.01))
    },
    "int8 5000 0.01 0.01": partial(loss, 5000, 0.01, 0.01),
    "int8 1000 groups": partial(loss, 1000, 0.03, 0.01, 0.2),
    **{f"thresholds {cells}": partial(thresholds, cells, 0.95) for cells in (189, 500, 1739)},
    **{
        f"pixel {n} {directions}": partial(pixel, n, directions)
        for n, directions in ((2, 1), (2, 2), (3, 1), (6, 2), (20, 2))
    },
    **{f"study {n} {seeds}": partial(studies, n, seeds) for n, seeds in ((4, 3), (4, 10))},
}
