"""Which objective of lower magnification would take fewer fields for the same precision."""

from __future__ import annotations

from dataclasses import dataclass, replace

from edge.count import FieldPlan, Precision
from edge.find import FOCUS_PIXEL_UM
from edge.model import Manifest
from edge.run.remarks import pixel_remark

OBJECTIVES = (4, 10, 20, 40, 60, 100)
"""Magnifications that microscopes have."""


@dataclass(frozen=True)
class Objective:
    """An objective, and what a precision takes with it.

    Attributes
    ----------
    ratio : float
        Its magnification relative to that of the objective in use.
    suits : bool or None
        Whether the bundle knows cells at that pixel size; None without a bundle.
    """

    ratio: float
    pixel_um: float
    precision: Precision
    suits: bool | None


def lower_objectives(
    plan: FieldPlan,
    cells: int,
    pixel_um: float,
    *,
    magnification: float | None = None,
    manifest: Manifest | None = None,
) -> list[Objective]:
    """Return the objectives that take fewer fields for so many cells, the highest magnification first.

    None has a pixel at which leuko cannot measure focus any more.

    Parameters
    ----------
    magnification : float, optional
        Of the objective in use; without it, one of half and one of a quarter of its magnification are looked
        at.
    """
    ratios = [m / magnification for m in reversed(OBJECTIVES)] if magnification else [1 / 2, 1 / 4]
    found, fields = [], plan.after(cells).fields
    for ratio in ratios:
        coarser_um = pixel_um / ratio
        if ratio >= 1 or coarser_um > FOCUS_PIXEL_UM:
            continue
        volume = replace(plan.volume, field_ul=plan.volume.field_ul / ratio**2)
        precision = replace(plan, volume=volume).after(cells)
        suits = not pixel_remark(coarser_um, manifest) if manifest else None
        if precision.fields < fields:
            found.append(Objective(ratio, coarser_um, precision, suits))
    return found
