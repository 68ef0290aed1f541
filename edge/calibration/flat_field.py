"""Illumination of the empty field, estimated from blank frames and divided out of every frame.

The estimate is a small map: light falls off slowly, and what is sharp in a blank frame is a cell or a speck
that lies in some frames and not in others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import FailedFrame, Frame, write_atomically
from edge.calibration.file import CalibrationFileError, FlatFieldCalibration
from edge.find import Map, flat_field_gain, light

MAP_PX = 512
"""Longer side of the map, to which frames are reduced."""

SMOOTHING_PX = 2.0
"""Standard deviation of the Gaussian that takes the rest of the noise off the reduced frames."""

MIN_FRAMES = 5
"""Of fewer the median does not tell a cell that lies in two of them from the light."""

LEAST_PX = 64
"""Shorter side of the smallest frame: in less there is no light's fall-off to be told from a speck."""

DARKEST = 30.0
"""Least median grey level of a blank frame: below, a grey level is more than 3 % of the light."""

MAX_SATURATED = 0.001
"""Largest share of pixels at 255: what is brighter there is not known."""

MAX_DRIFT = 0.2
"""Largest relative distance of a frame's median grey level from that of all."""

SPECK = 0.03
"""Departure from the light, relative, of a pixel of a reduced frame that shows something."""

MAX_SPECKS = 0.03
"""Largest share of such pixels in a blank frame: a few cells, but no grid and no sample."""

LOCAL_PX = 31
"""Side of the median that structure in the map is told from the light's fall-off by: twice a cell's width."""

MAX_STRUCTURE = 0.01
"""Largest share of pixels that depart from that median as specks do: dust on the optics is softer."""

LEAST_LIGHT = 0.1
"""Least light anywhere, relative to the mean: to divide by less would show noise only."""


class FlatFieldError(ValueError):
    """Frames that no flat field can be made of; the message is one line for the operator."""


@dataclass(frozen=True, eq=False)
class Illumination:
    """Illumination of blank frames.

    Attributes
    ----------
    light : float32 [h', w'], relative, of mean 1
    brightness : grey level of blank frames once they are corrected
    frames : how many it was made of
    width_px, height_px : size of the frames
    refused : frames that were left out, with their reasons
    """

    light: Map
    brightness: float
    frames: int
    width_px: int
    height_px: int
    refused: tuple[FailedFrame, ...]


def estimate_illumination(frames: Iterable[Frame | FailedFrame]) -> Illumination:
    """Estimate the illumination from blank frames: their median, each taken relative to its own level.

    Frames that are tiny, saturated, dark, of another size or brightness, or not blank are left out. A few
    cells and specks in a frame do no harm if most others have none there.

    Parameters
    ----------
    frames : of a clean field, with the lamp and the camera's settings of the measurement; 0.6 MB are kept of
        each

    Raises
    ------
    FlatFieldError
        If fewer than `MIN_FRAMES` are left; if all show the same structure (a grid, a sample that was not
        moved); if a part of the field is almost dark.
    """
    refused: list[FailedFrame] = []
    kept: list[tuple[str, int]] = []
    maps: list[Map] = []
    shape: tuple[int, ...] = ()
    for frame in frames:
        if isinstance(frame, FailedFrame):
            refused.append(frame)
            continue
        shape = shape or frame.image.shape
        if reason := _unfit(frame.image, shape):
            refused.append(FailedFrame(frame.name, frame.index, reason))
            continue
        kept.append((frame.name, frame.index))
        maps.append(_reduced(frame.image))
    _require(len(maps), refused)
    reasons = _unlike(np.stack(maps))
    refused += [FailedFrame(*frame, why) for frame, why in zip(kept, reasons, strict=True) if why]
    _require(reasons.count(""), refused)
    blank = np.stack([m for m, why in zip(maps, reasons, strict=True) if not why])
    light = _median(blank)
    light /= light.mean()
    _check(light)
    levels = np.median(blank / light, axis=(1, 2))
    height, width = shape
    refused.sort(key=lambda frame: frame.index)
    return Illumination(light, float(np.median(levels)), len(blank), width, height, tuple(refused))


