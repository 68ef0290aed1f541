"""Cameras by name."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from edge.capture import (
    Camera,
    CameraError,
    CameraInfo,
    FolderCamera,
    PiCamera,
    V4l2Camera,
    VideoCamera,
    picamera,
    v4l2,
)
from edge.simulate import SimulatedCamera

KINDS = "picamera2, picamera2:N, v4l2:N, watch:FOLDER, video:FILE, simulate or simulate:SEED"


def open_camera(
    name: str,
    *,
    size: tuple[int, int] | None = None,
    done: Collection[str] = frozenset(),
    root: Path = Path(),
) -> Camera:
    """Open the camera of that name.

    Parameters
    ----------
    name : see the module
    size : width and height in px; by default the largest of a device
    done : names of frames that were taken before: files and the simulator pass over them. It is looked at
        whenever a frame is due, so that it may grow
    root : folder that a relative FOLDER or FILE starts from

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
        return PiCamera(_number(name, which or "0"), name=name, size=size)
    if kind == "v4l2":
        return V4l2Camera(_number(name, which), size=size)
    if kind == "simulate":
        return SimulatedCamera(_number(name, which or "0"), name=name, size=size, done=done)
    if kind in ("watch", "video"):
        if not which:
            raise CameraError(f"{name}: say which, as in {kind}:{'FOLDER' if kind == 'watch' else 'FILE'}")
        if size is not None:
            raise CameraError(f"{name}: files have the size that they have")
        if kind == "watch":
            return FolderCamera(Path(which), root=root, done=done)
        return VideoCamera(Path(which), root=root, done=done)
    raise CameraError(f"no kind of camera is called {kind!r}; say {KINDS}")


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise CameraError(f"{name}: {text!r} is not a number")
    return int(text)


def list_cameras() -> tuple[list[CameraInfo], list[str]]:
    """Find the cameras of this machine.

    Returns
    -------
    the cameras, those of a Raspberry Pi first, the simulator last; and why a kind of camera could not be
    looked for, a line each
    """
    found: list[CameraInfo] = []
    notes: list[str] = []
    try:
        found += picamera.list_cameras()
    except CameraError as error:
        notes.append(str(error))
    found += v4l2.list_cameras()
    return [*found, CameraInfo("simulate", "simulated blood cells")], notes
