"""Whether the int8 network answers as the trained one does, and when it does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from numpy.typing import NDArray

from convert.logits import Inference, Logits, float_logits, int8_logits, keras_logits
from convert.loss import loss_points
from convert.noise import NOISE_CROPS, Layer, noise
from convert.paired import paired_interval
from convert.quantise import float_flatbuffer
from edge.base import quantity
from edge.classify import Model
from edge.model import Parity


@dataclass(frozen=True, eq=False)
class Comparison:
    """Answers of one network in three forms to the same cells.

    Attributes
    ----------
    truth : int64 [n]
    trained, rewritten, int8 : float32 [n, labels]
        Probabilities of the Keras network, of the float flatbuffer and of the int8 one.
    layers : list of Layer
        Of the int8 network, in order.
    groups : sequence of str or None
        Frame or patient of each cell.
    """

    truth: NDArray[np.int64]
    trained: Logits
    rewritten: Logits
    int8: Logits
    layers: list[Layer]
    groups: Sequence[str] | None = None

    @property
    def parity(self) -> Parity:
        """The int8 network against the trained one."""
        return _parity(self.truth, self.trained, self.int8, self.groups)

    @property
    def rewriting(self) -> Parity:
        """The float flatbuffer against the trained network: rewriting and conversion without rounding."""
        return _parity(self.truth, self.trained, self.rewritten, self.groups)

    @property
    def distances(self) -> Logits:
        """Largest probability difference of each cell between the trained and the int8 network, [n]."""
        distances: Logits = np.abs(self.trained - self.int8).max(axis=1)
        return distances


def compare(
    network: keras.Model,
    rewritten: keras.Model,
    flatbuffer: bytes,
    inputs: NDArray[np.float32],
    truth: NDArray[np.int64],
    inference: Inference,
    groups: Sequence[str] | None = None,
) -> Comparison:
    """Let the trained network, the rewritten one and its int8 flatbuffer answer the same inputs.

    Parameters
    ----------
    inputs, truth : float32 [n, s, s, 1], int64 [n]
        n > 0.
    """
    chosen = np.linspace(0, len(inputs) - 1, min(len(inputs), NOISE_CROPS)).round().astype(int)
    return Comparison(
        truth=truth,
        trained=inference.probabilities(partial(keras_logits, network), inputs),
        rewritten=inference.probabilities(partial(float_logits, float_flatbuffer(rewritten)), inputs),
        int8=inference.probabilities(partial(int8_logits, Model(flatbuffer)), inputs),
        layers=noise(rewritten, flatbuffer, inputs[chosen]),
        groups=groups,
    )


def _parity(
    truth: NDArray[np.int64], reference: Logits, other: Logits, groups: Sequence[str] | None
) -> Parity:
    right, stays = reference.argmax(axis=1) == truth, other.argmax(axis=1) == truth
    low, high = paired_interval(stays.astype(np.int64) - right, groups)
    return Parity(
        cells=len(truth),
        float_accuracy=float(right.mean()),
        int8_accuracy=float(stays.mean()),
        low=low,
        high=high,
        agreement=float((reference.argmax(axis=1) == other.argmax(axis=1)).mean()),
        largest_probability_difference=float(np.abs(reference - other).max()),
    )


def summary_lines(parity: Parity) -> list[str]:
    """Return the parity in two lines of text."""
    interval = f"95 % interval {parity.low:+.2f} to {parity.high:+.2f}"
    return [
        f"accuracy {parity.float_accuracy:.4f} in float, {parity.int8_accuracy:.4f} in int8 "
        f"on {quantity(parity.cells, 'cell')}: {0 - loss_points(parity):+.2f} points ({interval})",
        f"the same answer to {100 * parity.agreement:.1f} % of them, probabilities at most "
        f"{parity.largest_probability_difference:.3f} apart",
    ]


def refusal(parity: Parity, max_loss: float, costs: dict[str, float]) -> str:
    """Return one line: int8 loses too much, and which layer costs most (see `convert.noise.costs`)."""
    layer = min(costs, key=costs.__getitem__)
    return (
        f"int8 loses {loss_points(parity):.2f} points of accuracy on {quantity(parity.cells, 'cell')} "
        f"(95 % interval of the difference {parity.low:+.2f} to {parity.high:+.2f}), "
        f"more than {max_loss:g}: layer {layer} costs most "
        f"(alone in int8 it leaves the logits {costs[layer]:.0f} dB above its noise)"
    )
