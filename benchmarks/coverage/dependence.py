"""Cells that do not come one by one: clumps, repeats, a volume with errors, and counts that end by a rule."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.row import Row, Scenario
from edge.count import (
    Estimate,
    FieldCounts,
    FieldVolume,
    after_stopping,
    estimate_concentration,
    estimate_proportion,
)

LABELS, MIXTURE, ALL = ("granulocyte", "lymphocyte", "monocyte"), np.array([0.6, 0.3, 0.1]), "leukocytes"
EXACT = FieldVolume(1.0, 0.0, 1.0, depth_um=100.0)
"""A field is a microlitre."""

TRIALS = 300

WIDER = "the wider one is"
"""Why what is computed as if cells came one by one is not printed."""


class Scores:
    """How often some intervals held the truth, and their mean widths."""

    def __init__(self, *names: str) -> None:
        self._names, self._trials = names, 0
        self._held, self._width = np.zeros(len(names)), np.zeros(len(names))

    def add(self, *found: tuple[Estimate, float, float]) -> None:
        """Add an interval of each name, with the truth, and with the unit of the width."""
        self._trials += 1
        self._held += [one.low <= truth <= one.high for one, truth, _ in found]
        self._width += [(one.high - one.low) / unit for one, _, unit in found]

    def rows(self, scenario: str, why: str = WIDER) -> Iterator[Row]:
        """Yield a row per name; those that begin with "as if" are not printed."""
        for name, held, width in zip(self._names, self._held, self._width, strict=True):
            printed = why if ", as if" in name else ""
            yield Row(name, scenario, held, self._trials, width / self._trials, printed)


def per_ul(count: int, fields: float, ratio: float, volume: FieldVolume = EXACT) -> Estimate:
    return estimate_concentration(count, fields, volume, dispersion=ratio, draws=5_000)


def drawn(rng: np.random.Generator, fields: int, mean: float, cv2: float, *, together: bool) -> FieldCounts:
    """Return fields whose means are gamma distributed, for all labels together or for each by itself."""
    shape = (fields, 1 if together else len(LABELS))
    means = rng.gamma(1 / cv2, cv2, shape) if cv2 else np.ones(shape)
    return counts_of(rng.poisson(means * mean * MIXTURE))


def counts_of(cells: NDArray[np.int64]) -> FieldCounts:
    """Return the counts of fields, int [fields, labels]."""
    of_label = dict(zip(LABELS, cells.T, strict=True))
    return FieldCounts(of_label, of_label, np.ones(len(cells)))


def clumps(fields: int, mean: float, cv2: float) -> Iterator[Row]:
    """Yield cells/µL of all leukocytes and of the rarest kind, and as if cells lay at random."""
    rng = np.random.default_rng((fields, round(mean), round(100 * cv2)))
    scores = Scores("cells/µL", "cells/µL of one in ten", "cells/µL, as if at random")
    few = mean * MIXTURE[-1]
    for _ in range(TRIALS):
        counts = drawn(rng, fields, mean, cv2, together=True)
        ratios = counts.of_concentrations(ALL)
        every = sum(int(one.sum()) for one in counts.inside.values())
        rare = int(counts.inside[LABELS[-1]].sum())
        scores.add(
            (per_ul(every, fields, ratios[ALL].ratio), mean, mean),
            (per_ul(rare, fields, ratios[LABELS[-1]].ratio), few, few),
            (per_ul(every, fields, 1.0), mean, mean),
        )
    yield from scores.rows(f"{fields} fields of {mean:g} cells, CV² {cv2:g}")


def clumps_of_kinds(fields: int, mean: float, cv2: float) -> Iterator[Row]:
    """Yield fractions where each kind lies in clumps of its own, and as if they did not."""
    rng = np.random.default_rng((fields, round(mean), round(100 * cv2), 1))
    scores = [Scores("fraction", "fraction, as if at random") for _ in LABELS]
    for _ in range(3 * TRIALS):
        counts = drawn(rng, fields, mean, cv2, together=False)
        whole, shares = sum(int(one.sum()) for one in counts.cells.values()), counts.of_shares()
        for score, label, truth in zip(scores, LABELS, MIXTURE.tolist(), strict=True):
            cells = int(counts.cells[label].sum())
            ratios = shares[label].ratio, 1.0
            score.add(*((estimate_proportion(cells, whole, ratio), truth, 1.0) for ratio in ratios))
    for score, truth in zip(scores, MIXTURE.tolist(), strict=True):
        yield from score.rows(f"{truth:g} in {fields} fields of {mean:g}, CV² {cv2:g} per kind")


def repeats(cells: int, chances: tuple[float, ...]) -> Iterator[Row]:
    """Yield a fraction of cells that are each counted once, twice … and as if they were different cells."""
    rng = np.random.default_rng((cells, len(chances)))
    scores, truth = Scores("fraction", "fraction, as if counted once"), 0.3
    for _ in range(TRIALS):
        times = rng.choice(len(chances), cells, p=chances) + 1
        found, kind = int(times.sum()), int(times[rng.random(cells) < truth].sum())
        ratios = float((times**2).sum() / found), 1.0
        scores.add(*((estimate_proportion(kind, found, ratio), truth, 1.0) for ratio in ratios))
    yield from scores.rows(f"{cells} cells, counted up to {len(chances)} times")


def volume_errors(cells: int, pixel: float, depth: float, dilution: float) -> Iterator[Row]:
    """Yield cells/µL with errors of area, depth and dilution, and as if the last two were exact."""
    rng = np.random.default_rng((cells, round(1000 * depth)))
    scores = Scores("cells/µL", "cells/µL, as if exact")
    joined = float(np.sqrt((2 * pixel) ** 2 + depth**2 + dilution**2))
    volumes = [FieldVolume(1.0, relative, 1.0, depth_um=100.0) for relative in (joined, 2 * pixel)]
    for _ in range(TRIALS):
        count = int(rng.poisson(cells))
        truth = cells / 20 * float(np.prod(1 + rng.normal(0, [2 * pixel, depth, dilution])))
        scores.add(*((per_ul(count, 20, 1.0, volume), truth, truth) for volume in volumes))
    name = f"{cells} cells, pixel ± {pixel:.1%}, depth ± {depth:.0%}, dilution ± {dilution:.0%}"
    yield from scores.rows(name, "the results say what is taken as exact")


def ended(counts: FieldCounts, mean: float, scores: Scores) -> float:
    """Score a count that ended by a rule, and return its cells per field."""
    total, fields = sum(int(one.sum()) for one in counts.cells.values()), len(counts.areas)
    ratio, shares = counts.of_concentrations(ALL)[ALL].ratio, counts.of_shares()
    fractions = [
        (estimate_proportion(int(cells.sum()), total, shares[label].ratio), truth, 1.0)
        for (label, cells), truth in zip(counts.cells.items(), MIXTURE.tolist(), strict=True)
    ]
    scores.add((per_ul(total, fields, ratio), mean, mean), *fractions)
    return total / fields


NAMES = ("cells/µL", *(f"fraction {share:g}" for share in MIXTURE))


def until_cells(asked: int, mean: float) -> Iterator[Row]:
    """Yield counts that end with a number of cells, and the bias of cells/µL with and without (N − 1)/M."""
    rng = np.random.default_rng((asked, round(10 * mean)))
    scores, plain, value = Scores(*NAMES), 0.0, 0.0
    for _ in range(TRIALS):
        cells = rng.poisson(mean * MIXTURE, (round(3 * asked / mean) + 40, len(LABELS)))
        cells = cells[: int(np.argmax(cells.sum(axis=1).cumsum() >= asked)) + 1]
        found = ended(counts_of(cells), mean, scores)
        plain += found / mean / TRIALS
        value += found / mean / TRIALS * after_stopping(cells.sum(axis=1).tolist(), [1.0] * len(cells), asked)
    biases = f"bias {value - 1:+.1%} (N/M {plain - 1:+.1%})"
    yield from scores.rows(f"until {asked} cells, {mean:g} per field: {biases}")


def widest(rows: list[NDArray[np.int64]], ratios: Sequence[float] = ()) -> float:
    """Return the width of the widest interval of a fraction; by default with the dispersion that is found."""
    if not rows:
        return 1.0
    cells = np.sum(rows, axis=0)
    ratios = ratios or [one.ratio for one in counts_of(np.array(rows)).of_shares().values()]
    found = [
        estimate_proportion(int(n), int(cells.sum()), ratio) for n, ratio in zip(cells, ratios, strict=True)
    ]
    return max(one.high - one.low for one in found)


def until_halfwidth(limit: float, mean: float) -> Iterator[Row]:
    """Yield counts that end with narrow intervals of all fractions."""
    rng = np.random.default_rng((round(1000 * limit), round(mean)))
    scores, value = Scores(*NAMES), 0.0
    for _ in range(TRIALS):
        rows: list[NDArray[np.int64]] = []
        while widest(rows, [1.0] * len(LABELS)) > 2 * limit or widest(rows) > 2 * limit:
            rows.append(rng.poisson(mean * MIXTURE))
        value += ended(counts_of(np.array(rows)), mean, scores) / mean / TRIALS
    yield from scores.rows(f"until ±{100 * limit:g} points, {mean:g} per field: bias {value - 1:+.1%}")


SCENARIOS: dict[str, Scenario] = {
    **{
        f"clumps {fields} {mean:g} {cv2:g}": partial(clumps, fields, mean, cv2)
        for fields, mean in ((1, 30.0), (3, 9.0), (3, 60.0), (6, 9.0), (20, 3.0), (20, 30.0), (140, 6.0))
        for cv2 in (0.0, 0.3)
    },
    "clumps 10 9 0.1": partial(clumps, 10, 9.0, 0.1),
    **{
        f"clumps of kinds {fields} {mean:g} {cv2:g}": partial(clumps_of_kinds, fields, mean, cv2)
        for fields, mean in ((2, 40.0), (2, 150.0), (3, 40.0), (3, 150.0), (6, 20.0), (20, 5.0), (140, 6.0))
        for cv2 in (0.0, 0.3)
    },
    "repeats copies": partial(repeats, 23, (0.0, 0.0, 0.0, 0.0, 1.0)),
    "repeats overlap": partial(repeats, 700, (0.7, 0.2, 0.05, 0.05)),
    "volume 100": partial(volume_errors, 100, 0.005, 0.05, 0.03),
    "volume 2000": partial(volume_errors, 2000, 0.005, 0.05, 0.03),
    **{
        f"until cells {asked} {mean:g}": partial(until_cells, asked, mean)
        for asked, mean in ((10, 0.5), (10, 5.0), (100, 5.0), (400, 6.0), (400, 150.0))
    },
    "until half-width 10": partial(until_halfwidth, 0.1, 6.0),
    "until half-width 5": partial(until_halfwidth, 0.05, 30.0),
}
