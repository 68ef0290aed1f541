"""What ``leuko camera preview`` shows of a frame: focus, brightness and clipping, also frame after frame."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import FailedFrame, Frame, write_atomically
from edge.calibration import Calibration, read_calibration, read_flat_field_gain
from edge.capture import clear_field
from edge.cli.errors import one_line_errors
from edge.cli.output import echo, rewrite
from edge.find import DEFAULT_PIXEL_UM, divide_flat_field, focus
from edge.model import load_bundle, read_device_settings

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp")

BAR = 30
"""Columns of the bar, which is full at the largest focus so far."""


@dataclass(frozen=True, eq=False)
class View:
    """How frames are measured: as counting does with this calibration and pixel size.

    Attributes
    ----------
    sized : bool
        Whether the pixel size is the calibration's, and so for frames of one size.
    gain : float32 [h, w] or None
        Of the flat field.
    """

    calibration: Calibration
    gain: NDArray[np.float32] | None
    pixel_um: float
    sized: bool

    @classmethod
    def load(cls, calibration: str | None, bundle: str | None, pixel_um: float | None) -> View:
        """Load a calibration, and a bundle only where nothing else states the pixel size.

        Raises
        ------
        BundleError, CalibrationFileError
            If one of them cannot be used.
        """
        known = Calibration() if calibration is None else read_calibration(Path(calibration))
        gain, pixel = None, known.pixel
        if calibration and known.flat_field:
            gain = read_flat_field_gain(Path(calibration).parent, known.flat_field)
        chosen_um = pixel_um or (pixel.pixel_um if pixel else None)
        if chosen_um is None and (named := bundle or read_device_settings().bundle):
            chosen_um = load_bundle(named).manifest.pixel_um
        if chosen_um is None:
            echo(
                "the pixel size is not known, and the focus is that of frames of"
                f" {DEFAULT_PIXEL_UM:g} µm: pass --pixel-um",
                err=True,
            )
        return cls(known, gain, chosen_um or DEFAULT_PIXEL_UM, sized=pixel_um is None and pixel is not None)

    def measures(self, frame: Frame) -> dict[str, Any]:
        """Return the measures of a frame; where there is no `focus` it is None, and `unknown` says why."""
        image = frame.image
        height, width = image.shape
        value, unknown = self._focus(image, frame.settings.get("tuning"))
        return {
            "width": width,
            "height": height,
            "brightness": clear_field(image),
            "saturated": float((image == 255).mean()),
            "focus": value,
            "min_focus": self.calibration.quality.min_focus,
        } | ({"unknown": unknown} if unknown else {})

    def _focus(self, image: NDArray[np.uint8], tuning: object) -> tuple[float | None, str]:
        size_px = self.calibration.size_px(calibrated_pixel=self.sized)
        if size_px not in (None, image.shape[::-1]):
            sized = " x ".join(map(str, size_px or ()))
            return None, f"the calibration is for frames of {sized} px"
        flat = self.calibration.flat_field
        if flat and flat.tuning and tuning not in (None, flat.tuning):
            return None, f"the flat field is for frames of tuning {flat.tuning}: leuko calibrate flatfield"
        if self.gain is not None:
            image = divide_flat_field(image, self.gain)
        value = focus(image, self.pixel_um)
        return value, "" if value is not None else "the frame shows no fine detail to judge it by"


@dataclass
class Watch:
    """Shows frame after frame: a bar that a terminal redraws in place, or one line each.

    Attributes
    ----------
    frames : int
        Frames shown.
    best : float
        Largest focus so far.
    """

    view: View
    camera: str
    as_json: bool
    frames: int = 0
    best: float = 0.0
    _in_place: bool = field(init=False)

    def __post_init__(self) -> None:
        self._in_place = sys.stdout.isatty() and not self.as_json

    def show(self, frame: Frame | FailedFrame) -> None:
        """Show a frame, or why there was none."""
        if isinstance(frame, FailedFrame):
            self.end()
            echo(f"{frame.name}: {frame.reason}", err=True)
            return
        measures = self.view.measures(frame)
        self.best = max(self.best, measures["focus"] or 0.0)
        self.frames += 1
        if self.as_json:
            echo(
                json.dumps({"camera": self.camera, "frame": frame.name, **measures, "best_focus": self.best})
            )
            return
        line = self._line(measures)
        if self._in_place:
            columns = shutil.get_terminal_size().columns - 1
            rewrite(line[:columns])
        else:
            echo(line)

    def end(self) -> None:
        """Leave the last line of a terminal as it is."""
        if self._in_place and self.frames:
            echo("")

    def _line(self, measures: dict[str, Any]) -> str:
        light = f"brightness {measures['brightness']:3.0f}, saturated {measures['saturated']:.2%}"
        value = measures["focus"]
        if value is None:
            return f"focus not known: {measures['unknown']}; {light}"
        filled = round(BAR * value / self.best) if self.best else 0
        bar = "█" * filled + "░" * (BAR - filled)
        return f"focus {value:.3f} {bar} best {self.best:.3f}, {light}"


def write_image(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image in the format of its suffix, one of `IMAGE_SUFFIXES`."""
    with one_line_errors():
        write_atomically(path, cv2.imencode(path.suffix.lower(), image)[1].tobytes())


def image_path(context: click.Context, parameter: click.Parameter, path: Path | None) -> Path | None:
    """Refuse a file whose suffix names no image format that is written."""
    if path is not None and path.suffix.lower() not in IMAGE_SUFFIXES:
        raise click.BadParameter(f"{path}: end its name in {', '.join(IMAGE_SUFFIXES)}")
    return path
