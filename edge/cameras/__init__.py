"""Cameras behind one small protocol: a Raspberry Pi's, V4L2, a watched folder, a video file, the simulator.

A camera is named ``picamera2`` or ``picamera2:N``, ``v4l2:N``, ``watch:FOLDER``, ``video:FILE``,
``simulate`` or ``simulate:SEED``. `edge.live` turns one into frames without end.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edge.frames import FailedFrame, Frame

KINDS = "picamera2, picamera2:N, v4l2:N, watch:FOLDER, video:FILE, simulate or simulate:SEED"


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
class Found:
    """A camera that is there: the name to ask for, and what it says of itself."""

    name: str
    description: str


def open_camera(
    name: str, *, size: tuple[int, int] | None = None, done: Collection[str] = frozenset()
) -> Camera:
    """Open the camera of that name.

    Parameters
    ----------
    name : see the module
    size : width and height in px; by default the largest of a device
    done : names of frames that were taken before: files and the simulator pass over them. It is looked at
        whenever a frame is due, so that it may grow

    Raises
    ------
    CameraError
        There is no such camera, it cannot be opened, or it cannot have that size.
    """
    kind, _, which = name.partition(":")
    if size is not None and min(size) < 1:
        raise CameraError(f"a size of {size[0]} x {size[1]} px makes no sense")
    # each kind is imported when it is asked for: most devices have but one
    if kind == "picamera2":
        from edge.cameras.picamera import PiCamera

        return PiCamera(_number(name, which or "0"), name=name, size=size)
    if kind == "v4l2":
        from edge.cameras.v4l2 import V4l2Camera

        return V4l2Camera(_number(name, which), size=size)
    if kind == "simulate":
        from edge.cameras.simulated import SimulatedCamera

        return SimulatedCamera(_number(name, which or "0"), name=name, size=size, done=done)
    if kind in ("watch", "video"):
        if not which:
            raise CameraError(f"{name}: say which, as in {kind}:{'FOLDER' if kind == 'watch' else 'FILE'}")
        if size is not None:
            raise CameraError(f"{name}: files have the size that they have")
        if kind == "watch":
            from edge.cameras.folder import FolderCamera

            return FolderCamera(Path(which), done=done)
        from edge.cameras.video import VideoCamera

        return VideoCamera(Path(which), done=done)
    raise CameraError(f"no kind of camera is called {kind!r}; say {KINDS}")


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise CameraError(f"{name}: {text!r} is not a number")
    return int(text)


def list_cameras() -> tuple[list[Found], list[str]]:
    """Find the cameras of this machine.

    Returns
    -------
    the cameras, those of a Raspberry Pi first, the simulator last; and why a kind of camera could not be
    looked for, a line each
    """
    from edge.cameras import picamera, v4l2

    found: list[Found] = []
    notes: list[str] = []
    try:
        found += picamera.list_cameras()
    except CameraError as error:
        notes.append(str(error))
    found += v4l2.list_cameras()
    return [*found, Found("simulate", "simulated blood cells")], notes
