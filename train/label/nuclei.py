"""Nuclei in a fluorescence frame, and the shape of each cell's: Otsu's threshold, spots, dents.

Brightness is compared by its square root, in which photon noise is the same everywhere: Otsu's threshold then
lies low enough for faint lobes beside bright ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.find import HALO_UM
from train.images import reduced_to

Map = NDArray[np.float32]

PIXEL_UM = 0.125
"""Pixel at which a nucleus is measured, so that its dents do not depend on the camera."""

SMOOTHING_UM = 0.2
"""Standard deviation of the Gaussian against noise: less than the resolution of an objective."""

BACKGROUND_UM = 25.0
"""Diameter of the opening that gives the background: wider than any nucleus."""

BACKGROUND_PIXEL_UM = 1.0
"""Pixel at which the background is determined."""

MIN_NOISES = 8.0
"""Smallest brightness of a nucleus, as a multiple of the noise's standard deviation."""

MIN_LEVEL = 4.0
"""Smallest brightness of a nucleus in grey levels: below, rounding makes shapes."""

MIN_SPOT_UM2 = 0.8
"""Smallest spot: a disc of 1 µm."""

MIN_NUCLEUS_UM2 = 4.0
"""Smallest nucleus, all spots together. Simulated leukocytes: 14 µm² and above."""

MIN_DENT = 0.03
"""Smallest depth of a dent, as a fraction of the diameter of the disc with the spot's area. In 672 simulated
cells the second deepest dent is at most 0.024 in monocytes and lymphocytes, and at least 0.039 in 90 % of the
granulocytes; the pixels' jagged outline makes 0.02."""


@dataclass(frozen=True)
class Nucleus:
    """Measures of the nucleus of a cell.

    Attributes
    ----------
    lobes : int
        Smallest number of bright lobes: spots, each divided by its dents.
    dents : int
        Dents in the outlines of all spots.
    area_ratio : float
        Area over that of the cell.
    solidity : float
        Area over that of the convex hull of all spots.
    roundness : float
        4π area / perimeter², 1 for a disc.
    unevenness : float
        Highest over mean brightness: 1.5 for a ball, more if lobes overlap.
    brightness : float
        Mean above the background, grey levels.
    offset_um : float
        From the middle of the cell's box to the nucleus's centroid.
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
    signal : float32 [h, w]
        Grey levels above the background, smoothed.
    spots : int32 [h, w]
        0 or the number of a connected nuclear region.
    centroids : float64 [n, 2]
        x, y in px of each region, from number 1.
    threshold : float
        Brightness below which nothing is a nucleus.
    """

    signal: Map
    spots: NDArray[np.int32]
    centroids: NDArray[np.float64]
    threshold: float


def find_nuclei(fluorescence: NDArray[np.uint8], pixel_um: float) -> Stain:
    """Find the nuclei of a fluorescence frame uint8 [h, w]; none in a frame of noise."""
    grey = fluorescence.astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(grey, (0, 0), SMOOTHING_UM / pixel_um), np.float32)
    signal = smooth - _background(smooth, pixel_um)
    sample = signal[::2, ::2]
    noise = 1.4826 * float(np.median(np.abs(sample - np.median(sample))))
    signal -= np.float32(np.median(sample))
    threshold = max(MIN_NOISES * noise, MIN_LEVEL)
    mask = (signal > max(threshold, _otsu(signal))).astype(np.uint8)
    # lobes of one nucleus make one region
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(0.5 / pixel_um) + 1,) * 2)
    mask = np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), np.uint8)
    count, spots, statistics, centroids = cv2.connectedComponentsWithStats(mask, ltype=cv2.CV_32S)
    large = statistics[:, cv2.CC_STAT_AREA] * pixel_um**2 >= MIN_NUCLEUS_UM2
    large[0] = False
    number = np.zeros(count, np.int32)
    number[large] = np.arange(1, large.sum() + 1)
    return Stain(signal, number[spots], np.asarray(centroids[large], np.float64), threshold)


