"""Size of a pixel in the specimen, from lines of known pitch: a chamber's grid or a stage micrometer.

A frame is turned until its lines stand upright and projected along them. The lines are then the peaks of a
profile, and those of the known pitch are the ones that fill a lattice.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
Profile = NDArray[np.float64]
Direction = Literal["across", "down"]

WORKING_PX = 2500
"""A frame is reduced by a whole factor until its longer side is at most this long."""

LIGHT_SHARE = 1 / 6
"""Side of the mean that makes the illumination, as a part of the frame's longer side."""

ANGLE_STEP_DEG = 0.25
"""Width of the bins in which the lines' direction is sought at first."""

SLOPES = np.linspace(-0.03, 0.03, 121)
"""Slopes tried around that direction; a step moves a line's end by half a reduced pixel."""

BANDS = 48
"""Strips across the lines, which are slid against each other to try a slope."""

MICROMETER_BANDS = 6
"""Strips that every line of a stage micrometer crosses: its short lines are an eighth of a frame long."""

MIN_CONTRAST = 0.02
"""Least height of the lines, relative to the illumination."""

LINE_LEVEL = 0.35
"""Height, as a part of the highest line's, above which the profile is a line."""

TOLERANCE = 0.07
"""A line that misses a lattice's node by more than this part of the pitch is not on it. The outer lines of
a chamber's triple ones miss by 0.1; by the distortion of the lens real ones miss by up to 0.03."""

TRUE_TOLERANCE = 0.045
"""And one that misses by more says nothing of the spacing: of a triple line that is half resolved, the middle
and one outer line are taken together, 0.055 off. The lens moves real ones by up to 0.03."""

OCCUPIED = 0.85
"""Least part of a lattice's nodes that have a line (all of up to six), and of lines that are near a node."""

NEAR = 0.2
"""Distance from a node, as a part of the pitch, within which the outer lines of a triple one lie."""

MIN_GRID_LINES = 3
"""Evenly spaced lines that make a grid if they fill the frame; two would have any spacing."""

MIN_MICROMETER_LINES = 10
"""Evenly spaced lines that make a scale, which may begin and end within the frame."""

MAX_SPREAD = 0.01
"""Relative standard deviation of measurements above which the frames do not show one scale."""

MAX_ANISOTROPY = 0.01
"""Difference of the two directions, relative, above which pixels are not square."""


class CalibrationError(ValueError):
    """Frames that do not show what is to be measured; the message is one line for the operator."""


@dataclass(frozen=True)
class Spacing:
    """Distance of neighbouring lines in one direction of one frame.

    Attributes
    ----------
    direction : in which the distance is measured: ``across`` (the lines run down the frame) or ``down``
    period_px : perpendicular to the lines
    error_px : its standard error, from how far the lines are from an even spacing
    tilt_deg : of the lines against the frame's side, counterclockwise
    lines : how many lie on the lattice
    """

    direction: Direction
    period_px: float
    error_px: float
    tilt_deg: float
    lines: int


@dataclass(frozen=True)
class PixelSize:
    """Side of a pixel in the specimen.

    Attributes
    ----------
    pixel_um : mean of the directions that were measured
    uncertainty_um : standard uncertainty: spread of single measurements, half the difference of the
        directions, and the pitch's own
    across_um, down_um : median of each direction; None where no frame shows it
    measurements : how many spacings were measured
    """

    pixel_um: float
    uncertainty_um: float
    across_um: float | None
    down_um: float | None
    measurements: int


