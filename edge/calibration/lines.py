"""Distances of the lines that a frame shows: a chamber's grid or a stage micrometer.

A frame is turned until its lines are upright, and projected along them. The lines are then the peaks of a
profile, and those of the known pitch are the ones that fill a lattice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.calibration.lattice import (
    MIN_GRID_LINES,
    MIN_MICROMETER_LINES,
    Profile,
    find_lattice,
    line_positions,
)
from edge.find import block_mean

Map = NDArray[np.float32]
Direction = Literal["across", "down"]

WORKING_PX = 2500
"""A frame is reduced by a whole factor until its longer side is at most this long."""

LIGHT_SHARE = 1 / 6
"""Side of the mean filter that estimates the illumination, as a part of the frame's longer side."""

ANGLE_STEP_DEG = 0.25
"""Width of the bins in which the lines' direction is first sought."""

SLOPES = np.linspace(-0.03, 0.03, 121)
"""Slopes tried around that direction; one step moves a line's end by half a reduced pixel."""

BANDS = 48
"""Strips across the lines, which are shifted against each other to try a slope."""

MICROMETER_BANDS = 6
"""Strips that every line of a stage micrometer crosses: its short lines are an eighth of a frame long."""


class CalibrationError(ValueError):
    """Frames that do not show what is to be measured; the message is one line for the operator."""


@dataclass(frozen=True)
class Spacing:
    """Distance of neighbouring lines in one direction of one frame.

    Attributes
    ----------
    direction : {"across", "down"}
        Direction in which the distance is measured; ``across``: the lines run down the frame.
    period_px, error_px : float
        Distance perpendicular to the lines, and its standard error from how evenly they are spaced.
    tilt_deg : float
        Angle of the lines to the frame's side, counterclockwise.
    """

    direction: Direction
    period_px: float
    error_px: float
    tilt_deg: float
    lines: int


def line_spacings(image: NDArray[np.uint8], *, micrometer: bool = False) -> list[Spacing]:
    """Measure the distance of a frame's lines in each direction that has enough of them.

    The lines may be bright or dark, at any angle. A chamber's triple line counts as its middle one.

    Parameters
    ----------
    image : uint8 [h, w]
        Grey frame.
    micrometer : bool
        The frame shows a stage micrometer: lines of one direction, some of them short, which need not fill
        the frame. By default it shows a grid, whose lines run through the whole frame.

    Raises
    ------
    CalibrationError
        If no direction shows lines at even distances.
    """
    factor = -(-max(image.shape) // WORKING_PX)
    relief = _relief(image, factor)
    coarse_deg = _direction_deg(relief)
    turned, inside = _upright(relief, coarse_deg)
    found: list[Spacing] = []
    views: dict[Direction, tuple[Map, Map]] = {"across": (turned, inside), "down": (turned.T, inside.T)}
    for direction, maps in views.items():
        profile, slope = _projection(*maps, bands=MICROMETER_BANDS if micrometer else BANDS)
        lattice = find_lattice(line_positions(profile), len(profile), micrometer)
        if lattice is not None:
            scale = factor / float(np.hypot(1, slope))  # perpendicular to the lines, not along the row
            tilt = float(np.degrees(np.arctan(slope))) * (1 if direction == "across" else -1) - coarse_deg
            found.append(
                Spacing(direction, lattice.period * scale, lattice.error * scale, tilt, lattice.lines)
            )
    if not found:
        least = MIN_MICROMETER_LINES if micrometer else MIN_GRID_LINES
        raise CalibrationError(f"no {least} lines at even distances")
    return [max(found, key=lambda spacing: spacing.lines)] if micrometer else found


def _relief(image: NDArray[np.uint8], factor: int) -> Map:
    """Reduce a frame and divide it by its illumination, float32 [h, w] around 0."""
    work = block_mean(image, factor).astype(np.float32)
    light = np.asarray(cv2.blur(work, (round(LIGHT_SHARE * max(work.shape)) | 1,) * 2), np.float32)
    return np.asarray(work / np.maximum(light, 1) - 1, np.float32)


def _direction_deg(relief: Map) -> float:
    """Return the direction of most edges: the angle of the lines' normal to the frame's side, -45 to 45."""
    smooth = cv2.GaussianBlur(relief, (0, 0), 2)
    right, down = (np.asarray(cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx)) for dx in (1, 0))
    bins = round(90 / ANGLE_STEP_DEG)
    place = np.floor(np.degrees(np.arctan2(down, right)) / ANGLE_STEP_DEG).astype(np.intp) % bins
    power = np.bincount(place.ravel(), (right**2 + down**2).ravel(), bins)
    smoothed = sum(np.exp(-(k**2) / 8) * np.roll(power, k) for k in range(-6, 7))
    angle = (int(np.argmax(smoothed)) + 0.5) * ANGLE_STEP_DEG
    return angle if angle <= 45 else angle - 90


def _upright(relief: Map, angle_deg: float) -> tuple[Map, Map]:
    """Turn a map so that lines are upright; return it with a mask, 1 where it has values."""
    height, width = relief.shape
    centre = ((width - 1) / 2, (height - 1) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, angle_deg, 1), np.float64)
    cosine, sine = np.abs(matrix[0, :2])
    size = round(width * cosine + height * sine), round(width * sine + height * cosine)
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    turned, inside = (cv2.warpAffine(m, matrix, size) for m in (relief, np.ones_like(relief)))
    return np.asarray(turned, np.float32), np.asarray(inside, np.float32)


def _projection(relief: Map, inside: Map, *, bands: int) -> tuple[Profile, float]:
    """Return the profile across nearly upright lines, where half of the strips reach, and their slope.

    The slope is the one at which the mean of all strips has the most contrast. The profile is the median of
    `bands` neighbouring strips, those with the most contrast: a cell lies in few strips, a line in all.
    """
    height, width = relief.shape
    strips, share = (
        np.asarray(cv2.resize(np.ascontiguousarray(m), (width, BANDS), interpolation=cv2.INTER_AREA))
        for m in (relief, inside)
    )
    middles = ((np.arange(BANDS) + 0.5) / BANDS - 0.5) * height
    reach = int(np.ceil(SLOPES[-1] * height / 2))
    spectra = np.fft.rfft(strips, width + reach)
    frequencies = np.fft.rfftfreq(width + reach)

    def slid(slope: float) -> NDArray[np.complex128]:
        return np.asarray(np.exp(2j * np.pi * slope * np.outer(middles, frequencies)))

    trial, step = spectra * slid(SLOPES[0]), slid(SLOPES[1] - SLOPES[0])
    contrasts = []
    for _ in SLOPES:
        contrasts.append(float((np.abs(trial[:, 1:].sum(0)) ** 2).sum()))
        trial *= step
    slope = float(SLOPES[int(np.argmax(contrasts))])
    upright = np.fft.irfft(spectra * slid(slope), width + reach)[:, :width]
    covered = share > 0.5
    columns = np.flatnonzero(covered.sum(0) >= BANDS / 2)
    upright = np.where(covered, upright, np.nan)[:, columns]
    profiles = [_median(upright[k : k + bands]) for k in range(0, BANDS - bands + 1, bands // 2)]
    return max(profiles, key=lambda profile: float(profile.std())), slope


def _median(strips: NDArray[np.float64]) -> Profile:
    """Return the median of each column of the strips [n, w], NaN ignored; 0 where all are NaN."""
    ordered = np.sort(strips, axis=0)  # NaN comes last
    middle = np.maximum((~np.isnan(strips)).sum(0) - 1, 0) // 2
    return np.asarray(np.nan_to_num(ordered[middle, np.arange(strips.shape[1])]))
