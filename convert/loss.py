"""Whether validation cells exclude that int8 loses accuracy, show it, or neither."""

from __future__ import annotations

from enum import StrEnum

from convert.paired import cells_to_exclude
from edge.model import Parity


class Loss(StrEnum):
    """What validation cells tell of a loss of accuracy beyond a limit."""

    EXCLUDED = "excluded"
    NOT_EXCLUDED = "not excluded"
    SHOWN = "shown"


def loss_points(parity: Parity) -> float:
    """Return the accuracy that int8 loses, in percentage points; negative for a gain."""
    return 100 * (parity.float_accuracy - parity.int8_accuracy)


def loss_of(parity: Parity, max_loss: float) -> Loss:
    """Return what the cells tell of a loss beyond `max_loss` points.

    It is excluded if the interval ends above it. It is shown if the loss exceeds the limit and the interval
    excludes zero: on few cells half a point is less than one cell, and rounding moves close answers either
    way. Four cells lost and none won are a loss, three are not yet.
    """
    if parity.low > -max_loss:
        return Loss.EXCLUDED
    return Loss.SHOWN if loss_points(parity) > max_loss and parity.high < 0 else Loss.NOT_EXCLUDED


def loss_words(parity: Parity, max_loss: float) -> str:
    """Return what the cells tell of a loss, and how many of them would exclude it."""
    found = loss_of(parity, max_loss)
    words = f"a loss of more than {max_loss:g} points of accuracy is {found}"
    if found is Loss.SHOWN or not max_loss:
        return words
    if found is Loss.EXCLUDED:
        return f"{words}: it is at most {max(0.0, -parity.low):.2f} points"
    enough = cells_to_exclude(max_loss / 100, 1 - parity.agreement)
    return (
        f"{words}: it may be up to {-parity.low:.2f} points; about {enough:,} independent validation cells "
        "would exclude it if there is none"
    )
