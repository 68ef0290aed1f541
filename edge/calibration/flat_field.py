"""Illumination of the empty field, estimated from blank frames; its file, and the flat-field gain from it.

The estimate is a small map: light falls off slowly, and whatever is sharp in a blank frame is a cell or a
speck, which other frames do not have at that place.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import FailedFrame, Frame, read_input, write_atomically
from edge.calibration.file import CalibrationFileError, FlatFieldCalibration
from edge.find import Map, flat_field_gain, light

MAP_PX = 512
"""Longer side of the map, to which frames are reduced."""

SMOOTHING_PX = 2.0
"""Standard deviation of the Gaussian that removes the remaining noise of the reduced frames."""

MOST_FRAME_PX = 100_000_000
"""Largest frame with a flat field: its gain takes 4 bytes per pixel."""

_MOST_BYTES = 4 * MAP_PX * MAP_PX
_MAP_HEADER = re.compile(rb"\x89PNG\r\n\x1a\n\0\0\0\rIHDR(....)(....)\x10\0", re.DOTALL)
"""The beginning of a PNG of 16 bits and one channel, with width and height."""

MIN_FRAMES = 5
"""With fewer, the median keeps a cell that lies at one place in two of them."""

LEAST_PX = 64
"""Shorter side of the smallest frame: in less, fall-off of light and a speck look the same."""

DARKEST = 30.0
"""Least median grey level of a blank frame: below, one grey level is more than 3 % of the light."""

MAX_SATURATED = 0.001
"""Largest share of pixels at 255, whose true brightness is unknown."""

MAX_DRIFT = 0.2
"""Largest relative difference of a frame's median grey level from the median of all frames."""

SPECK = 0.03
"""Relative departure from the light from which a pixel of a reduced frame shows an object."""

MAX_SPECKS = 0.03
"""Largest share of such pixels in a blank frame: a few cells, but no grid and no sample."""

LOCAL_PX = 31
"""Side of the median filter that separates structure from fall-off in the map: twice a cell's width."""

MAX_STRUCTURE = 0.01
"""Largest share of pixels that depart from that median by `SPECK`: dust on the optics is softer."""

LEAST_LIGHT = 0.1
"""Least light anywhere, relative to the mean: division by less would show only noise."""


class FlatFieldError(ValueError):
    """Frames that give no flat field, in one line for the operator; `refused` are those left out."""

    def __init__(self, message: str, refused: Sequence[FailedFrame] = ()) -> None:
        super().__init__(message)
        self.refused = tuple(refused)


@dataclass(frozen=True, eq=False)
class Illumination:
    """Illumination of blank frames.

    Attributes
    ----------
    light : float32 [h', w']
        Relative to its mean, in a reduced frame.
    brightness : float
        Median grey level of the corrected blank frames.
    """

    light: Map
    brightness: float
    frames: int
    width_px: int
    height_px: int
    refused: tuple[FailedFrame, ...]


def estimate_illumination(frames: Iterable[Frame | FailedFrame]) -> Illumination:
    """Estimate the illumination from blank frames: the median of the frames relative to their own levels.

    Copies, and frames that are tiny, saturated, dark, of another size or brightness, or not blank, are left
    out. A few cells and specks do no harm if most other frames have none at the same place.

    Parameters
    ----------
    frames : iterable of Frame or FailedFrame
        Frames of a clean field, with the lamp and the camera settings of the measurement. Of each,
        0.6 MB are kept.

    Raises
    ------
    FlatFieldError
        If fewer than `MIN_FRAMES` are left, all show the same structure (a grid, or a sample that was not
        moved), or a part of the field is almost dark.
    """
    refused: list[FailedFrame] = []
    digests: dict[bytes, str] = {}
    kept: list[tuple[str, int]] = []
    maps: list[Map] = []
    shape: tuple[int, ...] = ()
    for frame in frames:
        if isinstance(frame, FailedFrame):
            refused.append(frame)
            continue
        shape = shape or frame.image.shape
        first = digests.setdefault(hashlib.sha256(frame.image.tobytes()).digest(), frame.name)
        same = f"the same image as {first}: move the field between frames" if first != frame.name else ""
        if reason := same or _frame_fault(frame.image, shape):
            refused.append(FailedFrame(frame.name, frame.index, reason))
            continue
        maps.append(_reduced(frame.image))
        kept.append((frame.name, frame.index))
    _require(len(maps), refused)
    faults = _faults_among(np.stack(maps))
    refused += [FailedFrame(*frame, fault) for frame, fault in zip(kept, faults, strict=True) if fault]
    _require(faults.count(""), refused)
    blank = np.stack([m for m, fault in zip(maps, faults, strict=True) if not fault])
    light = _median(blank)
    light /= light.mean()
    _check(light)
    levels = np.median(blank / light, axis=(1, 2))
    height, width = shape
    refused.sort(key=lambda frame: frame.index)
    return Illumination(light, float(np.median(levels)), len(blank), width, height, tuple(refused))


def write_flat_field(
    folder: Path, estimate: Illumination, date: datetime, camera: str = "", tuning: str = ""
) -> FlatFieldCalibration:
    """Write the illumination beside a calibration, as a PNG of 16 bits; return the calibration's section.

    The file's name contains its hash, so that an existing calibration keeps the file that it names.
    """
    samples = np.rint(estimate.light * (65535 / estimate.light.max())).astype(np.uint16)
    data = cv2.imencode(".png", samples)[1].tobytes()
    sha256 = hashlib.sha256(data).hexdigest()
    name = f"flatfield-{sha256[:12]}.png"
    write_atomically(folder / name, data)
    return FlatFieldCalibration(
        name,
        sha256,
        round(estimate.brightness, 2),
        estimate.frames,
        estimate.width_px,
        estimate.height_px,
        date,
        camera,
        tuning,
    )


