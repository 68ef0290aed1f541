"""Cells per microlitre, from a count that is corrected for misclassification and missed cells."""

from __future__ import annotations

import numpy as np

from edge.count.concentration import FieldVolume
from edge.count.intervals import TAIL, Estimate
from edge.count.prevalence import Ends

CORRECTED_METHOD = (
    "the corrected number of cells and the volume's log-normal uncertainty, melded 95 % interval"
)

VOLUMES = 200
"""Volumes that each draw of a number of cells is melded with."""

_SEED = 20240603


def estimate_corrected_concentration(cells: Ends, fields: float, volume: FieldVolume) -> Estimate:
    """Return the cells per µL of the undiluted sample, with their melded 95 % interval.

    As `estimate_concentration`, but the number of cells is as unsure as its correction (`count_ends`).

    Raises
    ------
    ValueError
        If there is no field.
    """
    if not fields > 0:
        raise ValueError(f"cells in {fields} fields are no concentration")
    scale = volume.dilution / (fields * volume.field_ul)
    rng = np.random.default_rng(_SEED)

    def end(draws: np.ndarray[tuple[int], np.dtype[np.float64]], p: float) -> float:
        volumes = rng.lognormal(0.0, volume.relative_uncertainty, (VOLUMES, len(draws)))
        return float(np.quantile(draws / volumes, p)) * scale

    value = cells.value * scale
    return Estimate(value, min(end(cells.low, TAIL), value), max(end(cells.high, 1 - TAIL), value))
