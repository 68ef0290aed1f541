"""Fractions corrected for misclassification: sample sizes, accuracies, mixtures."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.coverage.row import Row, Scenario
from edge.count import estimate_prevalence

TRIALS = 200
MIXTURE = np.array([0.6, 0.3, 0.1])


def network(accuracy: float) -> NDArray[np.float64]:
    """Return the rates at which cells of three labels are called so."""
    rates = np.full((3, 3), (1 - accuracy) / 2)
    np.fill_diagonal(rates, accuracy)
    return rates


def fractions(cells: int, accuracy: float, validation: int, trials: int = TRIALS) -> Iterator[Row]:
    rng = np.random.default_rng((cells, round(1000 * accuracy), validation))
    rates, covered, width = network(accuracy), 0.0, 0.0
    for _ in range(trials):
        matrix = np.array([rng.multinomial(validation, row) for row in rates])
        answers = rng.multinomial(cells, MIXTURE @ rates)
        shares = estimate_prevalence(answers, matrix, np.ones(3, bool), draws=300).shares
        covered += np.mean([one.low <= p <= one.high for one, p in zip(shares, MIXTURE, strict=True)])
        width += float(np.mean([one.high - one.low for one in shares]))
    name = f"{cells} cells, accuracy {accuracy:g}, {validation} validated per label"
    yield Row("corrected fraction", name, covered, trials, width / trials)


SCENARIOS: dict[str, Scenario] = {
    f"corrected fractions {cells} {accuracy:g} {validation}": partial(fractions, cells, accuracy, validation)
    for cells in (1600, 400, 100)
    for accuracy in (0.99, 0.9, 0.8)
    for validation in ((50, 400) if cells == 400 else (100,))
}