def read_flat_field_gain(folder: Path, section: FlatFieldCalibration) -> Map:
    """Return the flat-field gain of a calibration, float32 [height_px, width_px], for `divide_flat_field`.

    Raises
    ------
    CalibrationFileError
        If the file is missing, not the one that the calibration names by its hash, or not what
        `write_flat_field` writes; also if its frames would be larger than any camera's.
    """
    path = folder / section.file
    remedy = "run leuko calibrate flatfield"
    if section.width_px * section.height_px > MOST_FRAME_PX:
        raise CalibrationFileError(
            f"{path}: the flat field of frames of {section.width_px} × {section.height_px} px, more than "
            f"{MOST_FRAME_PX:,} pixels; {remedy}"
        )
    try:
        data = read_input(path, _MOST_BYTES)
    except OSError as error:
        raise CalibrationFileError(
            f"{path}: the flat field cannot be read ({error.strerror}); {remedy}"
        ) from error
    if hashlib.sha256(data).hexdigest() != section.sha256:
        raise CalibrationFileError(
            f"{path}: not the flat field of its calibration: damaged or replaced; {remedy}"
        )
    header = _MAP_HEADER.match(data)
    # what it declares is what decoding it takes
    sides = [int.from_bytes(side, "big") for side in header.groups()] if header else [0]
    fits = all(1 <= side <= MAP_PX for side in sides)
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED) if fits else None
    if samples is None or samples.dtype != np.uint16 or samples.ndim != 2 or not samples.all():
        raise CalibrationFileError(f"{path}: not a flat field; {remedy}")
    light = samples.astype(np.float32)
    return flat_field_gain(light / light.mean(), section.width_px, section.height_px)


def _frame_fault(image: NDArray[np.uint8], shape: tuple[int, ...]) -> str:
    """Return why a frame cannot be used, empty if it can."""
    level, saturated = light(image)
    if min(image.shape) < LEAST_PX:
        return f"{image.shape[1]}×{image.shape[0]} px, too small: each side takes at least {LEAST_PX} px"
    if image.shape != shape:
        return f"{image.shape[1]}×{image.shape[0]} px, and the first frame has {shape[1]}×{shape[0]}"
    if saturated > MAX_SATURATED:
        return f"saturated: {saturated:.1%} of its pixels are at 255; expose it less"
    if level < DARKEST:
        return f"too dark: grey level {level:.0f}; expose it longer"
    return ""


def _faults_among(maps: NDArray[np.float32]) -> list[str]:
    """Return for each reduced frame [n, h', w'] why it does not fit the others, empty if it does."""
    levels = np.median(maps, axis=(1, 2))
    drifts = levels / np.median(levels) - 1
    relative = maps / _median(maps)
    relative /= np.median(relative, axis=(1, 2), keepdims=True)
    specks = np.mean(np.abs(relative - 1) > SPECK, axis=(1, 2))
    return [
        f"{abs(drift):.0%} {'brighter' if drift > 0 else 'darker'} than the others: lock exposure and lamp"
        if abs(drift) > MAX_DRIFT
        else f"not blank: {share:.0%} of it shows objects; move to a clean field"
        if share > MAX_SPECKS
        else ""
        for drift, share in zip(drifts, specks, strict=True)
    ]


def _reduced(image: NDArray[np.uint8]) -> Map:
    """Return a frame reduced to a map's size and smoothed, float32 [h', w']."""
    factor = min(1.0, MAP_PX / max(image.shape))
    height, width = (max(1, round(side * factor)) for side in image.shape)
    small = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    reach = min(round(4 * SMOOTHING_PX), *(side - 1 for side in small.shape))
    beyond = np.pad(small, reach, mode="reflect", reflect_type="odd")  # light keeps falling at the edge
    smooth = cv2.GaussianBlur(beyond, (0, 0), SMOOTHING_PX)
    return np.asarray(smooth[reach : reach + height, reach : reach + width], np.float32)


def _median(maps: NDArray[np.float32]) -> Map:
    """Return the median of maps [n, h', w'], each relative to its own level."""
    return np.asarray(np.median(maps / np.median(maps, axis=(1, 2), keepdims=True), axis=0), np.float32)


def _require(frames: int, refused: list[FailedFrame]) -> None:
    """Raise if too few frames are left."""
    if frames < MIN_FRAMES:
        raise FlatFieldError(
            f"blank frames: {frames} of {frames + len(refused)}, and a flat field takes {MIN_FRAMES}: give "
            "more frames of a clean field, moved between frames",
            refused,
        )


def _check(light: Map) -> None:
    """Raise if a map is not an illumination."""
    if light.min() < LEAST_LIGHT * light.mean():
        raise FlatFieldError("a part of the field is almost dark: centre lamp and condenser, and try again")
    grey = np.rint(light * (255 / light.max())).astype(np.uint8)
    around = np.maximum(np.asarray(cv2.medianBlur(grey, LOCAL_PX), np.float32), 1)
    share = float(np.mean(np.abs(grey / around - 1) > SPECK))
    if share > MAX_STRUCTURE:
        raise FlatFieldError(
            f"not blank: all frames show the same on {share:.0%} of the field; use a clean field and move it "
            "between frames"
        )
