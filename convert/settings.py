"""What a person states of a bundle, and how a training run is converted."""

from __future__ import annotations

from dataclasses import dataclass

NOT_LEUKOCYTES = frozenset({"erythrocyte", "echinocyte", "platelet", "debris", "other"})
"""Labels of the project's data sets that stay outside the differential."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a person states of a bundle; everything else in its manifest is measured.

    Attributes
    ----------
    training_name : str
        Name of the training data.
    pixel_um : float or None
        Side of a training crop's pixel in the specimen; None takes the training data's.
    not_counted : frozenset of str or None
        Labels outside the differential; None takes `NOT_LEUKOCYTES`.
    """

    name: str
    version: str
    training_name: str
    intended_use: str
    licence: str
    notice: str
    pixel_um: float | None = None
    not_counted: frozenset[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run is calibrated, and when it is refused.

    Attributes
    ----------
    reject_below : float
        Cells whose best probability is smaller are rejected, unless `precision` is given.
    precision : float or None
        Share of correct answers for which the threshold is chosen on the validation cells.
    test_time_views : int or None
        Views of a crop over which the device averages its logits; None takes the recipe's.
    test_time_share : float
        Share of the validation cells, those of least margin, that get more than one view. Of 798 unstained
        cells, out of fold, one view errs on 66, eight views of every cell on 61, and eight views of the tenth
        of least margin also on 61.
    max_loss : float
        Accuracy that int8 may lose on the validation cells, percentage points.
    """

    reject_below: float = 0.5
    precision: float | None = None
    test_time_views: int | None = None
    test_time_share: float = 0.15
    max_loss: float = 0.5
