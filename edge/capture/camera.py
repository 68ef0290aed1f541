"""Cameras behind one small protocol: a Raspberry Pi's, V4L2, a watched folder, a video file, the simulator.

A camera is named ``picamera2`` or ``picamera2:N``, ``v4l2:N``, ``watch:FOLDER``, ``video:FILE``,
``simulate`` or ``simulate:SEED``. `edge.capture.live` turns one into frames without end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edge.base import FailedFrame, Frame


class CameraError(Exception):
    """A camera that cannot be used, or no longer; the message is one line for the operator."""


class CameraTimeoutError(CameraError):
    """A camera that did not answer in time."""


@dataclass(frozen=True)
class CameraSettings:
    """How a camera exposes; None is the camera's own choice.

    Attributes
    ----------
    exposure_us : time that a row of the sensor collects light
    gain : amplification on the sensor, 1 being none; of ``v4l2`` the driver's own number
    colour_gains : red and blue, relative to green
    """

    exposure_us: int | None = None
    gain: float | None = None
    colour_gains: tuple[float, float] | None = None


class Camera(Protocol):
    """An open camera. Whatever waits is bounded, and whatever goes wrong is a `CameraError`.

    Attributes
    ----------
    name : as it was asked for
    paced : frames come at the camera's own pace, taken or not, and all have one size: silence means that it
        stalled. Otherwise it gives a frame when it is asked, and losing none is up to who asks
    """

    @property
    def name(self) -> str:
        """See the class."""

    @property
    def paced(self) -> bool:
        """See the class."""

    def settle(self, timeout_s: float) -> CameraSettings:
        """Wait until exposure, gain and white balance have converged, and lock them; what was applied stays.

        Raises
        ------
        CameraTimeoutError
            They did not converge, or would not be locked, in time.
        CameraError
            They cannot converge under this lamp.
        """

    def apply(self, settings: CameraSettings, timeout_s: float) -> None:
        """Lock what is not None, and wait until it shows in the frames.

        Raises
        ------
        CameraTimeoutError
            It did not in time.
        CameraError
            This camera cannot be set so.
        """

    def grab(self, timeout_s: float) -> Frame | FailedFrame | None:
        """Give the next frame; None once there will be no more.

        Raises
        ------
        CameraTimeoutError
            There is none yet; ask again.
        CameraError
            There will be none; close this camera.
        """

    def close(self) -> None:
        """Give the device back."""


@dataclass(frozen=True)
class CameraInfo:
    """A camera that is there: the name to ask for, and what it says of itself."""

    name: str
    description: str
