"""What a nucleus suggests its cell to be.

The limits were set on simulated pairs, seeds 21–24, 672 cells that do not touch;
`benchmarks.label_suggestions` measures them on others.
"""

from __future__ import annotations

from typing import NamedTuple

from train.label.nuclei import Nucleus

GRANULOCYTE, LYMPHOCYTE, MONOCYTE = SUGGESTED = ("granulocyte", "lymphocyte", "monocyte")
UNSURE = "unsure"
NO_NUCLEUS = "no nucleus"

MOST_UNEVEN = 1.65
"""Highest over mean brightness of one spot. Granulocytes whose lobes lie above each other so that they look
like one begin at 1.65; lymphocytes end at 1.64, nine of ten monocytes at 1.68."""

NEARLY_THE_CELL = 0.50
"""Least area ratio of a lymphocyte's nucleus (measured: 0.51–0.74)."""

CLEARLY_SMALLER = 0.45
"""Greatest area ratio of a monocyte's nucleus without a dent."""

DENTED = 0.68
"""Greatest area ratio of a monocyte's nucleus with a dent (measured: 0.66 in 98 of 100)."""


class Suggestion(NamedTuple):
    """A class or `UNSURE`, and why."""

    label: str
    reason: str


def suggest(nucleus: Nucleus | None) -> Suggestion:
    """Suggest a class: several lobes → granulocyte; one round spot → by its share of the cell; else unsure.

    A spot with one dent, as monocytes have, is a monocyte's unless it fills the cell.
    """
    if nucleus is None:
        return Suggestion(UNSURE, NO_NUCLEUS)
    share = f"{nucleus.area_ratio:.0%} of the cell"
    if nucleus.lobes > 1:
        return Suggestion(GRANULOCYTE, f"{nucleus.lobes} or more bright lobes")
    if nucleus.unevenness >= MOST_UNEVEN:
        return Suggestion(UNSURE, "one spot of uneven brightness: lobes may lie above each other")
    if nucleus.dents:
        if nucleus.area_ratio <= DENTED:
            return Suggestion(MONOCYTE, f"one dented spot, {share}")
        return Suggestion(UNSURE, f"one dented spot, {share}")
    if nucleus.area_ratio >= NEARLY_THE_CELL:
        return Suggestion(LYMPHOCYTE, f"one round spot, {share}")
    if nucleus.area_ratio <= CLEARLY_SMALLER:
        return Suggestion(MONOCYTE, f"one spot, {share}")
    return Suggestion(UNSURE, f"one spot, {share}: between lymphocyte and monocyte")
