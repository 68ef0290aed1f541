"""When a count ends: after a number of cells, with an interval narrow enough, or after a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from edge.base import StopLimits
from edge.count.tally import Tally

CAMERA_CELLS = 400
"""Leukocytes after which a camera's count ends by default: as many as the reference method of the
differential has two readers name together (CLSI H20)."""


@dataclass(frozen=True)
class StopRule(StopLimits):
    """What ends a count, whichever comes first; fixed before the first frame and kept with the results.

    The rule is checked after each whole frame, so a count may end with more cells than it asks for; a time
    also ends a count in which no frame comes. Without any of the three a count ends with its frames, or when
    the operator ends it.

    Notes
    -----
    A number of cells and a time leave fractions and intervals what they are; of cells/µL see
    `after_stopping`. Ending by the interval's width does not: where chance makes a fraction extreme, its
    interval is narrow early, and there the count ends. Small fractions therefore come out too small on
    average, and the intervals no longer guarantee 95 %. With a check after every cell, a true fraction of 0.1
    comes out as 0.081 on average if the end is at ±10 points, as 0.093 at ±5 and as 0.098 at ±3; the
    intervals held the truth in at least 93.9 % of the counts (exact, fractions of 0.01 to 0.5, ends at ±2 to
    ±10 points, fields that do not differ). Where that matters, choose a number of cells.
    """

    def reached(self, tally: Tally, seconds: float) -> str:
        """Return in words what ends the count now; empty while nothing does."""
        if self.until_cells is not None and tally.leukocytes >= self.until_cells:
            return f"{tally.leukocytes} leukocytes of {self.until_cells} asked for"
        if self.until_halfwidth is not None and (reached := halfwidth(tally)) <= self.until_halfwidth:
            asked = f"±{100 * self.until_halfwidth:g} asked for"
            return f"fractions within ±{100 * reached:.1f} points, {asked}"
        if self.until_seconds is not None and seconds >= self.until_seconds:
            return f"{self.until_seconds:g} s asked for"
        return ""

    def stated(self) -> dict[str, float]:
        """Return the limits that are set, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def after_stopping(cells: Sequence[int], areas: Sequence[float], asked: int) -> float:
    """Return by what to multiply cells per volume of a count that ended with a number of cells.

    Of a count until N cells, (N − 1)/M is unbiased, M being the volume in which they are; N/M is not
    (Haldane, Biometrika 33:222, 1945). A count ends with a whole field, and the N-th cell lies anywhere among
    those of the last one: the expected (N − 1)/M is taken.

    Parameters
    ----------
    cells : sequence of int
        Leukocytes of each field, the last one being that with which the count ended.
    areas : sequence of float
        Of the fields, relative to each other.
    asked : int
        Number of leukocytes that ended the count.
    """
    total, last = sum(cells), cells[-1] if cells else 0
    before, area = sum(areas[:-1]), areas[-1] if areas else 0.0
    rank = asked - (total - last)
    if total < asked or area <= 0:
        return 1.0
    if not 1 <= rank <= last:  # labels of tracked cells have changed since
        return (total - 1) / total
    if before <= 0:
        return 1.0 if asked > 1 else 0.0
    middle = rank / (last + 1)  # its place in the field is beta distributed
    variance = middle * (1 - middle) / (last + 2) * area**2
    volume = before + area * middle
    return (asked - 1) / volume * (1 + variance / volume**2) * (before + area) / total


def halfwidth(tally: Tally) -> float:
    """Return half the width of the widest interval among the fractions."""
    return max((fraction.high - fraction.low) / 2 for fraction in tally.fractions.values())
