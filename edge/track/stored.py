"""A tracker's state as bytes: arrays behind a list of their names, types and shapes, compressed.

Anybody may have made the bytes. They are read in bounded memory, and an array has the type and the dimensions
that a tracker gives it.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

MAX_BYTES = 64 << 20
"""Size of a state's arrays: the reduced frame of 100 megapixels takes 25 MB, the remembered cells 3 MB, and a
million fields 48 MB."""

_MAX_LIST_BYTES = 10_000

Arrays = dict[str, NDArray[Any]]


def packed(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return arrays as bytes, for `unpacked`."""
    listed = {name: [array.dtype.str, array.shape] for name, array in arrays.items()}
    contents = (np.ascontiguousarray(array).tobytes() for array in arrays.values())
    return zlib.compress(b"\n".join((json.dumps(listed).encode(), b"".join(contents))), level=1)


def unpacked(content: bytes, like: Mapping[str, NDArray[Any]]) -> Arrays:
    """Return the arrays in bytes; a ValueError if they are not as those of `like`.

    They have the names and types of those, and as many dimensions; where those have a length, all but the
    first are as long.
    """
    inflating = zlib.decompressobj()
    raw = inflating.decompress(content, MAX_BYTES)
    if not inflating.eof or inflating.unused_data:
        raise ValueError("it is cut off, or holds more than a tracker keeps")
    end = raw.find(b"\n", 0, _MAX_LIST_BYTES)
    listed, rest = json.loads(raw[: max(0, end)]), memoryview(raw)[end + 1 :]
    if not isinstance(listed, dict) or list(listed) != list(like):
        raise ValueError("its arrays are not those of such a tracker")
    arrays, at = {}, 0
    for name, (kind, shape) in listed.items():
        model = like[name]
        if kind != model.dtype.str or not _fits(shape, model.shape):
            raise ValueError(f"{name} is not such an array")
        size = math.prod(shape) * model.dtype.itemsize
        if size > len(rest) - at:
            raise ValueError(f"{name} is longer than what is there")
        arrays[name] = np.frombuffer(rest, model.dtype, math.prod(shape), at).reshape(shape).copy()
        at += size
    if at != len(rest):
        raise ValueError("more is there than its arrays")
    return arrays


def _fits(shape: Any, model: tuple[int, ...]) -> bool:
    """Return whether an array has the dimensions of another one, where that is not empty in all of them."""
    if not isinstance(shape, list) or len(shape) != len(model):
        return False
    if not all(type(side) is int and 0 <= side <= MAX_BYTES for side in shape):
        return False
    fixed = model if 0 not in model else (None, *(side or None for side in model[1:]))
    return all(side in (now, None) for now, side in zip(shape, fixed, strict=True))
