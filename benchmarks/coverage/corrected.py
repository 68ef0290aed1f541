"""Fractions, counts and cells/µL that are corrected for the classifier's errors, missed and false cells."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.row import Row, Scenario
from edge.count import (
    Estimate,
    FieldVolume,
    Sampler,
    count_ends,
    estimate_concentration,
    estimate_corrected_concentration,
    estimate_prevalence,
    estimate_proportion,
)

TRIALS, DRAWS = 250, 300
MIXTURE = (0.6, 0.3, 0.1)
Rates = NDArray[np.float64]


class Tally:
    """Adds up which intervals held the truth."""

    def __init__(self) -> None:
        self.covered, self.width, self.trials = 0.0, 0.0, 0

    def add(self, intervals: Sequence[Estimate], truth: Sequence[float]) -> None:
        """Add a trial."""
        self.covered += float(
            np.mean([one.low <= true <= one.high for one, true in zip(intervals, truth, strict=True)])
        )
        self.width += float(np.mean([one.high - one.low for one in intervals]))
        self.trials += 1

    def row(self, interval: str, scenario: str, not_printed: str = "") -> Row:
        """Return the line of the table."""
        return Row(interval, scenario, self.covered, self.trials, self.width / self.trials, not_printed)


def network(accuracy: float) -> Rates:
    """Return the rates at which cells of three labels are called so."""
    rates = np.full((3, 3), (1 - accuracy) / 2)
    np.fill_diagonal(rates, accuracy)
    return rates


def validated(rng: np.random.Generator, rates: Rates, cells: int) -> NDArray[np.int64]:
    """Return the answers to so many validation cells of each label."""
    return np.array([rng.multinomial(cells, row) for row in rates])


def fractions(
    cells: int, accuracy: float, validation: int, mixture: Sequence[float] = MIXTURE
) -> Iterator[Row]:
    rng = np.random.default_rng((cells, round(1000 * accuracy), validation))
    rates, corrected, raw = network(accuracy), Tally(), Tally()
    named = np.array(mixture) @ rates
    for _ in range(TRIALS):
        answers = rng.multinomial(cells, named)
        matrix = validated(rng, rates, validation)
        corrected.add(estimate_prevalence(answers, matrix, np.ones(3, bool), DRAWS).shares, mixture)
        raw.add([estimate_proportion(int(n), cells) for n in answers], named.tolist())
    name = f"{cells} cells, accuracy {accuracy:g}, {validation} validated per label"
    if mixture is not MIXTURE:
        name += f", mixture {':'.join(f'{100 * one:g}' for one in mixture)}"
    yield corrected.row("corrected fraction", name)
    yield raw.row("raw fraction, of cells named so", name)


def out_of_distribution(passed: float) -> Iterator[Row]:
    """Among 320 leukocytes lie 50 other cells, each called monocyte; the gate passes some of them."""
    rng = np.random.default_rng(round(1000 * passed))
    rates = np.c_[0.98 * network(0.97), np.full(3, 0.02)]  # and rejects 2 % of the others
    left_out, before = Tally(), Tally()
    for _ in range(TRIALS):
        answers = rng.multinomial(320, np.array(MIXTURE) @ rates)[:3]
        matrix = validated(rng, rates, 200)
        known = answers + np.array((0, 0, rng.binomial(50, passed)))
        left_out.add(estimate_prevalence(known, matrix, np.ones(3, bool), DRAWS).shares, MIXTURE)
        among = answers + np.array((0, 0, 50))
        before.add(estimate_prevalence(among, matrix[:, :3], np.ones(3, bool), DRAWS).shares, MIXTURE)
    name = f"50 out-of-distribution cells among 320 leukocytes, the gate passes {100 * passed:g} % of them"
    yield left_out.row("corrected fraction", name)
    if not passed:
        yield before.row(
            "corrected fraction", "50 out-of-distribution cells that take part", "they are left out"
        )


FIELDS, FIELD_UL = 20, 0.01
NAMED = "named cells, not corrected for misses"


def missed(share: float, false: float, cells: int, validation: int) -> Iterator[Row]:
    """Leukocytes and erythrocytes, some of them not found, and bodies found that are no cells."""
    rng = np.random.default_rng((round(1000 * share), cells, validation))
    called = np.array([[0.97, 0.03], [0.02, 0.98]])
    rates = np.c_[(1 - share) * called, np.full(2, share)]
    answers_to_nothing = np.array([0.3, 0.7])
    counted, uncertainty = np.array([True, False]), 0.03
    count, per_ul, named, as_true = (Tally() for _ in range(4))
    true_per_ul = cells / (FIELDS * FIELD_UL)
    for _ in range(TRIALS):
        matrix = validated(rng, rates, validation)
        nothing = rng.poisson(false * 2 * validation * answers_to_nothing)
        true = rng.poisson([cells, cells])
        answers = sum(rng.multinomial(n, row)[:2] for n, row in zip(true, rates, strict=True))
        answers = answers + rng.poisson(false * 2 * cells * answers_to_nothing)
        sampler = Sampler(answers, matrix, counted, false=nothing)
        ends = count_ends(sampler, counted)
        low, high = float(np.quantile(ends.low, 0.025)), float(np.quantile(ends.high, 0.975))
        count.add([Estimate(ends.value, low, high)], [cells])
        volume = FieldVolume(FIELD_UL * rng.lognormal(0, uncertainty), uncertainty, 1.0, 100.0)
        per_ul.add([estimate_corrected_concentration(ends, FIELDS, volume)], [true_per_ul])
        raw = estimate_concentration(int(answers[0]), FIELDS, volume)
        rate = rates[0, 0] + rates[1, 0] + 2 * false * answers_to_nothing[0]
        named.add([raw], [rate * true_per_ul])
        as_true.add([raw], [true_per_ul])
    name = (
        f"{cells} cells, {100 * share:g} % missed, {100 * false:g} % false, {validation} validated per label"
    )
    yield count.row("corrected count", name)
    yield per_ul.row("corrected cells/µL", name)
    yield named.row("cells/µL, of cells named so", name)
    yield as_true.row("cells/µL, raw, of true cells", name, f'it says "{NAMED}"')


SCENARIOS: dict[str, Scenario] = {
    **{
        f"corrected fractions {cells} {accuracy:g} {validation}": partial(
            fractions, cells, accuracy, validation
        )
        for cells in (1600, 400, 100)
        for accuracy in (0.99, 0.9, 0.8)
        for validation in ((50, 400) if cells == 400 else (100,))
    },
    **{
        f"corrected fractions of another mixture {mixture[0]:g}": partial(fractions, 400, 0.9, 100, mixture)
        for mixture in ((0.88, 0.09, 0.03), (0.2, 0.2, 0.6), (0.65, 0.35, 0.0))
    },
    **{
        f"corrected out of distribution {passed:g}": partial(out_of_distribution, passed)
        for passed in (0.0, 0.1)
    },
    **{
        f"corrected missed {share:g} {cells} {validation}": partial(missed, share, 0.03, cells, validation)
        for share, cells, validation in (
            (0.02, 400, 75),
            (0.066, 100, 75),
            (0.066, 400, 400),
            (0.07, 1600, 75),
        )
    },
}
