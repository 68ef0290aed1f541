"""What a person states of a bundle, and how a training run is converted."""

from __future__ import annotations

from dataclasses import dataclass

from edge.base import PIXELS_UM, declare

NOT_LEUKOCYTES = frozenset({"erythrocyte", "echinocyte", "platelet", "debris", "other"})
"""Labels of the project's data sets that stay outside the differential."""


@dataclass(frozen=True, kw_only=True)
class Description:
    """What a person states of a bundle; everything else in its manifest is measured."""

    name: str = declare("Name of the bundle; by default the file's", default="")
    version: str = declare("Version of the bundle", default="1", option="--release")
    training_name: str = declare("Name of the training data; by default the run folder's", default="")
    intended_use: str = declare("Intended use of the bundle", default="research use only, not for diagnosis")
    licence: str = declare("Licence of the bundle", default="Apache-2.0")
    notice: str = declare("Notice shown with every result of this bundle", default="")
    pixel_um: float | None = declare(
        "Side of a training crop's pixel, µm; by default the training data's, else 0.0727",
        *PIXELS_UM,
        default=None,
    )
    not_counted: str = declare(
        "Labels outside the differential, separated by commas; by default those that name no leukocyte",
        default="",
        form="LABELS",
    )

    @property
    def excluded(self) -> frozenset[str]:
        """The labels that `not_counted` names."""
        return frozenset(filter(None, map(str.strip, self.not_counted.split(","))))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How a run is calibrated, and when it is refused.

    Of 798 unstained cells, out of fold, one test-time view errs on 66, eight views of every cell on 61, and
    eight views of the tenth of least margin also on 61.
    """

    reject_below: float = declare(
        "Best probability below which a cell is rejected", 0, 1, high_open=True, default=0.5
    )
    precision: float | None = declare(
        "Share of accepted validation answers that must be right; chooses the threshold instead",
        0,
        1,
        low_open=True,
        default=None,
    )
    precision_guaranteed: float | None = declare(
        "Share of accepted answers that must be right on new cells, with 95 % confidence",
        0,
        1,
        low_open=True,
        high_open=True,
        default=None,
    )
    max_loss: float = declare(
        "Accuracy that int8 may lose on the validation cells, percentage points", 0, default=0.5
    )
    test_time_views: int | None = None
    test_time_share: float = declare(
        "Share of the validation cells, those of least margin, that get all views; the others get one",
        0,
        1,
        default=0.15,
    )
