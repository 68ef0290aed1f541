"""Cameras by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path

from edge.base import FailedFrame, Frame
from edge.capture import (
    Camera,
    CameraError,
    CameraInfo,
    FolderCamera,
    PiCamera,
    V4l2Camera,
    VideoCamera,
    pi_cameras,
    read_frames,
    v4l2,
)

KINDS = "picamera2, picamera2:N, v4l2:N, watch:FOLDER, video:FILE, simulate or simulate:SEED"


def open_camera(
    name: str,
    *,
    size: tuple[int, int] | None = None,
    sensor_bits: int | None = None,
    buffers: int | None = None,
    done: Collection[str] = frozenset(),
    root: Path = Path(),
    read: Callable[..., Iterator[Frame | FailedFrame]] = read_frames,
) -> Camera:
    """Open the camera of a name: one of `KINDS`.

    Parameters
    ----------
    size : (width, height) or None
        In px; by default the largest of a device.
    sensor_bits : int or None
        Bits of a Raspberry Pi sensor's mode, which must then be exactly of that size.
    buffers : int or None
        Frames in a Raspberry Pi's camera's own memory.
    done : collection of str
        Names of frames that were taken before: files and the simulator skip them. It is checked whenever a
        frame is due, so it may grow.
    root : Path
        Folder that a relative FOLDER or FILE starts from.
    read : callable
        Reads files, with options that `edge.capture.read_frames` takes.

    Raises
    ------
    CameraError
        If there is no such camera, it cannot be opened, or it does not offer that size.
    """
    kind, _, which = name.partition(":")
    if size is not None and min(size) < 1:
        raise CameraError(f"{size[0]} x {size[1]} px: not a frame size")
    if kind == "picamera2":
        number = _number(name, which or "0")
        return PiCamera(number, name=name, size=size, sensor_bits=sensor_bits, buffers=buffers)
    if sensor_bits is not None:
        raise CameraError(f"{name}: has no sensor modes to choose from; leave out --sensor-bits")
    if buffers is not None:
        raise CameraError(f"{name}: has no buffers to choose; leave out --camera-buffers")
    if kind == "v4l2":
        return V4l2Camera(_number(name, which), size=size)
    if kind == "simulate":
        from edge.simulate import SimulatedCamera  # other counts start without it, 15 ms earlier

        return SimulatedCamera(_number(name, which or "0"), name=name, size=size, done=done)
    if kind not in ("watch", "video"):
        raise CameraError(f"no kind of camera is called {kind!r}; use {KINDS}")
    if not which:
        raise CameraError(f"{name}: needs a path, as in {kind}:{'FOLDER' if kind == 'watch' else 'FILE'}")
    if size is not None:
        raise CameraError(f"{name}: files have their own size; leave out --size")
    opened = FolderCamera if kind == "watch" else VideoCamera
    return opened(Path(which), root=root, done=done, read=read)


def tuning_of(name: str) -> str:
    """Return libcamera's tuning of a camera, by name and hash; empty for a camera that is not libcamera's.

    Raises
    ------
    CameraError
        If there is no such camera, or it is in use.
    """
    kind, _, which = name.partition(":")
    return pi_cameras.tuning_of(_number(name, which or "0"), name) if kind == "picamera2" else ""


def is_device(name: str) -> bool:
    """Return whether the camera of a name is one that takes a frame whenever it is asked to."""
    return name.partition(":")[0] in ("picamera2", "v4l2")


def _number(name: str, text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise CameraError(f"{name}: {text!r} is not a number")
    return int(text)


def list_cameras() -> tuple[list[CameraInfo], list[str]]:
    """Return the cameras of this machine, and one line per kind of camera that could not be looked for."""
    found: list[CameraInfo] = []
    notes: list[str] = []
    try:
        found += pi_cameras.list_cameras()
    except CameraError as error:
        notes.append(str(error))
    return [*found, *v4l2.list_cameras(), CameraInfo("simulate", "simulated blood cells")], notes
