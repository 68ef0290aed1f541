"""Gates that someone set narrower than usual, where they lose most of the cells."""

from __future__ import annotations

from edge.count import Totals
from edge.find import Gates


def own_gate(gates: Gates, totals: Totals, share: float = 1.0) -> str:
    """Return which narrowed gate loses more bodies than `share` of the cells and what to do, or nothing."""
    usual, lost = Gates(), totals.lost
    # of what is far too small most is dust, unless nothing else is there
    small = lost["just_below"] + (0 if totals.detections else lost["too_small"])
    rows = (
        ("--min-diameter-um", gates.min_diameter_um, usual.min_diameter_um, 1, small),
        ("--max-diameter-um", gates.max_diameter_um, usual.max_diameter_um, -1, lost["too_large"]),
        ("--min-solidity", gates.min_solidity, usual.min_solidity, 1, lost["not_round"]),
    )
    narrowed = [row for row in rows if (row[1] - row[2]) * row[3] > 0]
    bodies, option, value, default, sign = max(
        ((n, option, value, default, sign) for option, value, default, sign, n in narrowed),
        default=(0, "", 0.0, 0.0, 0),
    )
    if bodies <= max(share * totals.detections, *(row[4] for row in rows if row not in narrowed), 0):
        return ""
    verb = "lower" if sign > 0 else "raise"
    return f"{option} {value:g} leaves out {bodies:,} bodies; by default it is {default:g}: {verb} it"
