"""Whether the int8 network is the one that was trained: answers, probabilities, and noise a layer."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from keras import layers, ops
from numpy.typing import NDArray

from convert.quantise import in_float
from edge.classify import BATCH, Model, average_logits, softmax
from edge.model import Parity
from train.metrics import resampled_sums

MAX_LOSS_POINTS = 0.5
"""Accuracy that int8 may lose, percentage points."""

RESAMPLES, SEED = 10_000, 0
"""Of the paired bootstrap."""

NOISE_CROPS = 32
"""Crops on which the noise of the layers is measured: means over millions of values settle early."""

Logits = NDArray[np.float32]


@dataclass(frozen=True)
class Layer:
    """A layer with weights in the int8 network.

    Attributes
    ----------
    name : of the trained network's layer
    scale, zero_point : of its output
    sqnr_db : its output's signal-to-quantisation-noise ratio, all layers before it in int8 too
    """

    name: str
    scale: float
    zero_point: int
    sqnr_db: float


@dataclass(frozen=True, eq=False)
class Comparison:
    """Answers of one network in three forms to the same cells.

    Attributes
    ----------
    truth : int64 [n]
    trained, rewritten, int8 : probabilities float32 [n, labels] of the Keras network, of the float flatbuffer
        and of the int8 one, all at the bundle's temperature
    layers : of the int8 network, in order
    groups : of each cell (its frame or patient) or None; groups are resampled whole
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
    temperature: float,
    groups: Sequence[str] | None = None,
    views: int = 1,
    doubt: float | None = None,
) -> Comparison:
    """Let the trained network, the rewritten one and its int8 flatbuffer answer the same inputs.

    Parameters
    ----------
    network, rewritten : before and after `convert.fold.folded`
    flatbuffer : int8, of `rewritten`
    inputs : float32 [n, s, s, 1], n > 0
    truth : int64 [n]
    temperature : divides the logits of all three
    groups : see `Comparison`
    views, doubt : of all three, see `edge.classify.test_time_augmentation.mean_over_views`
    """

    def answers(network: Callable[[NDArray[np.float32]], Logits]) -> Logits:
        return softmax(average_logits(network, inputs, views, doubt) / heat)

    heat = np.float32(temperature)
    chosen = np.linspace(0, len(inputs) - 1, min(len(inputs), NOISE_CROPS)).round().astype(int)
    return Comparison(
        truth=truth,
        trained=answers(partial(_keras_logits, network)),
        rewritten=answers(partial(_float_logits, in_float(rewritten))),
        int8=answers(partial(int8_logits, Model(flatbuffer))),
        layers=noise(rewritten, flatbuffer, inputs[chosen]),
        groups=groups,
    )


def quantised(model: Model, inputs: NDArray[np.float32]) -> NDArray[np.int8]:
    """Steps int8 of inputs float32 [n, s, s, 1], as the device takes them."""
    scale, zero_point = model.input_quantisation
    return np.asarray(np.clip(np.rint(inputs / scale) + zero_point, -128, 127), np.int8)


def int8_logits(model: Model, inputs: NDArray[np.float32]) -> Logits:
    """Logits float32 [n, labels] of an int8 network to inputs float32 [n, s, s, 1]."""
    scale, zero_point = model.output_quantisation
    steps = quantised(model, inputs)
    parts = [model.run(steps[start : start + BATCH]) for start in range(0, len(steps), BATCH)]
    logits: Logits = (np.concatenate(parts).astype(np.float32) - zero_point) * np.float32(scale)
    return logits


def _keras_logits(network: keras.Model, inputs: NDArray[np.float32]) -> Logits:
    logits = keras.Model(network.input, network.get_layer("logits").output)
    parts = [np.asarray(logits.predict_on_batch(inputs[i : i + 32])) for i in range(0, len(inputs), 32)]
    return np.concatenate(parts)


def _float_logits(flatbuffer: bytes, inputs: NDArray[np.float32]) -> Logits:
    interpreter = Interpreter(model_content=flatbuffer)
    interpreter.allocate_tensors()
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    answers = []
    for crop in inputs:
        interpreter.set_tensor(entry["index"], crop[None])
        interpreter.invoke()
        answers.append(interpreter.get_tensor(exit_["index"]).ravel())
    return np.stack(answers)


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


def paired_interval(
    gains: NDArray[np.int64], groups: Sequence[str] | None = None, level: float = 0.95
) -> tuple[float, float]:
    """Return the interval of a mean gain, in points, by the paired percentile bootstrap.

    Each cell keeps its pair of answers (Efron and Tibshirani 1993, chapter 13).

    Parameters
    ----------
    gains : [n], 1 where only the second answer is right, -1 where only the first is, else 0
    groups : of each cell; by default each cell is drawn by itself
    level : share of the resamples inside the interval
    """
    totals = resampled_sums(np.stack([gains, np.ones_like(gains)], axis=1), groups, RESAMPLES, SEED)
    low, high = np.quantile(100 * totals[:, 0] / totals[:, 1], ((1 - level) / 2, (1 + level) / 2))
    return float(low), float(high)


