"""How much a count depends on the size gates."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from edge.count.totals import Totals
from edge.find import NEAR_GATE, Gates


@dataclass(frozen=True)
class GateEffect:
    """Relative change of the counted cells if a gate were 10 % smaller, and 10 % larger."""

    smaller: float
    larger: float


def gate_effects(totals: Totals, gates: Gates, pixel_um: float) -> dict[str, GateEffect]:
    """Return the effect of each size gate, by its field in `Gates`; empty if no cell was counted.

    A body that a gate leaves out has no label. Of such bodies as large a share is taken to be counted as of
    the cells within 10 % on the other side of the gate, or all if there is no cell.
    """
    counted = totals.counted_diameters_px.total()
    if not counted:
        return {}
    low, high = gates.min_diameter_um / pixel_um, gates.max_diameter_um / pixel_um

    def between(sizes: Counter[float], least: float, most: float) -> int:
        return sum(n for px, n in sizes.items() if least <= px < most)

    def moved(within: tuple[float, float], outside: int) -> tuple[float, float]:
        """Return the cells lost from within the gate and gained from outside, as shares."""
        inside, cells = (
            between(sizes, *within) for sizes in (totals.counted_diameters_px, totals.diameters_px)
        )
        return -inside / counted, outside * (inside / cells if cells else 1) / counted

    lost, gained = moved((0, (1 + NEAR_GATE) * low), totals.near["near_below"])
    lost_above, gained_above = moved(((1 - NEAR_GATE) * high, float("inf")), totals.near["near_above"])
    return {
        "min_diameter_um": GateEffect(smaller=gained, larger=lost),
        "max_diameter_um": GateEffect(smaller=lost_above, larger=gained_above),
    }
