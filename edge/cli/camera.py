"""``leuko camera``: what cameras there are, what one sees, and what it settles on."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import FailedFrame, Frame, write_atomically
from edge.calibration import Calibration, default_calibration_path
from edge.capture import CameraError, CameraSettings, LiveSettings, clear_field, live_frames
from edge.cli.errors import one_line_errors
from edge.cli.options import (
    FiniteRange,
    NamedPath,
    bundle_option,
    json_option,
    pixel_option,
    quiet_libraries,
    stop_requests,
)
from edge.find import divide_flat_field, focus
from edge.run import Instrument, list_cameras, open_camera

FRAME_S = 5.0
"""How long a frame may take, once the camera has settled."""


def _size(context: click.Context, parameter: click.Parameter, text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    width, _, height = text.partition("x")
    if not (text.isascii() and width.isdigit() and height.isdigit()):
        raise click.BadParameter(f"{text!r} is not WIDTHxHEIGHT", context, parameter)
    return int(width), int(height)


size_option = click.option(
    "--size", callback=_size, metavar="WIDTHxHEIGHT", help="Frame size, px; by default the largest."
)
timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=FiniteRange(0, min_open=True),
    default=30,
    show_default=True,
    help="Seconds that the camera may take to settle.",
)


@click.group()
def camera() -> None:
    """Cameras: what there are, what one sees, what it settles on.

    CAMERA is picamera2, picamera2:N, v4l2:N, watch:FOLDER, video:FILE, simulate or simulate:SEED.
    """


@camera.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the cameras of this machine."""
    with quiet_libraries():
        found, notes = list_cameras()
    if as_json:
        cameras = [{"name": one.name, "description": one.description} for one in found]
        click.echo(json.dumps({"cameras": cameras, "notes": notes}))
        return
    width = max(len(one.name) for one in found)
    for one in found:
        click.echo(f"{one.name:{width}}  {one.description}")
    for note in notes:
        click.echo(note, err=True)


@camera.command()
@click.argument("name", metavar="CAMERA")
@click.option(
    "--out", type=NamedPath(dir_okay=False, path_type=Path), required=True, help="Write the frame here (PNG)."
)
@click.option("--exposure-us", type=click.IntRange(1), help="Expose so long; the rest settles.")
@click.option("--gain", type=FiniteRange(0), help="Amplify so much; the rest settles.")
@size_option
@bundle_option
@click.option(
    "--calibration",
    metavar="FILE",
    type=NamedPath(dir_okay=False),
    help="Calibration of the microscope; by default this device's.",
)
@pixel_option
@timeout_option
@json_option
def preview(
    name: str,
    out: Path,
    exposure_us: int | None,
    gain: float | None,
    size: tuple[int, int] | None,
    bundle: str,
    calibration: str | None,
    pixel_um: float | None,
    timeout_s: float,
    as_json: bool,
) -> None:
    """Write one settled frame of CAMERA as a PNG, and print its numbers.

    Brightness is the grey level of the clear field, 0 to 255; saturated the share of pixels at 255; focus, 0
    to 1 and largest where the image is sharpest, what leuko count holds against the calibration's limit.
    """
    with one_line_errors(ValueError):
        if calibration is None and default_calibration_path().exists():
            calibration = str(default_calibration_path())
        instrument = Instrument.load(bundle, calibration)
    locked = CameraSettings(exposure_us, gain)
    frame = _one_frame(name, size, locked if locked != CameraSettings() else None, timeout_s)
    image = frame.image
    height, width = image.shape
    with one_line_errors(ValueError):  # a calibration's pixel and flat field of different sizes
        sharp, unknown = _focus(image, instrument, pixel_um)
    numbers = {
        "width": width,
        "height": height,
        "brightness": clear_field(image),
        "saturated": float((image == 255).mean()),
        "focus": sharp,
        "min_focus": (instrument.calibration or Calibration()).quality.min_focus,
    }
    with one_line_errors():
        write_atomically(out, cv2.imencode(".png", image)[1].tobytes())
    if as_json:
        said = {"camera": name, "file": str(out), **numbers, "settings": dict(frame.settings)}
        click.echo(json.dumps(said))
        return
    least = f"at least {numbers['min_focus']:g}"
    focused = f"not known: {unknown}" if sharp is None else f"{sharp:.3f}, {least}"
    click.echo(
        f"{width} x {height} px, brightness {numbers['brightness']:.1f}, "
        f"saturated {numbers['saturated']:.2%}, focus {focused}"
    )
    click.echo(f"preview: {out}", err=True)


@camera.command()
@click.argument("name", metavar="CAMERA")
@size_option
@timeout_option
@json_option
def settle(name: str, size: tuple[int, int] | None, timeout_s: float, as_json: bool) -> None:
    """Let CAMERA settle, and print what it locked: a line a setting, with its unit in its name.

    The camera forgets it when it is closed: counting settles by itself.
    """
    settings: dict[str, Any] = dict(_one_frame(name, size, None, timeout_s).settings)
    if as_json:
        click.echo(json.dumps({"camera": name, "settings": settings}))
        return
    for setting, value in settings.items():
        click.echo(f"{setting} {value}")
    if not settings:
        click.echo(f"{name} has nothing to settle", err=True)


def _focus(
    image: NDArray[np.uint8], instrument: Instrument, pixel_um: float | None
) -> tuple[float | None, str]:
    """Focus of a frame, uint8 [h, w], as counting measures it; or None, and why."""
    size_px = instrument.size_px(calibrated_pixel=pixel_um is None and instrument.calibrated)
    if size_px not in (None, image.shape[::-1]):
        return None, f"the calibration is for frames of {' x '.join(map(str, size_px or ()))} px"
    if instrument.gain is not None:
        image = divide_flat_field(image, instrument.gain)
    return focus(image, pixel_um or instrument.pixel_um), "the frame shows no fine detail to judge it by"


def _one_frame(
    name: str, size: tuple[int, int] | None, settings: CameraSettings | None, timeout_s: float
) -> Frame:
    """First frame of a camera with locked settings; neither one that hangs nor an empty folder hangs this."""
    with ExitStack() as stack:
        stack.enter_context(one_line_errors(CameraError))
        stack.enter_context(quiet_libraries())
        stop = stack.enter_context(stop_requests())
        limit = threading.Timer(timeout_s + FRAME_S, stop.set)
        stack.callback(limit.cancel)
        limit.start()
        open_ = partial(open_camera, name, size=size)
        live = LiveSettings(lock=settings or CameraSettings(), open_timeout_s=timeout_s)
        frame = next(live_frames(open_, stop=stop, settings=live), None)
        if frame is None:
            raise CameraError(f"{name}: gave no frame")
        if isinstance(frame, FailedFrame):
            raise CameraError(f"{frame.name}: {frame.reason}")
        return frame