def noise(rewritten: keras.Model, flatbuffer: bytes, inputs: NDArray[np.float32]) -> list[Layer]:
    """Compare the output of each layer with weights, dequantised, with the float network's.

    The ratio of the mean square of the float output to that of the difference, in decibels; infinite without
    a difference. 6 dB are one bit.

    Parameters
    ----------
    rewritten, flatbuffer : see `compare`
    inputs : float32 [n, s, s, 1]
    """
    interpreter = Interpreter(
        model_content=flatbuffer,
        experimental_preserve_all_tensors=True,
        # a delegate keeps what lies between its first and its last tensor to itself
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    (entry,), (exit_,) = interpreter.get_input_details(), interpreter.get_output_details()
    found = []
    for layer in rewritten.layers:
        if isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D):
            path = re.compile(rf"/{re.escape(layer.name)}(_\d+)?/")
            shape = [1, *layer.output.shape[1:]]
            named = [
                tensor
                for tensor in interpreter.get_tensor_details()
                if list(tensor["shape"]) == shape and path.search(tensor["name"])
            ]
            found.append((layer, named[0] if named else exit_))  # the last one has the graph's output's name
    seen = keras.Model(rewritten.input, [layer.output for layer, _ in found])
    signal, error = np.zeros(len(found)), np.zeros(len(found))
    for crop in inputs:
        scale, zero_point = entry["quantization"]
        steps = np.clip(np.rint(crop[None] / scale) + zero_point, -128, 127).astype(np.int8)
        interpreter.set_tensor(entry["index"], steps)
        interpreter.invoke()
        for k, (expected, (_, tensor)) in enumerate(
            zip(seen.predict_on_batch(crop[None]), found, strict=True)
        ):
            scale, zero_point = tensor["quantization"]
            real = (interpreter.get_tensor(tensor["index"]).astype(np.float32) - zero_point) * scale
            signal[k] += np.square(expected, dtype=np.float64).sum()
            error[k] += np.square(real - expected, dtype=np.float64).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        decibels = 10 * np.log10(signal / error)
    return [
        Layer(layer.name, float(tensor["quantization"][0]), int(tensor["quantization"][1]), float(ratio))
        for (layer, tensor), ratio in zip(found, decibels, strict=True)
    ]


def costs(
    rewritten: keras.Model, quantised_layers: Sequence[Layer], inputs: NDArray[np.float32]
) -> dict[str, float]:
    """Quantise one layer alone, its weights and its output, and see what that does to the logits.

    The lowest ratio of noise that has piled up says where rounding shows, mostly in the last layers; what a
    layer costs is what would be won by keeping it in float, which only the one alone tells.

    Returns
    -------
    The logits' signal-to-quantisation-noise ratio, dB, by name of the layer; the lowest costs most.
    """
    expected = _keras_logits(rewritten, inputs)
    decibels = {}
    for layer in quantised_layers:
        difference = _keras_logits(_with_one_quantised(rewritten, layer), inputs) - expected
        decibels[layer.name] = _decibels(expected, difference)
    return decibels


def likeness_db(network: keras.Model, flatbuffer: bytes, inputs: NDArray[np.float32]) -> float:
    """Signal-to-quantisation-noise ratio, dB, of an int8 network's logits against those of a Keras network.

    Parameters
    ----------
    inputs : float32 [n, s, s, 1]
    """
    expected = _keras_logits(network, inputs)
    return _decibels(expected, int8_logits(Model(flatbuffer), inputs) - expected)


def _decibels(signal: Logits, error: Logits) -> float:
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(10 * np.log10(np.square(signal).sum() / np.square(error).sum()))


def _with_one_quantised(rewritten: keras.Model, one: Layer) -> keras.Model:
    """Copy of a network that rounds one layer's weights (a channel) and output (a tensor) as int8 does."""

    def call(layer: keras.Layer, *inputs: keras.KerasTensor, **options: object) -> keras.KerasTensor:
        output = layer(*inputs, **options)
        if layer.name != one.name:
            return output
        steps = ops.clip(ops.round(output / one.scale) + one.zero_point, -128, 127)
        return (steps - one.zero_point) * one.scale

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


def loss_points(parity: Parity) -> float:
    """Accuracy that int8 loses, in percentage points; negative for a gain."""
    return 100 * (parity.float_accuracy - parity.int8_accuracy)


def loses_more(parity: Parity, max_loss: float) -> bool:
    """Say whether int8 loses more accuracy than allowed, beyond what chance explains.

    The loss must exceed the limit, and the interval of the difference must leave no room for none: on few
    cells half a point is less than one cell, and rounding moves the answers that hang in the balance either
    way. Four cells lost and none won are a loss, three are not yet (P = e⁻³ to draw none of them again).
    """
    return loss_points(parity) > max_loss and parity.high < 0


def words(parity: Parity, max_loss: float = MAX_LOSS_POINTS) -> list[str]:
    """Say it in two lines."""
    chance = ""
    if loss_points(parity) > max_loss and not loses_more(parity, max_loss):
        chance = f"; more than {max_loss:g} points, but within chance on so few cells"
    interval = f"95 % interval {parity.low:+.2f} to {parity.high:+.2f}"
    return [
        f"accuracy {parity.float_accuracy:.4f} in float, {parity.int8_accuracy:.4f} in int8 "
        f"on {parity.cells} cells: {0 - loss_points(parity):+.2f} points ({interval}){chance}",
        f"the same answer to {100 * parity.agreement:.1f} % of them, probabilities at most "
        f"{parity.largest_probability_difference:.3f} apart",
    ]


def refusal(parity: Parity, max_loss: float, cost: dict[str, float]) -> str:
    """Say in one line that int8 loses too much, and which layer costs most, see `costs`."""
    layer = min(cost, key=cost.__getitem__)
    return (
        f"int8 loses {loss_points(parity):.2f} points of accuracy on {parity.cells} cells "
        f"(95 % interval of the difference {parity.low:+.2f} to {parity.high:+.2f}), "
        f"more than {max_loss:g}: layer {layer} costs most "
        f"(alone in int8 it leaves the logits {cost[layer]:.0f} dB above its noise)"
    )
