"""The int8 numbers of a network's input and output, and what they stand for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.model import Manifest, Quantisation


def quantise(values: NDArray[Any], quantisation: Quantisation) -> NDArray[np.int8]:
    """Round real numbers to the int8 steps that stand for them."""
    steps = np.rint(values / quantisation.scale + quantisation.zero_point)
    return np.asarray(np.clip(steps, -128, 127), np.int8)


def dequantise(steps: NDArray[np.int8], quantisation: Quantisation) -> NDArray[np.float32]:
    """Return the real numbers that int8 steps stand for."""
    return (steps.astype(np.float32) - quantisation.zero_point) * np.float32(quantisation.scale)


def grey_to_int8(manifest: Manifest) -> NDArray[np.int8]:
    """Return the network's input for each of the 256 grey values: normalised and quantised, int8 [256]."""
    normalised = manifest.normalisation.scale * np.arange(256) + manifest.normalisation.offset
    return quantise(normalised, manifest.input)


def int8_to_grey(crops: NDArray[np.int8], manifest: Manifest) -> NDArray[np.uint8]:
    """Return the grey crops that a network's input stands for, in the same shape."""
    normalised = manifest.input.scale * (crops.astype(np.float64) - manifest.input.zero_point)
    grey = (normalised - manifest.normalisation.offset) / manifest.normalisation.scale
    return np.asarray(np.clip(np.rint(grey), 0, 255), np.uint8)
