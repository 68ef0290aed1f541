"""The shift between a bright-field frame and its fluorescence, by phase correlation.

The two images share neither grey levels nor edges: phase correlation of two discs of different radius peaks
on a ring as wide as the radii differ. What they share is where things are, so one point per cell is
correlated with one point per nucleus.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]
Level = TypeVar("Level", bound=np.generic)

GRID_UM = 1.0
"""Pixel of the maps that are correlated."""

JITTER_UM = 1.5
"""Standard deviation of a nucleus's place around its cell's middle; finer detail is left out."""

NEAR_UM = 3.0
"""Largest distance from a nucleus to the middle of its cell, after the shift is removed."""

MIN_NUCLEI = 3
"""With fewer, any two frames match somewhere."""

MIN_MATCHED = 0.5
"""Smallest share of the nuclei that lie in a cell. Simulated frames of 18–37 nuclei: pairs at least
0.77, pairs of different frames at most 0.21."""

MAX_CHANCE = 0.01
"""Largest expected number of alignments that are as good by chance."""


class MismatchError(ValueError):
    """The two frames do not show the same field."""


@dataclass(frozen=True)
class Shift:
    """How far a fluorescence frame lies from its bright-field frame.

    Attributes
    ----------
    x_px, y_px : float
        Add them to a bright-field position to get that in the fluorescence.
    response : float
        Height of the correlation's peak, 1 for identical maps.
    matched : float
        Share of the nuclei near a cell's middle after the shift is removed.
    chance : float
        Expected number of alignments of random points with as many matched.
    """

    x_px: float
    y_px: float
    response: float
    matched: float
    chance: float
    nuclei: int


def measure_shift(
    cells: Points, nuclei: Points, shape: tuple[int, int], pixel_um: float, max_shift_um: float
) -> Shift:
    """Measure the shift between the middles of cells and of nuclei.

    Parameters
    ----------
    cells, nuclei : float64 [n, 2], [m, 2]
        x, y in px of the frames [h, w]; not empty.
    max_shift_um : float
        Limit of the expected shifts; a larger one is also found if it fits better.

    Notes
    -----
    C. D. Kuglin and D. C. Hines, "The phase correlation image alignment method", Proc. IEEE Int. Conf.
    Cybernetics and Society (1975) 163–165; with a Hann window, and the phases weighted by a Gaussian that
    removes detail finer than the jitter. The peak, one map pixel wide, is then refined to the median distance
    from a nucleus to the middle of its cell.
    """
    grid = GRID_UM / pixel_um
    size = (round(shape[0] / grid) + 1, round(shape[1] / grid) + 1)
    surface = _phase_correlation(_map(cells, size, grid), _map(nuclei, size, grid), JITTER_UM / GRID_UM)
    # the correlation is periodic: the second half of each axis stands for shifts to the left and upward
    y, x = (np.fft.fftfreq(n, 1 / n) for n in surface.shape)
    allowed = np.hypot(*np.meshgrid(x, y)) * GRID_UM <= max_shift_um
    near = NEAR_UM / pixel_um
    candidates = []
    # among few cells chance may make a higher peak elsewhere
    for part in (np.where(allowed, surface, -np.inf), surface):
        row, column = np.unravel_index(np.argmax(part), part.shape)
        shift, matched = _refine(cells, nuclei, np.array([x[column], y[row]]) * grid, near)
        candidates.append((shift, matched, float(surface[row, column])))
    shift, matched, response = max(candidates, key=lambda candidate: candidate[1])
    # share of the frame that is near a cell, and number of shifts that can be distinguished
    covered = np.pi * near**2 / (shape[0] * shape[1])
    chance = _chance(len(nuclei), matched, min(0.99, covered * len(cells)), 1 / covered)
    return Shift(float(shift[0]), float(shift[1]), response, matched, chance, len(nuclei))


def check_shift(shift: Shift, pixel_um: float, max_shift_um: float) -> None:
    """Raise MismatchError for two frames that do not match."""
    if shift.nuclei < MIN_NUCLEI:
        nuclei = "1 nucleus" if shift.nuclei == 1 else f"{shift.nuclei} nuclei"
        raise MismatchError(
            f"{nuclei} in the fluorescence: at least {MIN_NUCLEI} are needed to check the match"
        )
    if shift.matched < MIN_MATCHED or shift.chance > MAX_CHANCE:
        raise MismatchError(
            f"{shift.matched:.0%} of {shift.nuclei} nuclei lie in cells (response {shift.response:.2f}): "
            "frames of different fields, or a wrong pixel size"
        )
    distance_um = float(np.hypot(shift.x_px, shift.y_px)) * pixel_um
    if distance_um > max_shift_um:
        raise MismatchError(f"shifted by {distance_um:.1f} µm, more than {max_shift_um:g} µm")


def take_off(image: NDArray[Level], x_px: int, y_px: int) -> NDArray[Level]:
    """Move an image [h, w] by (−x, −y) whole pixels and fill the rest with 0."""
    height, width = image.shape
    padded = np.pad(image, ((max(0, -y_px), max(0, y_px)), (max(0, -x_px), max(0, x_px))))
    top, left = max(0, y_px), max(0, x_px)
    return padded[top : top + height, left : left + width]


def _refine(cells: Points, nuclei: Points, shift: Points, near: float) -> tuple[Points, float]:
    """Return a shift [2] moved to the median offset of the nuclei near a cell, and their share."""
    matched = 0.0
    for _ in range(3):
        offsets = nuclei[:, None] - cells[None] - shift
        nearest = np.linalg.norm(offsets, axis=2).argmin(axis=1)
        offset = offsets[np.arange(len(nuclei)), nearest]
        close = np.linalg.norm(offset, axis=1) < near
        matched = float(close.mean())
        if close.any():
            shift = shift + np.median(offset[close], axis=0)
    return shift, matched


def _chance(count: int, matched: float, share: float, trials: float) -> float:
    """Return the expected trials that match as many of `count` points, each with probability `share`.

    An upper bound: H. Chernoff, Ann. Math. Stat. 23 (1952) 493–507.
    """
    if matched <= share:
        return trials
    divergence = matched * np.log(matched / share)
    if matched < 1:
        divergence += (1 - matched) * np.log((1 - matched) / (1 - share))
    return float(trials * np.exp(-count * divergence))


def _map(points: Points, size: tuple[int, int], grid: float) -> NDArray[np.float64]:
    """Return the points as ones in a map [h, w] under a Hann window."""
    field = np.zeros(size)
    x, y = np.rint(points / grid).astype(np.intp).T
    inside = (x >= 0) & (y >= 0) & (x < size[1]) & (y < size[0])
    np.add.at(field, (y[inside], x[inside]), 1.0)
    # a window that falls to 0 would hide the outermost cells of a small frame
    window = np.outer(*(0.1 + 0.9 * np.hanning(n + 2)[1:-1] for n in size))
    return np.asarray((field - field.mean()) * window, np.float64)


def _phase_correlation(
    first: NDArray[np.float64], second: NDArray[np.float64], jitter: float
) -> NDArray[np.float64]:
    """Return the phase correlation [h, w], 1 at the origin for identical maps; `jitter` in px."""
    height, width = (cv2.getOptimalDFTSize(n) for n in first.shape)
    a, b = (np.fft.rfft2(one, (height, width)) for one in (first, second))
    cross = np.conj(a) * b
    size = np.abs(cross)
    phase = cross / np.maximum(size, 1e-12 * max(float(size.max()), 1e-300))
    square = np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width) ** 2
    weight = np.exp(-2 * (np.pi * jitter) ** 2 * square)
    whole = np.fft.irfft2(weight, (height, width))[0, 0]
    return np.asarray(np.fft.irfft2(phase * weight, (height, width)) / whole, np.float64)
