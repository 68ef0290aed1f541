"""The trained network rewritten for int8: the same function in fewer operators and ranges fit for 8 bits."""

from __future__ import annotations

from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
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
"""Layers that pass a positive factor per channel, given that activations are ReLU or none."""

_Weights = list[NDArray[np.float32]]


class SpaceToDepth(layers.Layer):  # type: ignore[misc]
    """Turns squares of block×block pixels into channels: [n, h, w, c] to [n, h/b, w/b, b·b·c]."""

    def __init__(self, block: int, **options: object) -> None:
        super().__init__(**options)
        self.block = block

    def get_config(self) -> dict[str, object]:
        """Return what a copy is made from."""
        return {**super().get_config(), "block": self.block}

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        """Rearrange the maps."""
        return tf.nn.space_to_depth(maps, self.block)

    def compute_output_shape(self, shape: tuple[int | None, int, int, int]) -> tuple[int | None, ...]:
        """Return the shape of the rearranged maps."""
        n, height, width, channels = shape
        return n, height // self.block, width // self.block, channels * self.block**2


def folded(model: keras.Model, inputs: NDArray[np.float32]) -> keras.Model:
    """Rewrite a network as the same function of convolutions and pools, with its channels equalised.

    - Equal channels, as a concatenation of the grey crop gives, become one; the kernels that read them are
      summed.
    - A strided convolution of the crop becomes one of stride 1 over blocks of stride×stride pixels, its
      kernel padded with zeros to whole blocks. Kernels for int8 read 4, 8 or 16 channels at a time, so one
      channel costs as much: on x86 (LiteRT, one thread), 11×11 stride 4 to 96 channels takes 1.5 ms from
      three channels, 1.0 to 1.3 ms from one and 0.3 ms from blocks.
    - A dense layer becomes a convolution as large as its map: flattening would need the batch size, which is
      computed outside of XNNPACK.
    - A batch norm becomes a depthwise 1×1 convolution. A converter would make it a product and a sum, each
      rounded to 8 bits with one range for all channels; a channel whose mean is many of its standard
      deviations would spend that range on the mean. A convolution adds its bias in 32 bits. Both norms of
      the fusion network precede a convolution padded with zeros. These are zeros after the norm, so neither a
      bias of that convolution nor one padding value, since each channel needs its own, makes up for them at
      the border. A ReLU and a maximum separate the norms from the convolution before. They stay, and cost
      0.02 ms each.

    One range for all channels of a map, and one for all concatenated maps, wastes steps on the smaller ones.
    A positive factor per channel passes ReLU, pools, padding and concatenation, so each layer's channels are
    divided by their largest magnitude and the layers that follow multiply by it: cross-layer equalisation
    (Nagel et al., ICCV 2019, arXiv:1906.04721).

    Representative inputs [n, s, s, 1] set the channels' largest magnitudes. Layers keep their names.

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
    rewritten = _rewritten(model)
    weighted = [layer for layer in rewritten.layers if isinstance(layer, layers.Conv2D)]
    weighted += [layer for layer in rewritten.layers if isinstance(layer, layers.DepthwiseConv2D)]
    inner = [layer for layer in weighted if list(_consumers(layer, rewritten))]
    outputs = keras.Model(rewritten.input, [layer.output for layer in inner])
    for layer, magnitude in zip(inner, _magnitudes(outputs, inputs), strict=True):
        for consumer, first in _consumers(layer, rewritten):
            _multiply_inputs(consumer, first, magnitude)
        _divide_outputs(layer, magnitude)
    return rewritten


def _rewritten(model: keras.Model) -> keras.Model:
    """Copy a model in fewer and other operators, before its channels are equalised."""
    first, *rest = model.layers  # sources come before what reads them
    crop = keras.Input(model.input_shape[1:], name=first.name)
    built, weights = {first.name: crop}, {}
    for layer in rest:
        inputs = [built[source.name] for source in _sources(layer)]
        if _changes_nothing(layer, inputs):
            built[layer.name] = inputs[0]
            continue
        new, values = _operator(layer, inputs[0].shape[1:])
        pad = inputs[0]._keras_history.operation
        if isinstance(new, layers.Conv2D) and isinstance(pad, layers.ZeroPadding2D) and pad.input is crop:
            inputs, new, values = _over_blocks(pad, new, values)
        built[layer.name] = new(inputs if len(inputs) > 1 else inputs[0])
        weights[layer.name] = values
    rewritten = keras.Model(crop, built[model.output._keras_history.operation.name])
    for name, values in weights.items():
        rewritten.get_layer(name).set_weights(values)
    return rewritten


def _sources(layer: keras.Layer) -> list[keras.Layer]:
    """Return the layers whose outputs a layer reads."""
    tensors = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation for tensor in tensors]


def _changes_nothing(layer: keras.Layer, inputs: list[keras.KerasTensor]) -> bool:
    """Tell whether a layer only reshapes for a dense one, drops for training, or repeats equal channels."""
    if isinstance(layer, layers.Concatenate):
        return all(tensor is inputs[0] for tensor in inputs)
    if isinstance(layer, layers.Reshape):
        return tuple(inputs[0].shape[1:]) == tuple(layer.target_shape)
    return isinstance(layer, layers.Flatten | layers.Dropout)


def _operator(layer: keras.Layer, shape: tuple[int, ...]) -> tuple[keras.Layer, _Weights]:
    """Return what replaces a layer that reads maps of this shape, and its weights."""
    values = layer.get_weights()
    if isinstance(layer, layers.BatchNormalization):
        gamma, beta, mean, variance = values
        factor = gamma / np.sqrt(variance + layer.epsilon)
        return layers.DepthwiseConv2D(1, name=layer.name), [factor.reshape(1, 1, -1, 1), beta - factor * mean]
    if isinstance(layer, layers.Dense):
        kernel, bias = values
        new = layers.Conv2D(layer.units, shape[:2], activation=layer.activation, name=layer.name)
        return new, [kernel.reshape(*shape, -1), bias]
    if isinstance(layer, layers.Conv2D):
        kernel, bias = values  # of equal channels, the copies come slowest
        values = [kernel.reshape(*kernel.shape[:2], -1, shape[-1], kernel.shape[-1]).sum(axis=2), bias]
    return type(layer).from_config(layer.get_config()), values


def _over_blocks(
    pad: keras.Layer, conv: keras.Layer, values: _Weights
) -> tuple[list[keras.KerasTensor], keras.Layer, _Weights]:
    """Return the same convolution of the padded crop over blocks of stride×stride pixels, and its inputs.

    Along one side, output i reads the pixels from s·i − p to s·i − p + k − 1 (stride s, padding p, kernel k),
    which lie in the blocks from i − ⌈p/s⌉ to i + ⌊(k − 1 − p)/s⌋.
    """
    kernel, bias = values
    crop, stride, size = pad.input, conv.strides[0], conv.kernel_size[0]
    height, width, channels = crop.shape[1:]
    before = pad.padding[0][0]
    leading = -(-before // stride)
    blocks = leading + (size - 1 - before) // stride + 1
    outputs = (height + sum(pad.padding[0]) - size) // stride + 1
    trailing = outputs + blocks - 1 - leading - height // stride
    square = height == width and len({*pad.padding[0], *pad.padding[1]}) == len({*conv.kernel_size}) == 1
    if stride == 1 or not square or height % stride or trailing < 0 or conv.padding != "valid":
        return [pad.output], conv, values
    shift = stride * leading - before
    whole = np.zeros((stride * blocks, stride * blocks, *kernel.shape[2:]), np.float32)
    whole[shift : shift + size, shift : shift + size] = kernel
    whole = whole.reshape(blocks, stride, blocks, stride, *kernel.shape[2:]).transpose(0, 2, 1, 3, 4, 5)
    new = layers.Conv2D(conv.filters, blocks, activation=conv.activation, name=conv.name)
    maps = SpaceToDepth(stride, name=f"{conv.name}_blocks")(crop)
    maps = layers.ZeroPadding2D(((leading, trailing), (leading, trailing)), name=pad.name)(maps)
    return [maps], new, [whole.reshape(blocks, blocks, stride * stride * channels, -1), bias]


def _consumers(layer: keras.Layer, model: keras.Model) -> Iterator[tuple[keras.Layer, int]]:
    """Yield the layers with weights that read a layer's channels, and where its first is in their input."""
    for behind in model.layers:
        sources = behind.input if isinstance(behind.input, list) else [behind.input]
        first = 0
        for tensor in sources:
            source = tensor._keras_history.operation
            if source is layer and behind is not layer:
                if isinstance(behind, layers.Conv2D | layers.DepthwiseConv2D):
                    yield behind, first
                elif not isinstance(behind, layers.Softmax):
                    yield from ((found, first + more) for found, more in _consumers(behind, model))
            first += tensor.shape[-1]


