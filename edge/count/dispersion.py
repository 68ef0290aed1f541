"""How much more counts vary than those of cells that are counted once and lie at random.

Cells settle in clumps, and fields differ. Counts of fields then vary by more than their mean, and intervals
that suppose they do not (Poisson, binomial) are too narrow. The ratio of the two variances, the dispersion,
divides the numbers of cells that intervals are computed from: quasi-Poisson for concentrations, and for
fractions the effective numbers of Rao and Scott (JASA 76:221, 1981).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.count.intervals import LEVEL, NORMAL

Array = NDArray[np.float64]

ENOUGH_FIELDS, MANY_FIELDS = 6, 10
"""Fewer fields cannot show clumping, so that intervals of concentrations allow for it; fields that show most
of it."""

SPEAKS, SPEAKS_OF_FEW, SPEAKS_OF_THREE = 0.2, 0.5, 0.7
"""Chance of so much dispersion without clumps, below which intervals take it into account, that of few fields
(shares: below `ENOUGH_FIELDS`, concentrations: below `MANY_FIELDS`), and that of the shares of two or three.
Overlooked clumps cost more than a wider interval: ``python -m benchmarks.coverage --only clumps``."""

CLEAR = 0.01
"""The same, below which a remark is made."""

ALLOWED = 1.5
"""Squared coefficient of variation between fields that few fields are allowed to have at the most."""

_STEPS = 100


@dataclass(frozen=True)
class Dispersion:
    """The variance of a number of cells, relative to that of cells that lie at random.

    Attributes
    ----------
    ratio : float
        1 for cells that seem to lie at random. A normal interval with that many times the variance holds the
        truth as often as it should, though the variance was estimated from a few fields.
    p : float
        Chance that fields of cells that lie at random differ so much.
    fields : int
        In how many fields the cells were.
    """

    ratio: float = 1.0
    p: float = 1.0
    fields: int = 0

    @property
    def clear(self) -> bool:
        """Whether clumps are beyond doubt."""
        return self.p < CLEAR


@dataclass(frozen=True, eq=False)
class FieldCounts:
    """Counted cells of each field.

    Attributes
    ----------
    cells, inside : mapping
        Counted label → all cells, and those whose middle lies in the field, int64 [n].
    areas : float64 [n]
        Of the fields, relative to each other.
    """

    cells: Mapping[str, NDArray[np.int64]]
    inside: Mapping[str, NDArray[np.int64]]
    areas: Array

    def of_shares(self) -> dict[str, Dispersion]:
        """Return for each label the dispersion of its share."""
        whole = sum(self.cells.values(), np.zeros(len(self.areas), np.int64))
        return {label: of_share(cells, whole) for label, cells in self.cells.items()}

    def of_concentrations(self, whole: str) -> dict[str, Dispersion]:
        """Return for each label, and for all together under the name `whole`, that of its concentration."""
        together = sum(self.inside.values(), np.zeros(len(self.areas), np.int64))
        every = of_concentration(together, self.areas)
        each = {
            label: of_concentration(cells, self.areas, clumped=every.p < SPEAKS)
            for label, cells in self.inside.items()
        }
        return each | {whole: every}


def of_concentration(cells: NDArray[np.int64], areas: Array, *, clumped: bool = False) -> Dispersion:
    """Return the dispersion of a number of cells, from those of n fields and the fields' areas.

    By the χ² test of dispersion (Fisher, Thornton and Mackenzie, Annals of Applied Biology 9:325, 1922).

    Parameters
    ----------
    clumped : bool
        Other cells of these fields are known to lie in clumps.
    """
    seen = areas > 0
    cells, areas = cells[seen], areas[seen]
    fields, total = len(cells), int(cells.sum())
    if not fields:
        return Dispersion()
    expected = total * areas / areas.sum()
    x2 = float(((cells - expected) ** 2 / expected).sum()) if total else 0.0
    p = chi_square_tail(x2, fields - 1)
    speaks = p < (SPEAKS if fields >= MANY_FIELDS else SPEAKS_OF_FEW)
    if fields >= ENOUGH_FIELDS and not speaks and not clumped:
        return Dispersion(p=p, fields=fields)
    return Dispersion(_ratio(x2, fields - 1, 1 + ALLOWED * (total + 1) / fields), p, fields)


def of_share(cells: NDArray[np.int64], whole: NDArray[np.int64]) -> Dispersion:
    """Return the dispersion of a share, from the cells of n fields and what they are a share of.

    By the χ² test of homogeneity. Fields in which it does not speak count as alike, however few they are.
    """
    some = whole > 0
    cells, whole = cells[some], whole[some]
    fields, share = len(cells), cells.sum() / max(whole.sum(), 1)
    if fields < 2 or not 0 < share < 1:
        return Dispersion(fields=fields)
    x2 = float(((cells - share * whole) ** 2 / whole).sum() / (share * (1 - share)))
    p = chi_square_tail(x2, fields - 1)
    most = 1 + ALLOWED * float(whole.mean())
    few = SPEAKS_OF_FEW if fields > 3 else SPEAKS_OF_THREE
    speaks = p < (SPEAKS if fields >= ENOUGH_FIELDS else few)
    return Dispersion(_ratio(x2, fields - 1, most) if speaks else 1.0, p, fields)


def chi_square_tail(x2: float, freedom: int) -> float:
    """Return the chance of a χ² so large or larger (Wilson and Hilferty, PNAS 17:684, 1931; to 0.01)."""
    if freedom < 1:
        return 1.0
    variance = 2 / (9 * freedom)
    return math.erfc(((x2 / freedom) ** (1 / 3) - 1 + variance) / math.sqrt(2 * variance)) / 2


def _ratio(x2: float, freedom: int, most: float) -> float:
    """Return the dispersion with which a normal interval is that of an estimated one.

    Its distribution is that of a scaled inverse χ² above 1: cells do not lie more evenly than at random. With
    many fields it is narrow and the ratio x2 / freedom, with few that of Student's t; of one field it is
    between 1 and `most`.
    """
    most = max(most, 10 * x2 / freedom) if freedom else most
    ratios = np.exp(np.log(most) * (np.arange(_STEPS) + 0.5) / _STEPS)
    log_weights = -freedom / 2 * np.log(ratios) - x2 / 2 / ratios
    return equivalent_ratio(ratios, log_weights)


def equivalent_ratio(ratios: Array, log_weights: Array) -> float:
    """Return the dispersion with which a normal interval is that of an uncertain one; at least 1.

    Parameters
    ----------
    ratios, log_weights : float64 [n]
        Dispersions, and the logarithms of how likely they are relative to each other.
    """
    weights = np.exp(log_weights - log_weights.max())
    weights = (weights / weights.sum()).tolist()
    scales = np.sqrt(2 * ratios).tolist()
    low, high = 0.0, 8 * math.sqrt(ratios.max())
    for _ in range(30):
        z = (low + high) / 2
        outside = sum(w * math.erfc(z / scale) for w, scale in zip(weights, scales, strict=True))
        low, high = (z, high) if outside > 1 - LEVEL else (low, z)
    return max(1.0, (low / NORMAL) ** 2)
