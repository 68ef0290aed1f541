"""Quantisation noise of an int8 network, layer by layer."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers, ops
from numpy.typing import NDArray

from convert.logits import Logits, int8_logits, keras_logits
from edge.classify import Model, dequantise, quantise
from edge.model import Quantisation

NOISE_CROPS = 32
"""Crops on which the noise of the layers is measured: means over millions of values settle early."""


@dataclass(frozen=True)
class Layer:
    """A layer with weights in the int8 network, and the quantisation of its output.

    Attributes
    ----------
    sqnr_db : float
        Signal-to-quantisation-noise ratio of its output, with all layers before it in int8 too; 6 dB are one
        bit, and the ratio is infinite without noise.
    """

    name: str
    quantisation: Quantisation
    sqnr_db: float


def noise(rewritten: keras.Model, flatbuffer: bytes, inputs: NDArray[np.float32]) -> list[Layer]:
    """Compare the dequantised output of each layer with weights with the float network's."""
    interpreter = Interpreter(
        model_content=flatbuffer,
        experimental_preserve_all_tensors=True,
        # a delegate keeps the tensors between its first and its last one to itself
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (entry,) = interpreter.get_input_details()
    outputs = _outputs(rewritten, interpreter)
    floats = keras.Model(rewritten.input, [layer.output for layer, _ in outputs])
    signal, error = np.zeros(len(outputs)), np.zeros(len(outputs))
    for crop in inputs[:, None]:
        interpreter.set_tensor(entry["index"], quantise(crop, _quantisation(entry)))
        interpreter.invoke()
        expected = floats.predict_on_batch(crop)
        for k, (_, tensor) in enumerate(outputs):
            found = dequantise(interpreter.get_tensor(tensor["index"]), _quantisation(tensor))
            signal[k] += np.square(expected[k], dtype=np.float64).sum()
            error[k] += np.square(found - expected[k], dtype=np.float64).sum()
    return [
        Layer(layer.name, _quantisation(tensor), _decibels(signal[k], error[k]))
        for k, (layer, tensor) in enumerate(outputs)
    ]


def _quantisation(tensor: Mapping[str, Any]) -> Quantisation:
    scale, zero_point = tensor["quantization"]
    return Quantisation(float(scale), int(zero_point))


def _outputs(rewritten: keras.Model, interpreter: Interpreter) -> list[tuple[keras.Layer, Mapping[str, Any]]]:
    """Return the layers with weights, each with the tensor that holds its output in the flatbuffer."""
    tensors = interpreter.get_tensor_details()
    (last,) = interpreter.get_output_details()
    outputs = []
    for layer in rewritten.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            path = re.compile(rf"/{re.escape(layer.name)}(_\d+)?/")
            shape = [1, *layer.output.shape[1:]]
            named = (t for t in tensors if list(t["shape"]) == shape and path.search(t["name"]))
            # the last layer's tensor has the name of the graph's output
            outputs.append((layer, next(named, last)))
    return outputs


def costs(
    rewritten: keras.Model, quantised_layers: Sequence[Layer], inputs: NDArray[np.float32]
) -> dict[str, float]:
    """Quantise the weights and the output of one layer at a time, and measure the noise in the logits.

    The lowest ratio of accumulated noise says where rounding shows, mostly in the last layers. What a layer
    costs is what keeping it in float would gain, and only quantising that layer alone tells.

    Returns
    -------
    dict of str to float
        Name of the layer → the logits' signal-to-quantisation-noise ratio, dB; the lowest costs most.
    """
    expected = keras_logits(rewritten, inputs)
    return {
        layer.name: _ratio_db(expected, keras_logits(_with_one_quantised(rewritten, layer), inputs))
        for layer in quantised_layers
    }


def similarity_db(network: keras.Model, flatbuffer: bytes, inputs: NDArray[np.float32]) -> float:
    """Return the signal-to-noise ratio, dB, of an int8 network's logits against a Keras network's."""
    return _ratio_db(keras_logits(network, inputs), int8_logits(Model(flatbuffer), inputs))


def _ratio_db(expected: Logits, found: Logits) -> float:
    return _decibels(np.square(expected).sum(), np.square(found - expected).sum())


def _decibels(signal: np.floating[Any], error: np.floating[Any]) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * np.log10(signal / error))


def _with_one_quantised(rewritten: keras.Model, one: Layer) -> keras.Model:
    """Copy a network so that one layer's weights (per channel) and output (per tensor) round as in int8."""

    def call(layer: keras.Layer, *inputs: keras.KerasTensor, **options: object) -> keras.KerasTensor:
        output = layer(*inputs, **options)
        if layer.name != one.name:
            return output
        scale, zero_point = one.quantisation.scale, one.quantisation.zero_point
        return (ops.clip(ops.round(output / scale) + zero_point, -128, 127) - zero_point) * scale

    copy = keras.models.clone_model(
        rewritten,
        clone_function=lambda layer: type(layer).from_config(layer.get_config()),
        call_function=call,
    )
    for layer in rewritten.layers:
        values = layer.get_weights()
        if layer.name == one.name:
            kernel, bias = values
            axes = (0, 1, 3) if isinstance(layer, layers.DepthwiseConv2D) else (0, 1, 2)
            step = np.maximum(np.abs(kernel).max(axis=axes, keepdims=True) / 127, np.finfo(np.float32).tiny)
            values = [np.rint(kernel / step) * step, bias]
        if values:
            copy.get_layer(layer.name).set_weights(values)
    return copy
