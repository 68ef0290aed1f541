"""One line of the table of coverages."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

LEAST = 0.93
"""Coverage that every printed 95 % interval must have."""


@dataclass(frozen=True)
class Row:
    """How often an interval held the truth in a scenario.

    Attributes
    ----------
    interval : str
        The number that is printed, as `docs/statistics.md` names it.
    covered : float
        Trials whose interval held the truth; of several intervals per trial, the sum of their shares.
    width : float
        Mean width of the intervals, in the unit of the number.
    not_printed : str
        Why reports do not print this interval in this scenario, or what they print in its place; it may then
        cover less.
    """

    interval: str
    scenario: str
    covered: float
    trials: int
    width: float = math.nan
    not_printed: str = ""

    @property
    def coverage(self) -> float:
        """Share of the trials whose interval held the truth."""
        return self.covered / self.trials

    @property
    def standard_error(self) -> float:
        """Binomial standard error of the coverage; at most so large where trials have several intervals."""
        share = (self.covered + 0.5) / (self.trials + 1)
        return math.sqrt(share * (1 - share) / self.trials)

    @property
    def holds(self) -> bool:
        """Whether the interval covers enough, as far as the trials tell, or is not printed."""
        return bool(self.not_printed) or self.coverage + self.standard_error >= LEAST

    def as_json(self) -> dict[str, Any]:
        """Return the row as a JSON object."""
        width = None if math.isnan(self.width) else self.width
        return asdict(self) | {
            "width": width,
            "coverage": self.coverage,
            "standard_error": self.standard_error,
            "holds": self.holds,
        }


Scenario = Callable[[], Iterable[Row]]
"""Simulates counts with fixed seeds; several scenarios run at the same time, each in one process."""
