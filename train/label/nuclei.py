"""Nuclei in a fluorescence frame, and the shape of the one in a cell: Otsu's threshold, spots, dents.

Brightness is compared by its square root, in which the noise of counted photons is alike everywhere: Otsu's
threshold then lies low enough for the faint lobes beside bright ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.find import HALO_UM

Map = NDArray[np.float32]
Mask = NDArray[np.uint8]

PIXEL_UM = 0.125
"""Pixel at which a nucleus is measured, so that its dents do not depend on the camera's."""

SMOOTHING_UM = 0.2
"""Standard deviation of the Gaussian against noise: below the width of an objective's focus."""

BACKGROUND_UM = 25.0
"""Diameter of the opening that makes the background: wider than any nucleus."""

BACKGROUND_PIXEL_UM = 1.0
"""Pixel at which it is taken."""

NOISES = 8.0
"""Least brightness of a nucleus, as a multiple of the noise's standard deviation."""

LEAST_LEVEL = 4.0
"""Least brightness of a nucleus in grey levels: below that, rounding makes shapes."""

LEAST_SPOT_UM2 = 0.8
"""Smallest spot: a disc of 1 µm."""

LEAST_NUCLEUS_UM2 = 4.0
"""Smallest nucleus, all spots together. Simulated leukocytes: 14 µm² and above."""

DENT = 0.03
"""Least depth of a dent, as a part of the diameter of the disc with the spot's area. In 672 simulated cells
the second deepest dent is 0.024 at most in monocytes and in lymphocytes, and 0.039 or more in nine of ten
granulocytes; the jagged outline on the pixels makes 0.02."""


@dataclass(frozen=True)
class Nucleus:
    """What is measured of the nucleus of a cell.

    Attributes
    ----------
    lobes : bright lobes, at least: spots, each parted by its dents
    dents : dents in the outline, of all spots
    area_um2 : area
    area_ratio : area over that of the cell
    solidity : area over that of the convex hull of all spots
    roundness : 4π area / perimeter², 1 for a disc
    unevenness : highest over mean brightness; 1.5 for a ball, more where lobes lie above each other
    brightness : mean above the background, grey levels
    offset_um : from the middle of the cell's box to the nucleus's centroid
    """

    lobes: int
    dents: int
    area_um2: float
    area_ratio: float
    solidity: float
    roundness: float
    unevenness: float
    brightness: float
    offset_um: float


@dataclass(frozen=True, eq=False)
class Stain:
    """A fluorescence frame without its background.

    Attributes
    ----------
    signal : float32 [h, w], grey levels above the background, smoothed
    spots : int32 [h, w], 0 or the number of a connected nuclear region
    centroids : float64 [n, 2], x, y of each region, from number 1, px
    least : brightness below which nothing is a nucleus
    """

    signal: Map
    spots: NDArray[np.int32]
    centroids: NDArray[np.float64]
    least: float


def find_nuclei(fluorescence: NDArray[np.uint8], pixel_um: float) -> Stain:
    """Find the nuclei of a frame; none in a frame of noise.

    Parameters
    ----------
    fluorescence
        uint8 [h, w], nuclear stain.
    pixel_um
        Side of a pixel in the specimen.
    """
    grey = fluorescence.astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(grey, (0, 0), SMOOTHING_UM / pixel_um), np.float32)
    signal = smooth - _background(smooth, pixel_um)
    sample = signal[::2, ::2]
    noise = 1.4826 * float(np.median(np.abs(sample - np.median(sample))))
    signal -= np.float32(np.median(sample))
    least = max(NOISES * noise, LEAST_LEVEL)
    mask = (signal > max(least, _otsu(signal))).astype(np.uint8)
    # lobes of one nucleus make one region
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(0.5 / pixel_um) + 1,) * 2)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), np.uint8)
    count, spots, statistics, centroids = cv2.connectedComponentsWithStats(mask, ltype=cv2.CV_32S)
    large = statistics[:, cv2.CC_STAT_AREA] * pixel_um**2 >= LEAST_NUCLEUS_UM2
    large[0] = False
    number = np.zeros(count, np.int32)
    number[large] = np.arange(1, large.sum() + 1)
    return Stain(signal, number[spots], np.asarray(centroids[large], np.float64), least)


def owners(stain: Stain, cells: Sequence[Cell]) -> NDArray[np.intp]:
    """Index of the cell that each nuclear region lies in (the ellipse in its box), or −1; intp [n]."""
    found = np.full(len(stain.centroids), -1, np.intp)
    if not cells or not len(found):
        return found
    half = np.array([(cell.width, cell.height) for cell in cells]) / 2
    middle = np.array([(cell.x, cell.y) for cell in cells]) + half
    distance = np.linalg.norm((stain.centroids[:, None] - middle) / half, axis=2)
    nearest = distance.argmin(axis=1)
    inside = distance[np.arange(len(found)), nearest] < 1
    found[inside] = nearest[inside]
    return found


