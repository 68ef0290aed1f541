"""``leuko camera`` lists cameras, previews one, and settles its exposure."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import click

from edge.base import FailedFrame, Frame
from edge.capture import CameraError, LiveSettings, live_frames
from edge.cli.camera_view import View, Watch, image_path, write_image
from edge.cli.errors import one_line_errors
from edge.cli.options import (
    FiniteRange,
    NamedPath,
    declared_options,
    force_option,
    json_option,
    quiet_libraries,
    require_free,
    require_out,
    stop_requests,
)
from edge.cli.output import echo
from edge.run import (
    CameraConfig,
    CountConfig,
    camera_calibration,
    list_cameras,
    open_camera,
)

FRAME_S = 5.0
"""How long a frame may take, once the camera has settled."""

timeout_option = click.option(
    "--timeout",
    "timeout_s",
    type=FiniteRange(0, min_open=True),
    default=30,
    show_default=True,
    help="Seconds within which the camera must settle.",
)


@click.group()
def camera() -> None:
    """List cameras, preview one, settle its exposure.

    CAMERA is picamera2, picamera2:N, v4l2:N, watch:FOLDER, video:FILE, simulate or simulate:SEED.
    """


@camera.command(name="list")
@json_option
def list_(as_json: bool) -> None:
    """List the cameras of this machine, with the pixel formats and frame sizes that they state."""
    with quiet_libraries():
        found, notes = list_cameras()
    if as_json:
        cameras = [
            {"name": one.name, "description": one.description, "formats": dict(one.formats)} for one in found
        ]
        echo(json.dumps({"cameras": cameras, "notes": notes}))
        return
    width = max(len(one.name) for one in found)
    for one in found:
        echo(f"{one.name:{width}}  {one.description}")
        for pixels, sizes in one.formats.items():
            echo(f"{'':{width}}  {pixels}: {', '.join(f'{across}x{down}' for across, down in sizes)}")
    for note in notes:
        echo(note, err=True)


@camera.command()
@click.argument("name", metavar="CAMERA")
@click.option(
    "--out",
    type=NamedPath(dir_okay=False, path_type=Path),
    callback=image_path,
    help="Write the frame here, as PNG, JPEG, TIFF or BMP by its suffix; with --watch the last one.",
)
@click.option(
    "--watch", is_flag=True, help="Show the measures of every frame until Ctrl-C: turn the focus knob."
)
@declared_options(CameraConfig, only=("size", "sensor_bits", "exposure_us", "gain"))
@declared_options(CountConfig, only=("bundle", "calibration", "pixel_um"))
@timeout_option
@force_option
@json_option
def preview(
    name: str,
    out: Path | None,
    watch: bool,
    force: bool,
    bundle: str | None,
    calibration: str | None,
    pixel_um: float | None,
    timeout_s: float,
    as_json: bool,
    **camera_options: Any,
) -> None:
    """Write one settled frame of CAMERA, and print its measures; or watch them.

    Brightness is the grey level of the clear field, 0 to 255; saturated the share of pixels at 255; focus, 0
    to 1 and largest where the image is sharpest, is what leuko count compares with the calibration's limit.
    With --watch, a bar shows the focus in a terminal, full at the largest so far; elsewhere each frame is a
    line. Exposure stays as it settled at the beginning. No bundle is needed: one only states the pixel size
    where nothing else does.
    """
    if out is None and not watch:
        raise click.UsageError(
            "pass --out FILE to write a frame, or --watch to see the measures of every frame"
        )
    require_out(force, out)
    if out is not None:
        require_free(force, out)
    with one_line_errors(ValueError):
        view = View.load(camera_calibration(calibration, name), bundle, pixel_um)
    config = CameraConfig(name=name, **camera_options)
    if watch:
        frame = _watched(Watch(view, name, as_json), config, timeout_s)
        if out is not None:
            write_image(out, frame.image)
            echo(f"preview: {out}", err=True)
        return
    assert out is not None
    frame = _one_frame(config, timeout_s)
    with one_line_errors(ValueError):  # a calibration's pixel and flat field of different sizes
        measures = view.measures(frame)
    unknown = measures.pop("unknown", "")
    write_image(out, frame.image)
    if as_json:
        echo(json.dumps({"camera": name, "file": str(out), **measures, "settings": dict(frame.settings)}))
        return
    focused = (
        f"not known: {unknown}" if unknown else f"{measures['focus']:.3f}, at least {measures['min_focus']:g}"
    )
    echo(
        f"{measures['width']} x {measures['height']} px, brightness {measures['brightness']:.1f}, "
        f"saturated {measures['saturated']:.2%}, focus {focused}"
    )
    echo(f"preview: {out}", err=True)


@camera.command()
@click.argument("name", metavar="CAMERA")
@declared_options(CameraConfig, only=("size", "sensor_bits"))
@timeout_option
@json_option
def settle(name: str, timeout_s: float, as_json: bool, **camera_options: Any) -> None:
    """Let CAMERA settle, and print what it locked: one setting per line, with its unit in its name.

    The camera forgets it when it is closed: counting settles again.
    """
    settings: dict[str, Any] = dict(_one_frame(CameraConfig(name=name, **camera_options), timeout_s).settings)
    if as_json:
        echo(json.dumps({"camera": name, "settings": settings}))
        return
    for setting, value in settings.items():
        echo(f"{setting} {value}")
    if not settings:
        echo(f"{name} has nothing to settle", err=True)


def _watched(watch: Watch, camera: CameraConfig, timeout_s: float) -> Frame:
    """Show a camera's frames until a signal or its end, and return the last one."""
    last: Frame | None = None
    with one_line_errors(CameraError, ValueError), quiet_libraries(), stop_requests() as stop:
        open_ = partial(open_camera, camera.name, size=camera.size, sensor_bits=camera.sensor_bits)
        # only the newest frame shows where the knob is
        live = LiveSettings(lock=camera.settings, open_timeout_s=timeout_s, buffer_frames=1)
        frames = live_frames(open_, stop=stop, settings=live)
        with closing(frames):
            for frame in frames:
                watch.show(frame)
                last = frame if isinstance(frame, Frame) else last
        watch.end()
        if last is None:
            raise CameraError(f"{camera.name}: gave no frame")
    return last


def _one_frame(camera: CameraConfig, timeout_s: float) -> Frame:
    """Return a camera's first frame; neither a camera that hangs nor an empty folder blocks for longer."""
    name = camera.name
    with ExitStack() as stack:
        stack.enter_context(one_line_errors(CameraError))
        stack.enter_context(quiet_libraries())
        stop = stack.enter_context(stop_requests())
        limit = threading.Timer(timeout_s + FRAME_S, stop.set)
        stack.callback(limit.cancel)
        limit.start()
        open_ = partial(open_camera, name, size=camera.size, sensor_bits=camera.sensor_bits)
        live = LiveSettings(lock=camera.settings, open_timeout_s=timeout_s)
        frame = next(live_frames(open_, stop=stop, settings=live), None)
        if frame is None:
            raise CameraError(f"{name}: gave no frame")
        if isinstance(frame, FailedFrame):
            raise CameraError(f"{frame.name}: {frame.reason}")
        return frame
