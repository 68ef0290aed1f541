"""Division by the flat field."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def flat_field_gain(light: Map, width_px: int, height_px: int) -> Map:
    """Factors that undo an illumination (float32 [h', w'], of mean 1) in frames, float32 [h, w]."""
    whole = cv2.resize(light, (width_px, height_px), interpolation=cv2.INTER_LINEAR)
    return np.asarray(1 / whole, np.float32)


def divide_flat_field(image: NDArray[np.uint8], gain: Map) -> NDArray[np.uint8]:
    """Divide the illumination out of a frame; a blank one keeps its mean level.

    Parameters
    ----------
    image : uint8 [h, w]
    gain : float32 [h, w], from `read_gain`

    Returns
    -------
    uint8 [h, w], rounded, and saturated at 255

    Raises
    ------
    ValueError
        If the frame is of another size than the flat field.
    """
    if image.shape != gain.shape:
        (h, w), (gain_h, gain_w) = image.shape, gain.shape
        raise ValueError(f"a frame of {w}×{h} px, and a flat field of {gain_w}×{gain_h}: calibrate it anew")
    return np.asarray(cv2.multiply(image, gain, dtype=cv2.CV_8U), np.uint8)