def write_flat_field(folder: Path, estimate: Illumination, date: datetime) -> FlatFieldCalibration:
    """Write the illumination into a calibration's folder, as a PNG of 16 bits; returns the calibration's section.

    The file's name has its hash in it: the calibration that is there goes on meaning the file that it names.

    Raises
    ------
    OSError
        If it cannot be written.
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
    )


def read_flat_field_gain(folder: Path, section: FlatFieldCalibration) -> Map:
    """Read a calibration's flat field, as what `flatten` takes: float32 [height_px, width_px].

    Raises
    ------
    ProfileError
        If the file is missing or not the one that the calibration was written for.
    """
    path = folder / section.file
    remedy = "run leuko calibrate flatfield"
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CalibrationFileError(
            f"{path}: the flat field cannot be read ({error.strerror}); {remedy}"
        ) from error
    if hashlib.sha256(data).hexdigest() != section.sha256:
        raise CalibrationFileError(
            f"{path}: not the flat field of its calibration: damaged or replaced; {remedy}"
        )
    samples = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if samples is None or samples.dtype != np.uint16 or samples.ndim != 2 or not samples.all():
        raise CalibrationFileError(f"{path}: not a flat field; {remedy}")
    light = samples.astype(np.float32)
    return flat_field_gain(light / light.mean(), section.width_px, section.height_px)


def _unfit(image: NDArray[np.uint8], shape: tuple[int, ...]) -> str:
    """Why a frame by itself cannot be used; empty if it can."""
    level, saturated = light(image)
    if min(image.shape) < LEAST_PX:
        return f"{image.shape[1]}×{image.shape[0]} px, too small: at least {LEAST_PX} px a side"
    if image.shape != shape:
        return f"{image.shape[1]}×{image.shape[0]} px, and the first frame has {shape[1]}×{shape[0]}"
    if saturated > MAX_SATURATED:
        return f"saturated: {saturated:.1%} of its pixels are at 255; expose it less"
    if level < DARKEST:
        return f"too dark: grey level {level:.0f}; expose it longer"
    return ""


def _unlike(maps: NDArray[np.float32]) -> list[str]:
    """Why each of the reduced frames [n, h', w'] does not go with the others; empty if it does."""
    levels = np.median(maps, axis=(1, 2))
    drifts = levels / np.median(levels) - 1
    relative = maps / _median(maps)
    relative /= np.median(relative, axis=(1, 2), keepdims=True)
    specks = np.mean(np.abs(relative - 1) > SPECK, axis=(1, 2))
    return [
        f"{abs(drift):.0%} {'brighter' if drift > 0 else 'darker'} than the others: lock exposure and lamp"
        if abs(drift) > MAX_DRIFT
        else f"not blank: {share:.0%} of it shows something; move to a clean field"
        if share > MAX_SPECKS
        else ""
        for drift, share in zip(drifts, specks, strict=True)
    ]


def _reduced(image: NDArray[np.uint8]) -> Map:
    """Reduce a frame to a map's size without rounding, and smooth it, float32 [h', w']."""
    factor = min(1.0, MAP_PX / max(image.shape))
    height, width = (max(1, round(side * factor)) for side in image.shape)
    small = cv2.resize(image.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    reach = min(round(4 * SMOOTHING_PX), *(side - 1 for side in small.shape))
    beyond = np.pad(small, reach, mode="reflect", reflect_type="odd")  # the light goes on falling at the edge
    smooth = cv2.GaussianBlur(beyond, (0, 0), SMOOTHING_PX)
    return np.asarray(smooth[reach : reach + height, reach : reach + width], np.float32)


def _median(maps: NDArray[np.float32]) -> Map:
    """Median of maps [n, h', w'], each relative to its own level."""
    return np.asarray(np.median(maps / np.median(maps, axis=(1, 2), keepdims=True), axis=0), np.float32)


def _require(frames: int, refused: list[FailedFrame]) -> None:
    """Raise if too few frames are left."""
    if frames < MIN_FRAMES:
        first = f"; {refused[0].name}: {refused[0].reason}" if refused else ""
        raise FlatFieldError(
            f"{frames} blank frames, and a flat field takes {MIN_FRAMES} ({len(refused)} refused{first})"
        )


def _check(light: Map) -> None:
    """Raise if a map is no illumination."""
    if light.min() < LEAST_LIGHT * light.mean():
        raise FlatFieldError("a part of the field is almost dark: centre lamp and condenser, then try again")
    grey = np.rint(light * (255 / light.max())).astype(np.uint8)
    around = np.maximum(np.asarray(cv2.medianBlur(grey, LOCAL_PX), np.float32), 1)
    share = float(np.mean(np.abs(grey / around - 1) > SPECK))
    if share > MAX_STRUCTURE:
        raise FlatFieldError(
            f"not blank: all frames show the same on {share:.0%} of the field; use a clean field, and move it"
            " between frames"
        )