def line_spacings(image: NDArray[np.uint8], *, micrometer: bool = False) -> list[Spacing]:
    """Measure how far the lines of a frame are apart, in each direction that has enough of them.

    Bright or dark lines, turned by any angle. A chamber's triple lines count as their middle one; where only
    every fifth line runs through a frame, too few do to be measured.

    Parameters
    ----------
    image : uint8 [h, w], grey
    micrometer : the frame shows a stage micrometer: lines of one direction, some of them short, which need
        not fill the frame. Otherwise it shows a grid, whose lines run through the whole frame.

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
    for direction, maps in (("across", (turned, inside)), ("down", (turned.T, inside.T))):
        profile, slope = _projection(*maps, bands=MICROMETER_BANDS if micrometer else BANDS)
        lattice = _lattice(_lines(profile), len(profile), micrometer)
        if lattice is not None:
            period, error, lines = lattice
            scale = factor / np.hypot(1, slope)  # perpendicular, not along the row
            leaning = np.degrees(np.arctan(slope)) * (1 if direction == "across" else -1)
            found.append(
                Spacing(direction, period * scale, error * scale, float(leaning - coarse_deg), lines)  # type: ignore[arg-type]
            )
    if not found:
        least = MIN_MICROMETER_LINES if micrometer else MIN_GRID_LINES
        raise CalibrationError(f"no {least} lines at even distances")
    return [max(found, key=lambda spacing: spacing.lines)] if micrometer else found


def estimate_pixel_size(
    spacings: Sequence[Spacing], pitch_um: float, pitch_uncertainty_um: float = 0.0
) -> PixelSize:
    """Size of a pixel from line spacings of one or more frames.

    Parameters
    ----------
    spacings : of frames taken with the same camera mode and magnification
    pitch_um : true distance of neighbouring lines
    pitch_uncertainty_um : its standard uncertainty

    Raises
    ------
    CalibrationError
        If there is a single measurement, which has no spread; if they disagree; if pixels are not square.
    """
    if len(spacings) < 2:
        raise CalibrationError("a spread takes two measurements, and there are fewer: give more frames")
    sizes = {
        direction: np.array([pitch_um / s.period_px for s in spacings if s.direction == direction])
        for direction in ("across", "down")
    }
    middles = {direction: float(np.median(found)) for direction, found in sizes.items() if len(found)}
    pixel_um = sum(middles.values()) / len(middles)
    off = np.concatenate([sizes[direction] - middle for direction, middle in middles.items()]) / pixel_um
    if (worst := float(abs(off).max())) > 5 * MAX_SPREAD:
        low, high = (pitch_um / f(s.period_px for s in spacings) for f in (max, min))
        raise CalibrationError(
            f"the frames disagree by {worst:.0%}, {low:.4g} to {high:.4g} µm a pixel: give frames of one "
            "magnification that all show lines of this pitch"
        )
    # 1.4826 times the median absolute deviation is a normal distribution's standard deviation
    scatter = 1.4826 * float(np.median(abs(off)))
    spread = max(scatter, float(np.median([s.error_px / s.period_px for s in spacings])))
    if spread > MAX_SPREAD:
        raise CalibrationError(f"the measurements scatter by {spread:.1%}: take sharper frames, or more")
    difference = abs(middles.get("across", pixel_um) - middles.get("down", pixel_um)) / pixel_um
    if difference > MAX_ANISOTROPY:
        raise CalibrationError(
            f"a pixel is {middles['across']:.4g} µm across and {middles['down']:.4g} µm down, and must be "
            "square: use a camera mode that does not stretch the image"
        )
    relative = float(np.hypot(np.hypot(spread, difference / 2), pitch_uncertainty_um / pitch_um))
    return PixelSize(pixel_um, pixel_um * relative, middles.get("across"), middles.get("down"), len(spacings))


def _relief(image: NDArray[np.uint8], factor: int) -> Map:
    """Reduce a frame and take it relative to its illumination, float32 [h, w] around 0."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor]
    work = np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.float32)
    light = np.asarray(cv2.blur(work, (round(LIGHT_SHARE * max(width, height)) | 1,) * 2), np.float32)
    return np.asarray(work / np.maximum(light, 1) - 1, np.float32)


def _direction_deg(relief: Map) -> float:
    """Angle of the lines' normal to the nearest side of the frame, -45 to 45, in which most edges point."""
    smooth = cv2.GaussianBlur(relief, (0, 0), 2)
    right, down = (np.asarray(cv2.Sobel(smooth, cv2.CV_32F, dx, 1 - dx)) for dx in (1, 0))
    bins = round(90 / ANGLE_STEP_DEG)
    place = np.floor(np.degrees(np.arctan2(down, right)) / ANGLE_STEP_DEG).astype(np.intp) % bins
    power = np.bincount(place.ravel(), (right**2 + down**2).ravel(), bins)
    smoothed = sum(np.exp(-(k**2) / 8) * np.roll(power, k) for k in range(-6, 7))
    angle = (int(np.argmax(smoothed)) + 0.5) * ANGLE_STEP_DEG
    return angle if angle <= 45 else angle - 90


def _upright(relief: Map, angle_deg: float) -> tuple[Map, Map]:
    """Turn a map so that lines stand upright; beside it a mask, 1 where it has values."""
    height, width = relief.shape
    centre = ((width - 1) / 2, (height - 1) / 2)
    matrix = np.asarray(cv2.getRotationMatrix2D(centre, angle_deg, 1), np.float64)
    cosine, sine = np.abs(matrix[0, :2])
    size = round(width * cosine + height * sine), round(width * sine + height * cosine)
    matrix[:, 2] += (size[0] - width) / 2, (size[1] - height) / 2
    turned, inside = (cv2.warpAffine(m, matrix, size) for m in (relief, np.ones_like(relief)))
    return np.asarray(turned, np.float32), np.asarray(inside, np.float32)