def _multiply_inputs(layer: keras.Layer, first: int, factor: NDArray[np.float32]) -> None:
    """Multiply the weights that read channels first, first + 1, … by one factor per channel."""
    kernel, bias = layer.get_weights()
    kernel[:, :, first : first + len(factor)] *= factor[:, None]
    layer.set_weights([kernel, bias])


def _divide_outputs(layer: keras.Layer, factor: NDArray[np.float32]) -> None:
    kernel, bias = layer.get_weights()
    depthwise = isinstance(layer, layers.DepthwiseConv2D)
    layer.set_weights([kernel / (factor[:, None] if depthwise else factor), bias / factor])


def _magnitudes(model: keras.Model, inputs: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Return the largest magnitude per channel of each output, at least 1/256 of the output's."""
    largest: list[NDArray[np.float32]] = []
    for start in range(0, len(inputs), 32):
        answers = model.predict_on_batch(inputs[start : start + 32])
        now = [np.abs(answer).max(axis=tuple(range(np.ndim(answer) - 1))) for answer in answers]
        largest = [np.maximum(*pair) for pair in zip(largest, now, strict=True)] if largest else now
    # a nearly constant channel would get factors too large to requantise with, a dead map none at all
    return [np.maximum(magnitude, magnitude.max() / 256 or 1.0).astype(np.float32) for magnitude in largest]
