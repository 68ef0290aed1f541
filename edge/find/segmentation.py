"""The cells of a bright-field frame: Otsu's threshold on its texture, splitting, limits of size and shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, declare
from edge.find.reduction import reduced, working_factor
from edge.find.texture import Texture, texture

Image = NDArray[np.uint8]
Box = tuple[int, int, int, int]

DEFAULT_PIXEL_UM = 0.0727
"""Pixel of the hemocytometer frames in µm, measured on the 50 µm squares of their grid."""

HALO_UM = 1.16
"""Width by which the smoothing of the texture (two standard deviations) extends a body beyond its cell."""

MIN_TEXTURE = 0.12
"""Least texture of a cell: a slope of 1.5 % of the light per working pixel. A bare grid leaves less."""

QUIET_FIFTH = 0.74
"""Ratio of the lowest fifth of a frame's texture to the noise's median (measured: 0.71 to 0.77, real and
simulated frames). Unlike the median it still belongs to the background where cells fill half of a frame."""

OTSU_LIMIT = 5.0
"""Highest threshold in noise floors: above it Otsu may divide strong cells from faint ones."""

CLOSING_UM = 2.0
"""Diameter of the closing that joins the parts of one cell."""

NECK = 0.85
"""A constriction narrower than this share of the smaller of two bodies separates touching cells."""


@dataclass(frozen=True, kw_only=True)
class Gates:
    """Which bodies in a frame are cells.

    Diameters are those of the disc of equal area. A body includes the diffraction ring, so it is about 1 µm
    wider than its cell.
    """

    min_diameter_um: float = declare("Smallest cell, µm, halo included", 0, low_open=True, default=7.5)
    max_diameter_um: float = declare("Largest cell, µm, halo included", 0, low_open=True, default=40.0)
    min_solidity: float = declare("Smallest ratio of a cell's area to its convex hull's", 0, 1, default=0.6)
    keep_border: bool = declare(
        "Count cells that the frame's edge cuts, or drop them",
        default=True,
        option="--keep-border/--drop-border",
    )


def segment(
    image: Image,
    *,
    pixel_um: float = DEFAULT_PIXEL_UM,
    gates: Gates = Gates(),
    min_contrast: float = 2.75,
    work: Image | None = None,
) -> list[Cell]:
    """Return the cells of a grey frame, uint8 [h, w], from top to bottom, then from left to right.

    Parameters
    ----------
    min_contrast : float
        Least texture of the foreground, as a multiple of the noise's median texture.
    work : uint8 [h, w], optional
        The frame as `reduced` returns it, if available.
    """
    _check(image, pixel_um, gates, min_contrast)
    factor = working_factor(pixel_um)
    work_um = pixel_um * factor
    if min(image.shape) < 2 * factor:
        return []
    if work is None:
        work, _ = reduced(image, pixel_um)
    mask = _closed(_foreground(texture(work, work_um), min_contrast), CLOSING_UM / work_um)
    cells = []
    for part, left, top, touching in _parts(mask, gates.min_diameter_um / work_um / 2, HALO_UM / work_um):
        (x, y, width, height), area, solidity = _shape(part)
        box = _full_box((left + x, top + y, width, height), factor, work.shape, image.shape)
        border = _touches_edge(box, image.shape)
        # a cell that the edge cuts is judged together with its mirror image
        diameter_um = 2 * (area * (2 if border else 1) / np.pi) ** 0.5 * work_um
        right_size = gates.min_diameter_um <= diameter_um <= gates.max_diameter_um
        if right_size and solidity >= gates.min_solidity and (gates.keep_border or not border):
            cells.append(Cell(*box, float(area * factor**2), border, touching))
    return sorted(cells, key=lambda cell: (cell.y, cell.x, cell.height, cell.width))


def _check(image: Image, pixel_um: float, gates: Gates, min_contrast: float) -> None:
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"a frame must be a grey uint8 image [h, w], not {image.dtype} {list(image.shape)}")
    if not 0 < pixel_um < np.inf:
        raise ValueError(f"the pixel size must be positive, not {pixel_um} µm")
    low, high = gates.min_diameter_um, gates.max_diameter_um
    if not 0 < low <= high:
        raise ValueError(f"diameters must run from above 0 upward, not from {low} to {high} µm")
    if not min_contrast > 0:
        raise ValueError(f"the least contrast must be positive, not {min_contrast}")


def _foreground(textured: Texture, min_contrast: float) -> Image:
    """Return the mask of Otsu's threshold on the square root of the texture, among pixels above the noise.

    Cells fill one per cent of most frames: over all pixels Otsu would divide the background. They may also
    fill two thirds, so the noise is estimated from the quietest fifth.

    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Syst. Man Cybern. 9
    (1979) 62-66.
    """
    floor = min_contrast * float(np.percentile(textured[::4, ::4], 20)) / QUIET_FIFTH
    candidates = np.sqrt(textured[textured > floor])
    if not candidates.size:
        return np.zeros(textured.shape, np.uint8)
    top = float(candidates.max())
    level, _ = cv2.threshold((candidates * (255 / top)).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    otsu = (level / 255 * top) ** 2
    return np.asarray(textured > max(floor, MIN_TEXTURE, min(otsu, OTSU_LIMIT * floor)), np.uint8)


def _closed(mask: Image, diameter: float) -> Image:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(diameter / 2) + 1,) * 2)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), np.uint8)


def _parts(mask: Image, min_radius: float, halo: float) -> Iterator[tuple[Image, int, int, bool]]:
    """Yield the parts of each body, uint8 [h, w] of 0 and 1, with left, top and whether the body was split.

    Bodies no longer than `min_radius` are left out, and holes are filled.
    """
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    for contour in contours:
        x, y, width, height = cv2.boundingRect(contour)
        if max(width, height) < min_radius:
            continue
        body = np.zeros((height, width), np.uint8)
        cv2.drawContours(body, [contour], -1, (1,), cv2.FILLED, offset=(-x, -y))
        parts = _split_at_necks(body, min_radius, halo)
        yield from ((part, x, y, len(parts) > 1) for part in parts if part.any())


def _split_at_necks(body: Image, min_radius: float, halo: float) -> list[Image]:
    """Return the parts of a body that necks separate, uint8 [h, w] of 0 and 1; without necks the body itself.

    Each part grows around a peak of the distance to the outline. Two peaks stand for two cells if the body
    narrows between them; a pixel then belongs to the circle (peak, distance) of least power.
    """
    padded = cv2.copyMakeBorder(body, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    # rounded, because OpenCV's distances differ in the last digit between processors
    depth = np.round(np.maximum(distance - halo, 0), 2).astype(np.float32)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(min_radius / 2) + 1,) * 2)
    ys, xs = np.nonzero((depth >= cv2.dilate(depth, disc)) & (depth >= min_radius / 2))
    peaks: list[tuple[int, int]] = []
    for k in np.argsort(-depth[ys, xs], kind="stable"):
        peak = (int(ys[k]), int(xs[k]))
        if all(_least_between(depth, peak, other) < NECK * depth[peak] for other in peaks):
            peaks.append(peak)
    if len(peaks) < 2:
        return [body]
    y, x = np.indices(body.shape)
    power = [(y - py) ** 2 + (x - px) ** 2 - depth[py, px] ** 2 for py, px in peaks]
    owner = np.argmin(power, axis=0)
    return [body * (owner == k).astype(np.uint8) for k in range(len(peaks))]


def _least_between(depth: Texture, a: tuple[int, int], b: tuple[int, int]) -> float:
    """Return the least depth on the straight line from a to b."""
    steps = max(abs(a[0] - b[0]), abs(a[1] - b[1])) + 1
    ys, xs = (np.rint(np.linspace(a[k], b[k], steps)).astype(np.intp) for k in (0, 1))
    return float(depth[ys, xs].min())


def _shape(part: Image) -> tuple[Box, int, float]:
    """Return bounding box, area and solidity of the largest piece of a part."""
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = max(contours, key=cv2.contourArea)
    x, y, width, height = cv2.boundingRect(outline)
    hull = cv2.contourArea(cv2.convexHull(outline))
    solidity = cv2.contourArea(outline) / hull if hull else 0.0
    return (x, y, width, height), int(np.count_nonzero(part)), solidity


def _full_box(box: Box, factor: int, work_shape: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """Return a box in full-frame pixels; a box that ends at the reduced frame's edge ends at the frame's."""
    x, y, width, height = box
    right = shape[1] if x + width == work_shape[1] else (x + width) * factor
    bottom = shape[0] if y + height == work_shape[0] else (y + height) * factor
    return x * factor, y * factor, right - x * factor, bottom - y * factor


def _touches_edge(box: Box, shape: tuple[int, ...]) -> bool:
    x, y, width, height = box
    return x == 0 or y == 0 or x + width == shape[1] or y + height == shape[0]
