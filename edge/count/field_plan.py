"""How many cells and fields a precision costs, before anything is counted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from edge.count.concentration import FieldVolume, estimate_concentration
from edge.count.dispersion import MANY_FIELDS
from edge.count.intervals import NORMAL, clopper_pearson

MOST_CELLS = 1_000_000
"""As many as a count can be asked to end with."""


class PrecisionError(ValueError):
    """A precision that no number of fields gives; the message is one line and says what to do."""


@dataclass(frozen=True)
class Precision:
    """What a number of fields is expected to give.

    Attributes
    ----------
    fields, cells : int
        Fields, and leukocytes in them.
    halfwidth : float
        Half the width of the 95 % interval: of cells/µL relative to them, of a share as a fraction.
    cv : float
        Standard deviation relative to the value.
    """

    fields: int
    cells: int
    halfwidth: float
    cv: float


@dataclass(frozen=True)
class FieldPlan:
    """A measurement to be: what a field shows, and what is expected in it.

    The precision is that of a count which ends with a number of cells, whose cells lie at random and are all
    recognised: clumps and the errors of a bundle come on top.

    Attributes
    ----------
    per_ul : float
        Leukocytes per µL of the undiluted sample.
    share : float or None
        Of one label among the leukocytes, if its precision is asked for; None for that of cells/µL.
    """

    volume: FieldVolume
    per_ul: float
    share: float | None = None

    @property
    def cells_per_field(self) -> float:
        """Expected leukocytes of a field."""
        return self.per_ul / self.volume.dilution * self.volume.field_ul

    def after(self, cells: int) -> Precision:
        """Return the precision of so many cells, or of those in the fewest fields.

        With fewer fields than `MANY_FIELDS` the interval of cells/µL depends on how alike they happen to be:
        it is wider in half of the counts, and with `MANY_FIELDS` or more in a fifth.
        """
        cells = max(cells, math.floor(MANY_FIELDS * self.cells_per_field))
        fields = math.ceil(cells / self.cells_per_field)
        return Precision(max(fields, MANY_FIELDS), cells, self._halfwidth(cells), self._cv(cells))

    def fewest(self, *, halfwidth: float | None = None, cv: float | None = None) -> Precision:
        """Return the fewest cells with a half-width, or a coefficient of variation, or both.

        Raises
        ------
        PrecisionError
            If the volume is too uncertain for it, or it takes more than `MOST_CELLS`.
        """
        asked = (halfwidth or math.inf, cv or math.inf)
        limits = (math.sinh(NORMAL * self._volume_uncertainty), self._volume_uncertainty)
        for most, limit in zip(asked, limits, strict=True):
            if most <= limit:
                raise PrecisionError(
                    f"±{100 * most:g} % cannot be reached: the volume alone leaves ±{100 * limit:.2g} %,"
                    " which more fields do not reduce; measure depth and dilution better"
                )
        low, high = 0, MOST_CELLS
        while high - low > 1:
            middle = (low + high) // 2
            reached = (cv is None or self._cv(middle) <= cv) and (
                halfwidth is None or self._halfwidth(middle) <= halfwidth
            )
            low, high = (low, middle) if reached else (middle, high)
        if high == MOST_CELLS:
            raise PrecisionError(f"that takes more than {MOST_CELLS:,} leukocytes; ask for less precision")
        return self.after(high)

    @property
    def _volume_uncertainty(self) -> float:
        """Relative standard uncertainty of the volume, which a share does not depend on."""
        return 0.0 if self.share is not None else self.volume.relative_uncertainty

    def _halfwidth(self, cells: int) -> float:
        if self.share is not None:
            low, high = clopper_pearson(self.share * cells, cells)
            return (high - low) / 2
        found = estimate_concentration(cells, cells / self.cells_per_field, self.volume)
        return (found.high - found.low) / 2 / self.per_ul

    def _cv(self, cells: int) -> float:
        variance = 1 if self.share is None else (1 - self.share) / self.share
        return math.hypot((variance / cells) ** 0.5, self._volume_uncertainty)
