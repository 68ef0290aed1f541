"""What a network asks of a device, by its flatbuffer: known before an interpreter takes memory for it.

A network may be anybody's, and a few hundred bytes of one can ask for terabytes. So it may have only the
operators that ``leuko convert`` writes; the size of all that they compute follows from its input; and what
they need for a crop is bounded.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from edge.classify.flatbuffer import Table

OPERATORS = {
    "ADD": 0,
    "CONCATENATION": 2,
    "CONV_2D": 3,
    "DEPTHWISE_CONV_2D": 4,
    "FULLY_CONNECTED": 9,
    "MAX_POOL_2D": 17,
    "SPACE_TO_DEPTH": 26,
    "PAD": 34,
    "MEAN": 40,
}
"""The operators of a bundle's network → their numbers in TFLite's schema."""

MOST_BYTES = 48 << 20
"""Of all that is computed for a crop, beside the weights, in int8; four times as much in float32. VGG-16
needs 26 MB."""

MOST_STEPS = 40_000_000_000
"""Multiply-accumulates and comparisons for a crop; VGG-16 needs 15,000 million."""

MOST_UNROLLED = 64 << 20
"""Bytes of a layer's input as a plain kernel lays it out, each window by itself; VGG-16 needs 29 MB."""


MOST_BYTES_AT_ONCE = 4 * MOST_BYTES
"""Of all crops of a batch."""

MOST_UNROLLED_AT_ONCE = 128 << 20
"""The same, of all crops of a batch; such a kernel takes it twice."""


class NetworkError(ValueError):
    """A network that no bundle has; the message is one line."""


_TYPES: Mapping[type[np.generic], int] = {np.float32: 0, np.int8: 9}
_TYPE_BYTES = {0: 4, 2: 4, 4: 8, 9: 1}  # float32, int32, int64, int8
_SAME = 0
Shape = tuple[int, ...]


@dataclass
class _Needs:
    """What was added up so far."""

    bytes: int = 0
    steps: int = 0
    unrolled: int = 0

    def window(self, out: Shape, height: int, width: int, channels: int) -> None:
        """Add a layer that looks at windows of its input."""
        places = math.prod(out[:-1]) * height * width
        if places * channels > MOST_UNROLLED:
            raise NetworkError("a layer of its network looks at too much at once")
        self.unrolled = max(self.unrolled, places * channels)
        self.bytes += 8 * places  # pointers, in XNNPACK
        self.steps += out[-1] * places * channels

    def check(self) -> None:
        """Raise a ValueError if this is more than a network may ask for."""
        if self.bytes > MOST_BYTES:
            raise NetworkError(f"its network needs more than {MOST_BYTES >> 20} MB for a crop")
        if self.steps > MOST_STEPS:
            raise NetworkError(f"its network needs more than {MOST_STEPS // 10**9} GMAC for a crop")


@dataclass(frozen=True)
class _Operator:
    """An operator: its options, what goes in, and the constants among that."""

    options: Table
    shapes: tuple[Shape, ...]
    constants: tuple[bytes, ...]
    needs: _Needs


