"""Post-training quantisation of a Keras network to a fully int8 TFLite flatbuffer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def quantise(model: keras.Model, inputs: NDArray[np.float32]) -> bytes:
    """Convert a network to int8 weights (a channel), activations (a tensor), input and output.

    The softmax is cut off: int8 probabilities would lose what a temperature and a reject threshold need.

    Parameters
    ----------
    model : float32 [n, s, s, 1] to probabilities, with a layer named ``logits``
    inputs : float32 [n, s, s, 1], representative of what the device will see; they set the activations'
        ranges, and their least and largest value that of the input

    Returns
    -------
    The flatbuffer, int8 [n, s, s, 1] to int8 [n, 1, 1, labels].

    References
    ----------
    Jacob et al., CVPR 2018 (arXiv:1712.05877), for the scheme.
    """

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for crop in inputs:
            yield [crop[None]]

    converter = _converter(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    with warnings.catch_warnings():
        # it asks for the statistics of uint8 inputs, which an int8 input does not have
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")
        flatbuffer: bytes = converter.convert()
    return flatbuffer


def in_float(model: keras.Model) -> bytes:
    """Convert a network without quantising: float32 [n, s, s, 1] to logits float32 [n, 1, 1, labels]."""
    flatbuffer: bytes = _converter(model).convert()
    return flatbuffer


def _converter(model: keras.Model) -> tf.lite.TFLiteConverter:
    # the reshape to [n, labels] would fix the batch: the runtime reads [n, 1, 1, labels] as well
    logits = keras.Model(model.input, model.get_layer("logits").input)
    answer = tf.function(lambda crop: logits(crop, training=False))
    shape = [None, *model.input_shape[1:]]
    graph = answer.get_concrete_function(tf.TensorSpec(shape, tf.float32, name="crop"))
    return tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(graph)], logits)
