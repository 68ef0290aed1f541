"""Logits of one network as Keras runs it, as a float flatbuffer and in int8."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from numpy.typing import NDArray

from edge.classify import BATCH, Model, average_logits, dequantise, quantise, softmax

Logits = NDArray[np.float32]

_KERAS_BATCH = 32


@dataclass(frozen=True)
class Inference:
    """How a device turns logits into probabilities.

    Attributes
    ----------
    margin : float or None
        Cells whose best logit leads by less get all views; None gives them to every cell.
    """

    test_time_views: int
    margin: float | None
    temperature: float

    def probabilities(
        self, network: Callable[[NDArray[np.float32]], Logits], inputs: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Return the probabilities [n, labels] of a network for inputs [n, s, s, 1]."""
        logits = average_logits(network, inputs, self.test_time_views, self.margin)
        return softmax(logits / np.float32(self.temperature))


def keras_logits(network: keras.Model, inputs: NDArray[np.float32]) -> Logits:
    """Return the logits [n, labels] of a Keras network for inputs [n, s, s, 1]."""
    logits = keras.Model(network.input, network.get_layer("logits").output)
    starts = range(0, len(inputs), _KERAS_BATCH)
    return np.concatenate(
        [np.asarray(logits.predict_on_batch(inputs[start : start + _KERAS_BATCH])) for start in starts]
    )


def float_logits(flatbuffer: bytes, inputs: NDArray[np.float32]) -> Logits:
    """Return the logits [n, labels] of a float flatbuffer for inputs [n, s, s, 1]."""
    model = Model(flatbuffer, dtype=np.float32)
    return np.concatenate([model.run(inputs[k : k + 1]) for k in range(len(inputs))])


def int8_logits(model: Model, inputs: NDArray[np.float32]) -> Logits:
    """Return the logits [n, labels] of an int8 network for inputs [n, s, s, 1]."""
    steps = quantise(inputs, model.input_quantisation)
    parts = [model.run(steps[start : start + BATCH]) for start in range(0, len(steps), BATCH)]
    return dequantise(np.concatenate(parts), model.output_quantisation)
