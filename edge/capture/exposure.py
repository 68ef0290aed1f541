"""Exposure by the frame itself, for cameras without a reliable auto-exposure."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.capture.camera import CameraError

CLEAR_FIELD = 165.0
"""Grey level to which the clear field is exposed: bright, with room for brighter places."""

TOLERANCE = 0.03
"""Accepted relative deviation from it; a webcam's exposure steps are not much finer."""

_SATURATED = 250.0


def clear_field(image: NDArray[np.uint8]) -> float:
    """Return the grey level of the clear field of a frame, uint8 [h, w]: its median."""
    reduced = cv2.resize(image, None, fx=0.125, fy=0.125, interpolation=cv2.INTER_AREA)
    return float(np.median(reduced))


def next_exposure(exposure_us: float, brightness: float) -> float:
    """Return the exposure at which the clear field of a linear camera would have its grey level.

    It is at most four times as long or short as `exposure_us`, at which the brightness was measured; a
    saturated frame only tells that there was too much light.
    """
    if brightness >= _SATURATED:
        return exposure_us / 4
    return exposure_us * float(np.clip(CLEAR_FIELD / max(brightness, 1.0), 0.25, 4.0))


def converge(measure: Callable[[float], tuple[float, float]], exposure_us: float) -> None:
    """Set the exposure at which the clear field has its grey level.

    `measure` sets an exposure in µs and returns the one that the camera chose, and the brightness with it.
    Raises a CameraError if there is no such exposure within the camera's limits.
    """
    before: list[float] = []
    while True:
        taken_us, brightness = measure(exposure_us)
        if abs(brightness - CLEAR_FIELD) <= TOLERANCE * CLEAR_FIELD:
            return
        if taken_us in before:  # at a limit, or alternating between two steps
            raise CameraError(
                f"the clear field has grey level {brightness:.0f} at {taken_us:.0f} µs, and no exposure "
                f"brings it to {CLEAR_FIELD:.0f}: change the lamp or the gain"
            )
        before.append(taken_us)
        exposure_us = next_exposure(taken_us, brightness)


def is_steady(values: list[float], *, last: int, tolerance: float) -> bool:
    """Return whether the `last` values, all above 0, differ by no more than a relative tolerance."""
    recent = values[-last:]
    return len(recent) == last and max(recent) - min(recent) <= tolerance * max(recent)