def owners(stain: Stain, cells: Sequence[Cell]) -> NDArray[np.intp]:
    """Return the index of the cell in whose ellipse each nuclear region lies, or −1: intp [n]."""
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
    """Return the diameter of the disc with the cell's area, without the halo of the segmentation."""
    return max(2 * float(np.sqrt(cell.area_px / np.pi)) * pixel_um - 2 * HALO_UM, 1.0)


def _background(image: Map, pixel_um: float) -> Map:
    """Return the opening of an image by a disc wider than a nucleus, float32 [h, w]."""
    height, width = image.shape
    coarse, coarse_um = reduced_to(image, pixel_um, BACKGROUND_PIXEL_UM)
    radius = round(BACKGROUND_UM / 2 / coarse_um)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1,) * 2)
    opened = cv2.GaussianBlur(cv2.morphologyEx(coarse, cv2.MORPH_OPEN, disc), (0, 0), max(1.0, radius / 2))
    return np.asarray(cv2.resize(opened, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _otsu(signal: Map) -> float:
    """Return Otsu's threshold of the square root of a signal."""
    root = np.sqrt(np.maximum(signal, 0))
    top = float(root.max())
    if top <= 0:
        return 0.0
    level, _ = cv2.threshold((root * (255 / top)).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    return float((level / 255 * top) ** 2)


def _measure(stain: Stain, cell: Cell, own: NDArray[np.intp], pixel_um: float) -> Nucleus | None:
    """Return the nucleus in a cell's ellipse that consists of the regions `own`; None if it is too small."""
    signal = _signal_of(stain, cell, own, pixel_um)
    height, width = signal.shape
    spots = _spots(signal, stain.threshold)
    if not spots:
        return None
    filled = np.zeros(signal.shape, np.uint8)
    cv2.drawContours(filled, spots, -1, (1,), cv2.FILLED)
    values = signal[filled > 0]
    area_um2 = values.size * PIXEL_UM**2
    if area_um2 < MIN_NUCLEUS_UM2 or values.max() <= 0:
        return None
    dents = [_dents(line) for line in spots]
    hull_px = cv2.contourArea(cv2.convexHull(np.concatenate(spots)))
    # contours run through the middle of pixels, half a pixel inside the outline
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


def _signal_of(stain: Stain, cell: Cell, own: NDArray[np.intp], pixel_um: float) -> Map:
    """Return the signal in a cell's box, without other regions, at `PIXEL_UM`."""
    box = (slice(cell.y, cell.y + cell.height), slice(cell.x, cell.x + cell.width))
    foreign = (stain.spots[box] > 0) & ~np.isin(stain.spots[box], own)
    signal = np.where(foreign, np.float32(0), stain.signal[box])
    width, height = (max(3, round(side * pixel_um / PIXEL_UM)) for side in (cell.width, cell.height))
    return np.asarray(cv2.resize(signal, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _spots(signal: Map, threshold: float) -> list[NDArray[np.int32]]:
    """Return the outlines of the bright spots in the ellipse that fills a cell's box."""
    height, width = signal.shape
    ellipse = np.zeros(signal.shape, np.uint8)
    axes = ((width / 2 - 0.5, height / 2 - 0.5), (width, height), 0.0)
    cv2.ellipse(ellipse, axes, (1,), cv2.FILLED)
    mask = ellipse * (signal > max(threshold, _otsu(signal[ellipse > 0]))).astype(np.uint8)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    lines = [np.asarray(line, np.int32) for line in outlines]
    return [line for line in lines if cv2.contourArea(line) * PIXEL_UM**2 >= MIN_SPOT_UM2]


def _dents(outline: NDArray[np.int32]) -> int:
    """Return the number of dents in an outline that are deep enough."""
    area = cv2.contourArea(outline)
    hull = cv2.convexHull(outline, returnPoints=False)
    # OpenCV needs the indices in order, and returns others where the outline meets itself
    defects = cv2.convexityDefects(outline, np.sort(hull, axis=0)[::-1])
    if defects is None:
        return 0
    depth = defects[:, 0, 3] / 256
    return int(np.count_nonzero(depth >= MIN_DENT * 2 * np.sqrt(area / np.pi)))
