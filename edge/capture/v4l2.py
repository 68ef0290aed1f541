"""``v4l2:N``: USB cameras and other ``/dev/videoN`` devices, through OpenCV."""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Frame
from edge.capture.camera import CameraAbsentError, CameraError, CameraInfo, CameraSettings, CameraTimeoutError
from edge.capture.exposed import exposed
from edge.capture.exposure import clear_field, converge
from edge.capture.grey import to_grey

DEVICES = Path("/dev")

WAIT_S = 1
"""Time for which OpenCV waits for a frame: whole seconds only, by default 10."""

IN_FLIGHT = 5
"""Frames that may still show earlier settings: OpenCV's four buffers, and one."""

MANUAL = 1
"""V4L2_EXPOSURE_MANUAL: the camera keeps its exposure."""

_EXPOSURE_UNIT_US = 100  # of V4L2_CID_EXPOSURE_ABSOLUTE
_LARGEST = (10_000, 10_000)  # drivers answer with the nearest size that they have
_SIDES = (cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT)
_MJPG = cv2.VideoWriter.fourcc(*"MJPG")

_VIDIOC_QUERYCAP = 0x80685600
_CAPABILITY = struct.Struct("16s32s32sIII12x")  # struct v4l2_capability
_VIDIOC_ENUM_FMT = 0xC0405602
_FORMAT = struct.Struct("III32s4s16x")  # struct v4l2_fmtdesc
_VIDIOC_ENUM_FRAMESIZES = 0xC02C564A
_FRAME_SIZE = struct.Struct("I4sI6I8x")  # struct v4l2_frmsizeenum
_DISCRETE = 1  # otherwise the third and fifth numbers of a size are those of a range
_MOST_ENTRIES = 64
_VIDEO_CAPTURE = 0x1
_HAS_DEVICE_CAPS = 0x80000000
# nodes of a Raspberry Pi's own cameras: raw sensor data for libcamera
_RAW_DRIVERS = ("unicam", "rp1-cfe", "bcm2835-isp", "pispbe")