def measure_nuclei(stain: Stain, cells: Sequence[Cell], pixel_um: float) -> list[Nucleus | None]:
    """Measure the nucleus of each cell; None for a cell without one."""
    owner = owners(stain, cells)
    return [
        _measure(stain, cell, 1 + np.flatnonzero(owner == k), pixel_um) if (owner == k).any() else None
        for k, cell in enumerate(cells)
    ]


def cell_diameter_um(cell: Cell, pixel_um: float) -> float:
    """Diameter of the disc with the cell's area, the halo of the segmentation taken off."""
    return max(2 * float(np.sqrt(cell.area_px / np.pi)) * pixel_um - 2 * HALO_UM, 1.0)


def _background(image: Map, pixel_um: float) -> Map:
    """What a disc wider than a nucleus slides under (opening), float32 [h, w]."""
    height, width = image.shape
    factor = min(1.0, pixel_um / BACKGROUND_PIXEL_UM)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    coarse = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    radius = round(BACKGROUND_UM / 2 * factor / pixel_um)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    opened = cv2.GaussianBlur(cv2.morphologyEx(coarse, cv2.MORPH_OPEN, disc), (0, 0), max(1.0, radius / 2))
    return np.asarray(cv2.resize(opened, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _otsu(signal: Map) -> float:
    """Otsu's threshold of the square root of a signal."""
    root = np.sqrt(np.maximum(signal, 0))
    top = float(root.max())
    if top <= 0:
        return 0.0
    level, _ = cv2.threshold((root * (255 / top)).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    return float((level / 255 * top) ** 2)


def _measure(stain: Stain, cell: Cell, own: NDArray[np.intp], pixel_um: float) -> Nucleus | None:
    """Measure the nucleus in a cell's ellipse that consists of the regions `own`."""
    signal, regions = _window(stain, cell)
    foreign = (regions > 0) & ~np.isin(regions, own)
    signal = np.where(foreign, np.float32(0), signal)
    width, height = (max(3, round(side * pixel_um / PIXEL_UM)) for side in (cell.width, cell.height))
    signal = np.asarray(cv2.resize(signal, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    ellipse = np.zeros(signal.shape, np.uint8)
    axes = ((width / 2 - 0.5, height / 2 - 0.5), (width, height), 0.0)
    cv2.ellipse(ellipse, axes, (1,), cv2.FILLED)
    inside = signal[ellipse > 0]
    mask = ellipse * (signal > max(stain.least, _otsu(inside))).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    spots = [
        np.asarray(line, np.int32)
        for line in outlines
        if cv2.contourArea(line) * PIXEL_UM**2 >= LEAST_SPOT_UM2
    ]
    if not spots:
        return None
    filled = np.zeros_like(mask)
    cv2.drawContours(filled, spots, -1, (1,), cv2.FILLED)
    values = signal[filled > 0]
    area_um2 = values.size * PIXEL_UM**2
    if area_um2 < LEAST_NUCLEUS_UM2 or values.max() <= 0:
        return None
    dents = [_dents(line) for line in spots]
    hull_px = cv2.contourArea(cv2.convexHull(np.concatenate(spots)))
    # contours run through the middles of pixels: half a pixel inside the outline
    outline_px = sum(cv2.arcLength(line, closed=True) + np.pi for line in spots)
    y, x = np.nonzero(filled)
    offset = np.hypot(x.mean() - width / 2 + 0.5, y.mean() - height / 2 + 0.5)
    return Nucleus(
        lobes=sum(1 + dent // 2 for dent in dents),
        dents=sum(dents),
        area_um2=area_um2,
        area_ratio=area_um2 / (np.pi / 4 * cell_diameter_um(cell, pixel_um) ** 2),
        solidity=min(1.0, values.size / (hull_px + 0.5 * outline_px)),
        roundness=min(1.0, 4 * np.pi * values.size / outline_px**2),
        unevenness=float(values.max() / values.mean()),
        brightness=float(values.mean()),
        offset_um=float(offset) * PIXEL_UM,
    )


def _window(stain: Stain, cell: Cell) -> tuple[Map, NDArray[np.int32]]:
    """Signal and regions inside a cell's box."""
    box = (slice(cell.y, cell.y + cell.height), slice(cell.x, cell.x + cell.width))
    return stain.signal[box], stain.spots[box]


def _dents(outline: NDArray[np.int32]) -> int:
    """Dents in an outline that are deep enough."""
    area = cv2.contourArea(outline)
    hull = cv2.convexHull(outline, returnPoints=False)
    # OpenCV wants the indices in order; its own come out otherwise where the outline meets itself
    defects = cv2.convexityDefects(outline, np.sort(hull, axis=0)[::-1])
    if defects is None:
        return 0
    depth = defects[:, 0, 3] / 256
    return int(np.count_nonzero(depth >= DENT * 2 * np.sqrt(area / np.pi)))
