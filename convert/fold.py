"""The trained network rewritten for int8: the same function, with ranges that eight bits can hold."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
from keras import layers
from numpy.typing import NDArray

_FOLDABLE = (
    layers.InputLayer,
    layers.Concatenate,
    layers.ZeroPadding2D,
    layers.Conv2D,
    layers.DepthwiseConv2D,
    layers.MaxPooling2D,
    layers.BatchNormalization,
    layers.Flatten,
    layers.Dense,
    layers.Dropout,
    layers.Reshape,
    layers.Softmax,
)
"""Layers that a positive factor a channel passes, given that activations are ReLU or none."""


def folded(model: keras.Model, inputs: NDArray[np.float32]) -> keras.Model:
    """Turn each batch norm into one depthwise convolution and give all channels of all maps one range.

    A converter makes a product and a sum of batch norm, each rounded to 8 bits with one range for all
    channels; where a channel's mean is many of its standard deviations, that range is spent on the mean. A
    convolution adds its bias in 32 bits.

    One range for all channels of a map, and one for all maps that are concatenated, wastes steps on the
    smaller ones. A positive factor a channel passes ReLU, pools, padding and concatenation, so each layer's
    channels are divided by their largest magnitude and the layers behind multiply by it: cross-layer
    equalisation (Nagel et al., ICCV 2019, arXiv:1906.04721).

    Parameters
    ----------
    model : of convolutions with ReLU, batch norms, pools, padding, concatenation and dense layers
    inputs : float32 [n, s, s, 1], representative; they set the channels' largest magnitudes

    Returns
    -------
    A model of the same function, with the same layer names.

    Raises
    ------
    ValueError
        If the model has another kind of layer or activation.
    """
    for layer in model.layers:
        activation = getattr(layer, "activation", keras.activations.linear)
        known = activation in (keras.activations.linear, keras.activations.relu)
        if not isinstance(layer, _FOLDABLE) or not known:
            raise ValueError(
                f"the network's layer {layer.name} ({type(layer).__name__}) cannot be quantised yet"
            )
    rewritten = _without_batch_norm(model)
    weighted = [layer for layer in rewritten.layers if isinstance(layer, layers.Conv2D | layers.Dense)]
    weighted += [layer for layer in rewritten.layers if isinstance(layer, layers.DepthwiseConv2D)]
    inner = [layer for layer in weighted if list(_consumers(layer, rewritten))]
    seen = keras.Model(rewritten.input, [layer.output for layer in inner])
    for layer, magnitude in zip(inner, _magnitudes(seen, inputs), strict=True):
        for consumer, first in _consumers(layer, rewritten):
            _multiply_inputs(consumer, first, magnitude)
        _divide_outputs(layer, magnitude)
    return rewritten


def _without_batch_norm(model: keras.Model) -> keras.Model:
    """Copy of a model whose batch norms are depthwise 1×1 convolutions of the same names."""
    norms = [layer for layer in model.layers if isinstance(layer, layers.BatchNormalization)]

    def clone(layer: keras.Layer) -> keras.Layer:
        if layer in norms:
            return layers.DepthwiseConv2D(1, name=layer.name)
        return type(layer).from_config(layer.get_config())

    def call(layer: keras.Layer, *inputs: keras.KerasTensor, **options: object) -> keras.KerasTensor:
        options.pop("mask", None)  # batch norm takes one, a convolution does not
        return layer(*inputs, **options)

    copy = keras.models.clone_model(model, clone_function=clone, call_function=call)
    for layer in model.layers:
        weights = layer.get_weights()
        if layer in norms:
            gamma, beta, mean, variance = weights
            factor = gamma / np.sqrt(variance + layer.epsilon)
            weights = [factor.reshape(1, 1, -1, 1), beta - factor * mean]
        copy.get_layer(layer.name).set_weights(weights)
    return copy


def _consumers(layer: keras.Layer, model: keras.Model) -> Iterator[tuple[keras.Layer, int]]:
    """Layers with weights that read a layer's channels, and where its first channel lies in their input."""
    for behind in model.layers:
        sources = behind.input if isinstance(behind.input, list) else [behind.input]
        first = 0
        for tensor in sources:
            source = tensor._keras_history.operation
            if source is layer and behind is not layer:
                if isinstance(behind, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense):
                    yield behind, first
                elif not isinstance(behind, layers.Softmax):
                    yield from ((found, first + more) for found, more in _consumers(behind, model))
            first += tensor.shape[-1]


def _multiply_inputs(layer: keras.Layer, first: int, factor: NDArray[np.float32]) -> None:
    """Multiply the weights that read channels first, first + 1, … by a factor each."""
    kernel, bias = layer.get_weights()
    if isinstance(layer, layers.Dense):  # behind a flattened map, whose channels come fastest
        kernel.reshape(-1, len(factor), kernel.shape[-1])[:] *= factor[:, None]
    else:
        kernel[:, :, first : first + len(factor)] *= factor[:, None]
    layer.set_weights([kernel, bias])


def _divide_outputs(layer: keras.Layer, factor: NDArray[np.float32]) -> None:
    kernel, bias = layer.get_weights()
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    layer.set_weights([kernel / (factor[:, None] if depthwise else factor), bias / factor])


def _magnitudes(model: keras.Model, inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Largest magnitude a channel of each output, at least a 256th of the output's."""
    largest: list[NDArray[np.float32]] = []
    for start in range(0, len(inputs), 32):
        answers = model.predict_on_batch([inputs[start : start + 32]])
        now = [np.abs(answer).max(axis=tuple(range(np.ndim(answer) - 1))) for answer in answers]
        largest = [np.maximum(*pair) for pair in zip(largest, now, strict=True)] if largest else now
    # a channel that hardly stirs would get factors that no requantisation takes
    return [np.maximum(magnitude, magnitude.max() / 256).astype(np.float32) for magnitude in largest]
