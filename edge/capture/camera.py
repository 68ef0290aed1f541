"""The protocol of a camera: a Raspberry Pi's, V4L2, a watched folder, a video file, the simulator.

`edge.run.open_camera` opens one by its name; `edge.capture.live` turns it into frames without end.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge.base import FailedFrame, Frame


class CameraError(Exception):
    """A camera that cannot be used, or no longer; the message is one line for the operator."""


class CameraAbsentError(CameraError):
    """A camera that is not there; it may still come."""


class CameraTimeoutError(CameraError):
    """A camera that did not answer in time."""


@dataclass(frozen=True)
class CameraSettings:
    """How a camera exposes; None leaves the choice to the camera.

    Attributes
    ----------
    exposure_us : int or None
        Time for which a row of the sensor collects light.
    gain : float or None
        Amplification on the sensor, 1 being none; with ``v4l2`` the driver's own number.
    colour_gains : (float, float) or None
        Red and blue, relative to green.
    tuning : str or None
        What the camera's own software makes of the sensor's values, by a name and a hash; it cannot be set.
    """

    exposure_us: int | None = None
    gain: float | None = None
    colour_gains: tuple[float, float] | None = None
    tuning: str | None = None


class Camera(Protocol):
    """An open camera. Every wait is bounded, and every failure is a `CameraError`.

    Attributes
    ----------
    name : str
        As it was opened.
    paced : bool
        Frames come at the camera's own pace, whether taken or not, and all have one size: silence means that
        it stalled. Otherwise it gives a frame when asked, and the caller decides whether any is lost.
    """

    @property
    def name(self) -> str:
        """See the class."""

    @property
    def paced(self) -> bool:
        """See the class."""

    def settle(self, timeout_s: float) -> CameraSettings:
        """Wait until exposure, gain and white balance have converged, and lock them; applied ones stay.

        Raises CameraTimeoutError if they do not in time, CameraError if they cannot under this lamp.
        """

    def apply(self, settings: CameraSettings, timeout_s: float) -> None:
        """Lock what is not None, and wait until the frames show it.

        Raises CameraTimeoutError if they do not in time, CameraError if the camera has no such setting, or
        another tuning.
        """

    def grab(self, timeout_s: float) -> Frame | FailedFrame | None:
        """Return the next frame, or None when there will be no more.

        Raises CameraTimeoutError if there is none yet, CameraError if there will be none: close the camera.
        """

    def close(self) -> None:
        """Release the device."""


@dataclass(frozen=True)
class CameraInfo:
    """A connected camera: the name that opens it, and its own description.

    `formats` holds the sizes (width, height) of each pixel format, largest first; it is empty where a camera
    lists none.
    """

    name: str
    description: str
    formats: Mapping[str, Sequence[tuple[int, int]]] = field(default_factory=dict)


def camera_place(name: str, folder: str) -> str:
    """Return a camera by which it is the same wherever it is named: a folder or video with its whole path.

    Parameters
    ----------
    folder : str
        From where a relative path starts.
    """
    kind, _, path = name.partition(":")
    if kind not in ("watch", "video"):
        return name
    return f"{kind}:{os.path.normpath(os.path.join(folder, path))}"  # noqa: PTH118
