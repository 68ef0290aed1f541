"""From logits to decisions: each cell's label, or why it is rejected. Nothing else rejects a cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

REJECTED = "rejected"
"""Label of a cell that is counted under none of the bundle's labels."""

Reason = Literal["low_confidence", "out_of_distribution"]
REASONS: tuple[Reason, ...] = get_args(Reason)


@dataclass(frozen=True)
class Decision:
    """A cell's most probable label, however small its probability, and why the cell is rejected, if it is."""

    likeliest: str
    rejected_by: Literal["", Reason] = ""

    @property
    def label(self) -> str:
        """The most probable label, or ``rejected``."""
        return REJECTED if self.rejected_by else self.likeliest

    @property
    def answered(self) -> bool:
        """Whether the cell is in distribution, so that its most probable label means something."""
        return self.rejected_by != "out_of_distribution"


def softmax(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probabilities, float32 [n, labels], of logits float32 [n, labels]."""
    exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float32] = exponents / exponents.sum(axis=1, keepdims=True)
    return probabilities


def decide_labels(
    probabilities: NDArray[np.float32],
    in_distribution: NDArray[np.bool_],
    labels: Sequence[str],
    reject_below: float,
) -> list[Decision]:
    """Decide about each of n cells.

    A cell to which both reasons apply is out of distribution: its probabilities mean nothing.

    Parameters
    ----------
    probabilities : float32 [n, labels]
    in_distribution : bool [n]
        Whether the crop resembles the training crops.
    reject_below : float
        A smaller best probability is low confidence.
    """
    reasons = np.where(in_distribution, np.where(probabilities.max(axis=1) < reject_below, 1, 0), 2)
    return [
        Decision(labels[best], ("", *REASONS)[reason])
        for best, reason in zip(probabilities.argmax(axis=1), reasons, strict=True)
    ]
