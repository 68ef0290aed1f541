"""Grey levels of what OpenCV decoded."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def to_grey(image: cv2.typing.MatLike) -> NDArray[np.uint8]:
    """Return what OpenCV captured, uint8 [h, w] or [h, w, 3] BGR, as grey [h, w] by ITU-R BT.601."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return grey.astype(np.uint8, copy=False)