def _projection(relief: Map, inside: Map, *, bands: int) -> tuple[Profile, float]:
    """Profile across nearly upright lines, where at least half of the strips reach, and their slope.

    The slope is that at which the mean of all strips has the most contrast. The profile is the median of so
    many neighbouring strips, those with the most contrast: a cell lies in few strips, a line in all.
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
    seen = share > 0.5
    columns = np.flatnonzero(seen.sum(0) >= BANDS / 2)
    upright = np.where(seen, upright, np.nan)[:, columns]
    profiles = [_median(upright[k : k + bands]) for k in range(0, BANDS - bands + 1, bands // 2)]
    return max(profiles, key=lambda profile: float(profile.std())), slope


def _median(strips: NDArray[np.float64]) -> Profile:
    """Median down the strips [n, w] of the values that are there; 0 where there is none."""
    ordered = np.sort(strips, axis=0)  # NaN comes last
    middle = np.maximum((~np.isnan(strips)).sum(0) - 1, 0) // 2
    return np.asarray(np.nan_to_num(ordered[middle, np.arange(strips.shape[1])]))


def _lines(profile: Profile) -> Profile:
    """Positions of the lines in a profile, whose peaks or valleys they are."""
    smooth = np.asarray(cv2.GaussianBlur(profile[None], (0, 0), 1.5))[0]
    smooth = smooth - np.median(smooth)
    smooth *= np.sign((smooth**3).sum())
    excess = smooth - LINE_LEVEL * smooth.max()
    if smooth.max() < MIN_CONTRAST:
        return np.zeros(0)
    edges = np.flatnonzero(np.diff(excess > 0)) + 1
    if excess[0] > 0:  # a line that the frame cuts has no middle
        edges = edges[1:]
    starts, ends = edges[: len(edges) // 2 * 2].reshape(-1, 2).T
    return np.array(
        [np.average(np.arange(a, b), weights=excess[a:b]) for a, b in zip(starts, ends, strict=True)]
    )


def _lattice(lines: Profile, length: int, micrometer: bool) -> tuple[float, float, int] | None:
    """Period, its standard error and the lines of the lattice that most lines lie on, if they fill it."""
    least = MIN_MICROMETER_LINES if micrometer else MIN_GRID_LINES
    found = []
    for first, line in enumerate(lines):
        for other in lines[first + 1 : first + 5]:  # between two neighbours lie a triple line's outer ones
            fit = _fit(lines, line, other - line, least)
            if fit is None:
                continue
            nodes, origin, period, error = fit
            # a grid fills the frame, but for what the frame's edge may cut
            frame = (-origin / period + 0.1, (length - 1 - origin) / period - 0.1)
            begin, end = (nodes[0], nodes[-1]) if micrometer else frame
            places = int(np.floor(end) - np.ceil(begin)) + 1
            off = (lines - origin) / period
            near = np.mean(np.abs(off - np.rint(off)) <= NEAR)
            if len(nodes) >= OCCUPIED * places and near >= OCCUPIED:
                found.append((len(nodes), -error / period, period))
    if not found:
        return None
    count, error, period = max(found)
    return period, -error * period, count


def _fit(
    lines: Profile, origin: float, period: float, least: int
) -> tuple[NDArray[np.int64], float, float, float] | None:
    """Nodes, origin, period and its standard error of the lines that lie near a lattice, by least squares."""
    for _ in range(3):
        nodes = np.rint((lines - origin) / period).astype(np.int64)
        off = np.abs(lines - origin - nodes * period)
        order = np.argsort(off, kind="stable")
        # one line a node, the nearest
        chosen = np.sort(order[np.unique(nodes[order], return_index=True)[1]])
        chosen = chosen[off[chosen] <= TOLERANCE * period]
        if len(chosen) < least:
            return None
        n, x = nodes[chosen], lines[chosen]
        # Theil and Sen's estimate: a line that strays does not pull it
        first, second = np.triu_indices(len(n), 1)
        period = float(np.median((x[second] - x[first]) / (n[second] - n[first])))
        origin = float(np.median(x - n * period))
    true = np.abs(x - origin - n * period) <= TRUE_TOLERANCE * period
    if true.sum() >= least:
        n, x = n[true], x[true]
    period = float(((n - n.mean()) * x).sum() / ((n - n.mean()) ** 2).sum())
    origin = float(x.mean() - period * n.mean())
    rest = x - origin - n * period
    error = float(np.sqrt((rest**2).sum() / (len(n) - 2) / ((n - n.mean()) ** 2).sum()))
    return nodes[chosen], origin, period, error
