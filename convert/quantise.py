"""Post-training quantisation of a Keras network to a fully int8 TFLite flatbuffer."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2


def int8_flatbuffer(model: keras.Model, inputs: NDArray[np.float32]) -> bytes:
    """Convert a network to int8: weights per channel, activations per tensor, input and output.

    The softmax is cut off: int8 probabilities would lose what a temperature and a reject threshold need.
    The scheme is that of Jacob et al., CVPR 2018 (arXiv:1712.05877).

    Parameters
    ----------
    model : keras.Model
        From float32 [n, s, s, 1] to probabilities, with a layer named ``logits``.
    inputs : float32 [n, s, s, 1]
        Representative crops. They set the activations' ranges, and their extremes the input's.

    Returns
    -------
    bytes
        The flatbuffer, from int8 [n, s, s, 1] to int8 [n, 1, 1, labels].
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
        # it asks for statistics that only uint8 inputs have
        warnings.filterwarnings("ignore", "Statistics for quantized inputs")
        flatbuffer: bytes = converter.convert()
    return flatbuffer


def float_flatbuffer(model: keras.Model) -> bytes:
    """Convert a network without quantising, from float32 [n, s, s, 1] to logits float32 [n, 1, 1, labels]."""
    flatbuffer: bytes = _converter(model).convert()
    return flatbuffer


def _converter(model: keras.Model) -> tf.lite.TFLiteConverter:
    # a reshape to [n, labels] would fix the batch size; the runtime reads [n, 1, 1, labels] as well
    logits = keras.Model(model.input, model.get_layer("logits").input)
    answer = tf.function(lambda crop: logits(crop, training=False))
    shape = [None, *model.input_shape[1:]]
    graph = answer.get_concrete_function(tf.TensorSpec(shape, tf.float32, name="crop"))
    return tf.lite.TFLiteConverter.from_concrete_functions([convert_variables_to_constants_v2(graph)], logits)
