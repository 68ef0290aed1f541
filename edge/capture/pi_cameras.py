"""The cameras of libcamera, through picamera2: which there are, and how one is opened with its tuning."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.capture.camera import CameraError, CameraInfo
from edge.capture.pi_errors import absent, explained, reason, why_none
from edge.capture.tuning import Tuning, load_tuning


def open_tuned(
    number: int, name: str, edit: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
) -> tuple[Any, Tuning | None]:
    """Open a camera with the tuning for its sensor; None, and libcamera's own, if there is none.

    libcamera reads a tuning while it looks for cameras (0.7.1, pipeline_base.cpp: registerCamera), and looks
    again once picamera2 has closed its last one (0.3.36, CameraManager.cleanup): so the camera is opened to
    learn its sensor, closed, and opened with the sensor's tuning.

    Raises RuntimeError or OSError as picamera2 does, CameraError if there is no such camera.
    """
    cameras = load_picamera2().Picamera2
    known = cameras.global_camera_info()
    if number >= len(known):
        raise absent(name, number, known)
    camera = cameras(number)
    properties = camera.camera_properties
    try:
        model, filters = str(properties.get("Model", "")), properties.get("ColorFilterArrangement")
        tuning = load_tuning(cameras.load_tuning_file, model, filters)
        if tuning is None:
            return camera, None
    # also when interrupted: the camera must be free for the next program
    except BaseException:
        camera.close()
        raise
    camera.close()
    del camera
    try:
        return cameras(number, tuning=edit(tuning.content)), tuning
    except IndexError as error:
        raise CameraError(
            f"{name}: libcamera does not take tuning {tuning.name}: report this line"
        ) from error


def tuning_of(number: int, name: str) -> str:
    """Return the name of a camera's tuning; empty if there is none for it."""
    try:
        camera, tuning = open_tuned(number, name)
    except (RuntimeError, OSError) as error:
        raise CameraError(f"{name}: {explained(error)}") from error
    camera.close()
    return tuning.name if tuning else ""


def why_no_camera() -> str:
    """Return why libcamera finds none, and what to do."""
    return why_none() if importlib.util.find_spec("picamera2") else "sudo apt install python3-picamera2"


def list_cameras() -> list[CameraInfo]:
    """Return the cameras of libcamera except USB cameras, which `edge.capture.v4l2` finds."""
    known = load_picamera2().Picamera2.global_camera_info()
    return [
        CameraInfo(f"picamera2:{number}", str(camera.get("Model", camera["Id"])), _modes(number))
        for number, camera in enumerate(known)
        if "/usb" not in camera["Id"]
    ]


def _modes(number: int) -> dict[str, list[tuple[int, int]]]:
    """Return the sizes of a sensor's modes by their bits; empty if it cannot be opened, or has none."""
    try:
        camera = load_picamera2().Picamera2(number)
    except (RuntimeError, OSError):
        return {}
    try:
        modes = raw_modes(camera)
    finally:
        camera.close()
    sizes: dict[str, list[tuple[int, int]]] = {}
    for size, bits in sorted(modes, reverse=True):
        sizes.setdefault(f"{bits} bit", []).append(size)
    return sizes


def raw_modes(camera: Any) -> list[tuple[tuple[int, int], int]]:
    """Return size and bits of each of a sensor's modes; none of a camera without raw frames.

    picamera2's own `sensor_modes` takes buffers for each, for which a Zero 2 W has no memory
    (github.com/raspberrypi/picamera2/issues/1358).
    """
    import libcamera  # type: ignore[import-not-found]  # a Raspberry Pi's system packages have both
    from picamera2.sensor_format import SensorFormat  # type: ignore[import-not-found]

    raw = camera.camera.generate_configuration([libcamera.StreamRole.Raw])
    if raw is None:  # such as of libcamera's virtual camera
        return []
    formats = raw.at(0).formats
    return [
        ((size.width, size.height), SensorFormat(str(pixels)).bit_depth)
        for pixels in formats.pixel_formats
        for size in formats.sizes(pixels)
    ]


def load_picamera2() -> Any:
    """Import picamera2 from the system's packages: pip's would miss libcamera, which is not on PyPI."""
    try:
        import picamera2  # type: ignore[import-not-found]
    except ImportError as error:
        if sys.prefix != sys.base_prefix and Path("/usr/lib/python3/dist-packages/picamera2").exists():
            raise CameraError(
                "picamera2 is invisible in this environment: set include-system-site-packages = true in "
                f"{sys.prefix}/pyvenv.cfg"
            ) from error
        raise CameraError("picamera2 is missing: sudo apt install python3-picamera2") from error
    except Exception as error:  # such as binary parts that do not fit this environment's numpy
        raise CameraError(f"picamera2 cannot be imported: {reason(error)}") from error
    return picamera2
