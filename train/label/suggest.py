"""The class that a nucleus suggests for its cell.

The limits were set on simulated pairs, seeds 21–24, 672 cells that do not touch;
`benchmarks.label_suggestions` measures them on others.
"""

from __future__ import annotations

from typing import NamedTuple

from train.label.nuclei import Nucleus

GRANULOCYTE, LYMPHOCYTE, MONOCYTE = SUGGESTED = ("granulocyte", "lymphocyte", "monocyte")
UNSURE = "unsure"
NO_NUCLEUS = "no nucleus"

MAX_UNEVENNESS = 1.65
"""Highest over mean brightness of one spot. Granulocytes whose overlapping lobes look like one spot begin at
1.65; lymphocytes end at 1.64, 90 % of the monocytes at 1.68."""

MIN_LYMPHOCYTE = 0.50
"""Smallest area ratio of a lymphocyte's nucleus (measured: 0.51–0.74)."""

MAX_MONOCYTE = 0.45
"""Largest area ratio of a monocyte's nucleus without a dent."""

MAX_DENTED = 0.68
"""Largest area ratio of a monocyte's nucleus with a dent (measured: 0.66 in 98 of 100)."""


class Suggestion(NamedTuple):
    """A class or `UNSURE`, and why."""

    label: str
    reason: str


def suggest(nucleus: Nucleus | None) -> Suggestion:
    """Suggest a class: several lobes → granulocyte; one spot → by its share of the cell; otherwise unsure.

    A spot with one dent is a monocyte's unless it fills the cell.
    """
    if nucleus is None:
        return Suggestion(UNSURE, NO_NUCLEUS)
    share = f"{nucleus.area_ratio:.0%} of the cell"
    if nucleus.lobes > 1:
        return Suggestion(GRANULOCYTE, f"{nucleus.lobes} or more bright lobes")
    if nucleus.unevenness >= MAX_UNEVENNESS:
        return Suggestion(UNSURE, "one spot of uneven brightness: lobes may overlap")
    if nucleus.dents:
        if nucleus.area_ratio <= MAX_DENTED:
            return Suggestion(MONOCYTE, f"one dented spot, {share}")
        return Suggestion(UNSURE, f"one dented spot, {share}")
    if nucleus.area_ratio >= MIN_LYMPHOCYTE:
        return Suggestion(LYMPHOCYTE, f"one round spot, {share}")
    if nucleus.area_ratio <= MAX_MONOCYTE:
        return Suggestion(MONOCYTE, f"one spot, {share}")
    return Suggestion(UNSURE, f"one spot, {share}: between lymphocyte and monocyte")
