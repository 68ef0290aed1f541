"""Size of a pixel in the specimen, from lines of known pitch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.base import FailedFrame, Frame
from edge.calibration.lines import CalibrationError, Spacing, line_spacings
from edge.count import NORMAL, student_t

MAX_SPREAD = 0.01
"""Relative standard deviation of the measurements above which the frames do not show one scale."""

ROBUST_FROM = 10
"""Degrees of freedom from which the median absolute deviation measures the spread, against outliers."""

MAD_EFFICIENCY = 0.37
"""Degrees of freedom of a median absolute deviation, relative to those of a standard deviation."""

MAX_ANISOTROPY = 0.01
"""Relative difference of the two directions above which pixels are not square."""


@dataclass(frozen=True)
class FrameSpacings:
    """Line spacings of several frames of one size.

    Attributes
    ----------
    spacings : tuple of (str, Spacing)
        Each with its frame's name.
    frames : int
        All frames, those refused included.
    """

    spacings: tuple[tuple[str, Spacing], ...]
    width_px: int
    height_px: int
    frames: int
    refused: tuple[FailedFrame, ...]


@dataclass(frozen=True)
class PixelSize:
    """Side of a pixel in the specimen.

    Attributes
    ----------
    pixel_um : float
        Mean of the measured directions.
    uncertainty_um : float
        Standard uncertainty: spread of single measurements, widened for how few they are, half the difference
        of the directions, and the uncertainty of the pitch.
    widened : float
        Student's t relative to the normal distribution's: what the spread of few measurements is multiplied
        by, so that twice the uncertainty holds the pixel of 95 % of such frames.
    across_um, down_um : float or None
        Median of each direction; None where no frame shows it.
    """

    pixel_um: float
    uncertainty_um: float
    across_um: float | None
    down_um: float | None
    widened: float


def measure_spacings(frames: Iterable[Frame | FailedFrame], *, micrometer: bool = False) -> FrameSpacings:
    """Measure the line spacings of frames, see `line_spacings`; frames that show no lines are left out."""
    spacings: list[tuple[str, Spacing]] = []
    refused: list[FailedFrame] = []
    shape: tuple[int, ...] = ()
    count = 0
    for frame in frames:
        count += 1
        if isinstance(frame, FailedFrame):
            refused.append(frame)
            continue
        shape = shape or frame.image.shape
        try:
            if frame.image.shape != shape:
                raise CalibrationError(f"not of {shape[1]}×{shape[0]} px like the first frame")
            found = line_spacings(frame.image, micrometer=micrometer)
        except CalibrationError as error:
            refused.append(FailedFrame(frame.name, frame.index, str(error)))
            continue
        spacings += [(frame.name, spacing) for spacing in found]
    height_px, width_px = shape or (0, 0)
    return FrameSpacings(tuple(spacings), width_px, height_px, count, tuple(refused))


def estimate_pixel_size(
    spacings: Sequence[Spacing], pitch_um: float, pitch_uncertainty_um: float = 0.0
) -> PixelSize:
    """Estimate the size of a pixel from the line spacings of one or more frames.

    Parameters
    ----------
    spacings : sequence of Spacing
        From frames of one camera mode and one magnification.
    pitch_um, pitch_uncertainty_um : float
        True distance of neighbouring lines, and its standard uncertainty.

    Raises
    ------
    CalibrationError
        If there are fewer than two spacings, they disagree, or pixels are not square.
    """
    if len(spacings) < 2:
        raise CalibrationError("the uncertainty takes two measurements or more: give more frames")
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
            f"the frames disagree by {worst:.0%}, {low:.4g} to {high:.4g} µm per pixel: give frames of one "
            "magnification that all show lines of this pitch"
        )
    scatter, freedom = _scatter([found / pixel_um for found in sizes.values() if len(found)])
    noise = float(np.median([s.error_px / s.period_px for s in spacings]))
    if max(scatter, noise) > MAX_SPREAD:
        raise CalibrationError(
            f"the measurements scatter by {max(scatter, noise):.1%}: take sharper frames, or more"
        )
    difference = abs(middles.get("across", pixel_um) - middles.get("down", pixel_um)) / pixel_um
    if difference > MAX_ANISOTROPY:
        raise CalibrationError(
            f"a pixel is {middles['across']:.4g} µm across and {middles['down']:.4g} µm down, and must be "
            "square: use a camera mode that does not stretch the image"
        )
    if not freedom:  # one spacing in each direction: the two are all that tells of the spread
        scatter, freedom = difference / 2**0.5, 1
    widened = student_t(freedom) / NORMAL
    spread = max(widened * scatter, noise)
    relative = float(np.hypot(np.hypot(spread, difference / 2), pitch_uncertainty_um / pitch_um))
    return PixelSize(pixel_um, pixel_um * relative, middles.get("across"), middles.get("down"), widened)


def _scatter(directions: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    """Return the standard deviation about each direction's middle, and its degrees of freedom."""
    freedom = sum(map(len, directions)) - len(directions)
    if freedom >= ROBUST_FROM:
        off = np.concatenate([found - np.median(found) for found in directions])
        # 1.4826 times the median absolute deviation is a normal distribution's standard deviation
        return 1.4826 * float(np.median(abs(off))), MAD_EFFICIENCY * freedom
    squares = sum(float(((found - found.mean()) ** 2).sum()) for found in directions)
    return (squares / freedom) ** 0.5 if freedom else 0.0, freedom