def check_network(flatbuffer: bytes, dtype: type[np.generic] = np.int8) -> int:
    """Return how many of the crops it may answer at once, by the memory that a plain kernel takes.

    It must be one graph of the known operators from an image of this type to numbers of it, and the size that
    it states for each result must be the one that follows.

    Raises
    ------
    NetworkError
        If it is another network, or asks for more than any bundle's.
    """
    model = Table.root(flatbuffer)
    graphs = model.tables(2)
    if len(graphs) != 1:
        raise NetworkError(f"the model has {len(graphs)} networks, not one")
    tensors, buffers = graphs[0].tables(0), model.tables(4)
    names = {number: name for name, number in OPERATORS.items()}
    codes = [max(code.number(0, "b"), code.number(3)) for code in model.tables(1)]
    known = {k: _stated(tensors, k, dtype) for k in graphs[0].numbers(1)}
    needs = _Needs(sum(map(math.prod, known.values())))
    constants: dict[int, bytes] = {}
    for operator in graphs[0].tables(3):
        number = operator.number(0, "I")
        name = names.get(codes[number], "") if number < len(codes) else ""
        if not name:
            raise NetworkError(f"its network has an operator other than {', '.join(OPERATORS)}")
        ins, outs = (operator.numbers(field) for field in (1, 2))
        if len(outs) != 1 or not ins:
            raise NetworkError(f"its operator {name} has other inputs and outputs than such a one")
        for k in ins:
            if k not in known and k != -1:
                known[k], constants[k] = _constant(tensors, buffers, k)
        given = _Operator(
            operator.table(4) or Table(flatbuffer, operator.at),
            tuple(known[k] for k in ins if k != -1),
            tuple(constants.get(k, b"") for k in ins if k != -1),
            needs,
        )
        if operator.table(4) is None and name not in _WITHOUT_OPTIONS:
            raise NetworkError(f"its operator {name} lacks its options")
        try:
            shape = _RESULTS[name](given)
        except NetworkError:
            raise
        except (IndexError, ZeroDivisionError, TypeError, ValueError) as error:
            raise NetworkError(f"its operator {name} does not fit what goes in") from error
        if shape != _stated(tensors, outs[0], dtype) or min(shape, default=0) < 1:
            raise NetworkError(f"its operator {name} gives another size than the model states")
        known[outs[0]] = shape
        needs.bytes += math.prod(shape)
        needs.check()
    per_crop, unrolled = (n * np.dtype(dtype).itemsize for n in (needs.bytes, needs.unrolled))
    return max(1, min(MOST_BYTES_AT_ONCE // max(1, per_crop), MOST_UNROLLED_AT_ONCE // max(1, unrolled)))


def _stated(tensors: list[Table], number: int, dtype: type[np.generic]) -> Shape:
    """Return the shape that the model states for what it takes or computes."""
    if not 0 <= number < len(tensors) or tensors[number].number(1, "b") != _TYPES[dtype]:
        raise NetworkError(f"its network computes other numbers than {dtype.__name__}")
    return tensors[number].numbers(0)


def _constant(tensors: list[Table], buffers: list[Table], number: int) -> tuple[Shape, bytes]:
    """Return the shape and the bytes of a constant."""
    if not 0 <= number < len(tensors):
        raise NetworkError("its network takes what is not there")
    tensor = tensors[number]
    buffer, shape = tensor.number(2, "I"), tensor.numbers(0)
    content = buffers[buffer].content(0) if 0 < buffer < len(buffers) else b""
    size = _TYPE_BYTES.get(tensor.number(1, "b"), 0)
    if not content or min(shape, default=1) < 0 or math.prod(shape) * size != len(content):
        raise NetworkError("its weights are not of the size that the model states")
    return shape, content


def _strided(side: int, window: int, stride: int, same: bool) -> int:
    return -(-side // stride) if same else -(-(side - window + 1) // stride)


def _window(one: _Operator, height: int, width: int, dilation: tuple[int, int]) -> tuple[int, int, int]:
    """Return batch, height and width behind a convolution or pool with its stride in the fields 1 and 2."""
    batch, rows, columns, _ = one.shapes[0]
    across, down = one.options.number(1), one.options.number(2)
    if min(across, down, height, width, *dilation) < 1:
        raise NetworkError("a layer of its network has no stride or no window")
    same = one.options.number(0, "b") == _SAME
    return (
        batch,
        _strided(rows, (height - 1) * dilation[1] + 1, down, same),
        _strided(columns, (width - 1) * dilation[0] + 1, across, same),
    )


def _convolution(one: _Operator) -> Shape:
    count, height, width, channels = one.shapes[1]
    dilation = one.options.number(4, default=1), one.options.number(5, default=1)
    shape = (*_window(one, height, width, dilation), count)
    one.needs.window(shape, height, width, channels)
    return shape


def _depthwise(one: _Operator) -> Shape:
    _, height, width, channels = one.shapes[1]
    dilation = one.options.number(5, default=1), one.options.number(6, default=1)
    shape = (*_window(one, height, width, dilation), channels)
    one.needs.window(shape, height, width, 1)
    return shape


def _pool(one: _Operator) -> Shape:
    width, height = one.options.number(3), one.options.number(4)
    shape = (*_window(one, height, width, (1, 1)), one.shapes[0][3])
    one.needs.window(shape, height, width, 1)
    return shape


def _added(one: _Operator) -> Shape:
    return tuple(map(int, np.broadcast_shapes(*one.shapes)))


def _concatenated(one: _Operator) -> Shape:
    axis = one.options.number(0) % len(one.shapes[0])
    length = sum(shape[axis] for shape in one.shapes)
    return (*one.shapes[0][:axis], length, *one.shapes[0][axis + 1 :])


def _connected(one: _Operator) -> Shape:
    count, length = one.shapes[1]
    one.needs.steps += count * math.prod(one.shapes[0])
    if one.options.number(2, "b"):
        return (*one.shapes[0][:-1], count)
    return math.prod(one.shapes[0]) // length, count


def _blocks(one: _Operator) -> Shape:
    (batch, height, width, channels), side = one.shapes[0], one.options.number(0)
    return batch, height // side, width // side, channels * side * side


def _padded(one: _Operator) -> Shape:
    pads = np.frombuffer(one.constants[1], np.int32).reshape(-1, 2)
    if pads.min() < 0 or len(pads) != len(one.shapes[0]):
        raise NetworkError("its padding is none")
    added = pads.sum(axis=1, dtype=np.int64).tolist()
    return tuple(side + pad for side, pad in zip(one.shapes[0], added, strict=True))


def _mean(one: _Operator) -> Shape:
    shape = one.shapes[0]
    axes = {int(axis) % len(shape) for axis in np.frombuffer(one.constants[1], np.int32)}
    kept = one.options.number(0, "b")
    return tuple(1 if k in axes else side for k, side in enumerate(shape) if kept or k not in axes)


_RESULTS: Mapping[str, Callable[[_Operator], Shape]] = {
    "ADD": _added,
    "CONCATENATION": _concatenated,
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _connected,
    "MAX_POOL_2D": _pool,
    "SPACE_TO_DEPTH": _blocks,
    "PAD": _padded,
    "MEAN": _mean,
}
_WITHOUT_OPTIONS = {"ADD", "PAD"}