class V4l2Camera:
    """A V4L2 camera; see `edge.capture.camera.Camera` for the methods.

    Gain is the driver's own number, and unchanged unless it is set. White balance is locked as it is.
    """

    paced = True

    def __init__(self, number: int, *, size: tuple[int, int] | None = None) -> None:
        self.name = f"v4l2:{number}"
        self._device = DEVICES / f"video{number}"
        # read by OpenCV when it first waits
        os.environ.setdefault("OPENCV_VIDEOIO_V4L_SELECT_TIMEOUT", str(WAIT_S))
        self._capture = cv2.VideoCapture(number, cv2.CAP_V4L2)
        if not self._capture.isOpened():
            if not self._device.exists():
                raise CameraAbsentError(
                    f"{self.name}: {self._device} is not there: connect the camera, or take another of leuko"
                    " camera list"
                )
            raise CameraError(f"{self.name}: {self._device} is in use, or not a camera")
        given = self._choose(size)
        if size is not None and given != size:
            self.close()
            asked, nearest = (f"{width}x{height}" for width, height in (size, given))
            raise CameraError(f"{self.name}: has no size of {asked} px; the nearest is --size {nearest}")
        self._exposure_given = False
        self._grabbed = 0

    def settle(self, timeout_s: float) -> CameraSettings:
        """Expose the clear field to its grey level, and lock exposure and white balance."""
        end = time.monotonic() + timeout_s

        def measure(exposure_us: float) -> tuple[float, float]:
            self._set_exposure(exposure_us)
            self._skip(IN_FLIGHT, end)
            return self._exposure_us() or exposure_us, clear_field(self._retrieve())

        self._capture.set(cv2.CAP_PROP_AUTO_WB, 1)
        exposure_us = self._exposure_us()
        if self._exposure_given or exposure_us is None:
            self._skip(IN_FLIGHT, end)
        else:
            self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, MANUAL)
            converge(measure, exposure_us)
        self._capture.set(cv2.CAP_PROP_AUTO_WB, 0)
        return CameraSettings(self._exposure_us(), self._get(cv2.CAP_PROP_GAIN))

    def apply(self, settings: CameraSettings, timeout_s: float) -> None:
        """Lock exposure and gain; V4L2 has no colour gains."""
        if settings.colour_gains is not None:
            raise CameraError(f"{self.name}: colour gains cannot be set")
        if settings.exposure_us is not None:
            self._capture.set(cv2.CAP_PROP_AUTO_EXPOSURE, MANUAL)
            self._set_exposure(settings.exposure_us)
            self._exposure_given = True
        if settings.gain is not None and not self._capture.set(cv2.CAP_PROP_GAIN, settings.gain):
            raise CameraError(f"{self.name}: its gain cannot be set to {settings.gain:g}")
        self._capture.set(cv2.CAP_PROP_AUTO_WB, 0)
        self._skip(IN_FLIGHT, time.monotonic() + timeout_s)

    def grab(self, timeout_s: float) -> Frame:
        """Return the next frame; a started wait lasts up to `WAIT_S`, whatever the timeout."""
        self._wait(timeout_s)
        exposed_ms = self._capture.get(cv2.CAP_PROP_POS_MSEC)  # monotonic; 0 if the driver has none
        at_ns = round(exposed_ms * 1e6) if exposed_ms > 0 else None
        time_ns, clock_ns = exposed(time.CLOCK_MONOTONIC, at_ns)
        image = self._retrieve()
        self._grabbed += 1
        index = self._grabbed - 1
        name, settings = f"{self.name}#{index}", self._settings()
        return Frame(image, name, index, time_ns, settings, clock_ns=clock_ns)

    def close(self) -> None:
        """Release the device."""
        self._capture.release()

    def _choose(self, size: tuple[int, int] | None) -> tuple[int, int]:
        """Take the size, or the nearest to it; as Motion JPEG if no uncompressed format has it.

        USB carries large frames only compressed, so many cameras have their largest size as MJPG alone.
        """
        wanted = size or _LARGEST

        def distance(given: tuple[int, int]) -> int:
            return sum(abs(a - b) for a, b in zip(given, wanted, strict=True))

        uncompressed = int(self._capture.get(cv2.CAP_PROP_FOURCC))
        given = self._ask(wanted)
        if given == size:
            return given
        self._capture.set(cv2.CAP_PROP_FOURCC, _MJPG)
        compressed = self._ask(wanted)
        if distance(compressed) < distance(given):
            return compressed
        self._capture.set(cv2.CAP_PROP_FOURCC, uncompressed)
        return self._ask(wanted)

    def _ask(self, size: tuple[int, int]) -> tuple[int, int]:
        """Ask for a size in the present format, and return what the camera gives instead."""
        for side, pixels in zip(_SIDES, size, strict=True):
            self._capture.set(side, pixels)
        width, height = (int(self._capture.get(side)) for side in _SIDES)
        return width, height

    def _wait(self, timeout_s: float) -> None:
        """Wait for a frame without decoding it."""
        begun = time.monotonic()
        end = begun + timeout_s
        while not self._capture.grab():
            now = time.monotonic()
            if now - begun < WAIT_S / 2 or not self._device.exists():
                raise CameraError(f"{self.name}: gives no more frames; unplugged?")
            if now >= end:
                raise CameraTimeoutError(f"{self.name}: no frame for {timeout_s:g} s")
            begun = now

    def _retrieve(self) -> NDArray[np.uint8]:
        """Decode the frame of the last wait to grey."""
        try:
            found, image = self._capture.retrieve()
        except cv2.error:
            found = False
        if not found:
            raise CameraError(f"{self.name}: a frame was damaged in transfer")
        return to_grey(image)

    def _skip(self, frames: int, end: float) -> None:
        """Discard frames until `end` on the monotonic clock at the latest."""
        for _ in range(frames):
            if time.monotonic() >= end:
                raise CameraTimeoutError(f"{self.name}: does not settle in time")
            self._wait(end - time.monotonic())

    def _get(self, control: int) -> float | None:
        """Return the value of a control, None if the camera has no such control."""
        value = self._capture.get(control)
        return None if value == -1 else value

    def _exposure_us(self) -> int | None:
        value = self._get(cv2.CAP_PROP_EXPOSURE)
        return None if value is None else round(value * _EXPOSURE_UNIT_US)

    def _set_exposure(self, exposure_us: float) -> None:
        if not self._capture.set(cv2.CAP_PROP_EXPOSURE, max(1, round(exposure_us / _EXPOSURE_UNIT_US))):
            raise CameraError(f"{self.name}: its exposure cannot be set to {exposure_us:.0f} µs")

    def _settings(self) -> dict[str, float | str]:
        values = {
            "exposure_us": self._exposure_us(),
            "gain": self._get(cv2.CAP_PROP_GAIN),
            "white_balance_k": self._get(cv2.CAP_PROP_WB_TEMPERATURE),
        }
        return {name: value for name, value in values.items() if value is not None}


