"""Correction of uneven illumination by the flat-field gain."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def flat_field_gain(light: Map, width_px: int, height_px: int) -> Map:
    """Return the factors, float32 [h, w], that undo an illumination, float32 [h', w'] of mean 1."""
    whole = cv2.resize(light, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(np.reciprocal(whole, out=whole), np.float32)


def divide_flat_field(image: NDArray[np.uint8], gain: Map) -> NDArray[np.uint8]:
    """Divide the illumination out of a frame; return it, uint8 [h, w], rounded and saturated at 255.

    A blank frame keeps its mean level.

    Raises
    ------
    ValueError
        If the frame does not have the size of the gain.
    """
    if image.shape != gain.shape:
        (h, w), (gain_h, gain_w) = image.shape, gain.shape
        raise ValueError(f"the frame has {w}×{h} px, the flat field {gain_w}×{gain_h}: calibrate it again")
    return np.asarray(cv2.multiply(image, gain, dtype=cv2.CV_8U), np.uint8)