def devices() -> list[Path]:
    """Return the video devices, whatever they are, in the order of their numbers."""
    numbered = {int(path.name[5:]): path for path in DEVICES.glob("video*") if path.name[5:].isdecimal()}
    return [numbered[number] for number in sorted(numbered)]


def list_cameras() -> list[CameraInfo]:
    """List the V4L2 devices that capture frames, and those that cannot be opened."""
    found = []
    for device in devices():
        sizes: dict[str, list[tuple[int, int]]] = {}
        try:
            description = describe(device)
            sizes = formats(device) if description else {}
        except OSError as error:
            description = f"{device} cannot be opened: {error.strerror}"
        if description:
            found.append(CameraInfo(f"v4l2:{device.name[5:]}", description, sizes))
    return found


def formats(device: Path) -> dict[str, list[tuple[int, int]]]:
    """Return the sizes of each pixel format that a device lists, largest first; of a range its largest."""
    descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    found: dict[str, list[tuple[int, int]]] = {}
    try:
        for index in range(_MOST_ENTRIES):
            answer = _ioctl(descriptor, _VIDIOC_ENUM_FMT, _FORMAT.pack(index, _VIDEO_CAPTURE, 0, b"", b""))
            if not answer:
                break
            code = _FORMAT.unpack(answer)[4]
            found[code.decode("ascii", "replace").strip()] = sorted(
                set(_sizes(descriptor, code)), reverse=True
            )
    finally:
        os.close(descriptor)
    return found


def _sizes(descriptor: int, code: bytes) -> Iterator[tuple[int, int]]:
    for index in range(_MOST_ENTRIES):
        answer = _ioctl(descriptor, _VIDIOC_ENUM_FRAMESIZES, _FRAME_SIZE.pack(index, code, *[0] * 7))
        if not answer:
            return
        _, _, kind, *numbers = _FRAME_SIZE.unpack(answer)
        yield (numbers[0], numbers[1]) if kind == _DISCRETE else (numbers[1], numbers[4])
        if kind != _DISCRETE:
            return


def _ioctl(descriptor: int, request: int, argument: bytes) -> bytes:
    """Return a driver's answer; empty if it has none, as behind the last entry of a list."""
    try:
        return fcntl.ioctl(descriptor, request, argument)
    except OSError:
        return b""


def describe(device: Path) -> str:
    """Return the name that a device gives (VIDIOC_QUERYCAP); empty unless it captures frames."""
    descriptor = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    try:
        answer = fcntl.ioctl(descriptor, _VIDIOC_QUERYCAP, bytes(_CAPABILITY.size))
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    driver, card, _, _, of_all, of_this = _CAPABILITY.unpack(answer)
    captures = (of_this if of_all & _HAS_DEVICE_CAPS else of_all) & _VIDEO_CAPTURE
    name, kind = (text.split(b"\0")[0].decode(errors="replace") for text in (card, driver))
    return f"{name} ({kind})" if captures and not kind.startswith(_RAW_DRIVERS) else ""
