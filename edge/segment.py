"""Single cells in a bright-field frame: illumination, grid lines, Otsu, splitting, gates.

An unstained cell hardly absorbs light: against its surround it is brighter in some places and darker in others.
What sets it apart is the density of edges, so Otsu's threshold is taken on the smoothed gradient. The lines of
a counting chamber have edges as well, but long straight ones, which a median along the line predicts.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Map = NDArray[np.float32]

DEFAULT_PIXEL_UM = 0.0727
"""Pixel of the hemocytometer frames in µm, measured on the 50 µm squares of their grid."""

WORKING_PIXEL_UM = 0.29
"""Pixel in µm to which a frame is reduced, by a whole factor: a leukocyte is some 35 of them wide."""

EDGE_SMOOTHING_UM = 0.29
"""Standard deviation of the Gaussian before the gradient: about the optical resolution of the microscope."""

TEXTURE_SMOOTHING_UM = 0.58
"""Standard deviation of the Gaussian that turns edges into texture: about half the spacing of edges in a cell."""

LINE_WINDOW_UM = 59.0
"""Length of the median along a grid line: over twice what the largest cells hide of the line."""

LINE_SAMPLES = 17
"""Samples in that window."""

LINE_TILT = 0.05
"""Largest tilt, as a tangent, at which an edge counts as one of a grid line."""

CLOSING_UM = 2.0
"""Diameter of the closing that joins the parts of one cell."""

NECK = 0.85
"""A constriction narrower than this part of the smaller of two bodies separates touching cells."""


@dataclass(frozen=True)
class Cell:
    """One segmented cell, in full-frame pixels.

    Attributes
    ----------
    x, y, width, height : the bounding box, diffraction ring included; x, y its upper left pixel
    area_px : foreground area
    border : the box touches the frame's edge
    touching : the cell was split from, or touches, another one
    """

    x: int
    y: int
    width: int
    height: int
    area_px: float
    border: bool
    touching: bool


def segment(
    image: Image,
    *,
    pixel_um: float = DEFAULT_PIXEL_UM,
    min_diameter_um: float = 7.5,
    max_diameter_um: float = 40.0,
    min_solidity: float = 0.7,
    min_contrast: float = 3.0,
    keep_border: bool = True,
) -> list[Cell]:
    """Find the cells of a frame.

    Parameters
    ----------
    image : uint8 [h, w], grey
    pixel_um : size of a pixel in the sample, in µm
    min_diameter_um, max_diameter_um : limits of the equivalent diameter (of the disc of equal area), in µm;
        the foreground reaches over the diffraction ring, so it is some 1 µm wider than the cell
    min_solidity : least ratio of a cell's area to that of its convex hull
    min_contrast : least texture of the foreground, as a multiple of the frame's median texture (its noise)
    keep_border : whether to return the cells that the frame's edge cuts (they are flagged either way)

    Returns
    -------
    list of Cell, from top to bottom, then from left to right

    Raises
    ------
    ValueError
        If the image is not a grey uint8 image or an option is out of range.

    Notes
    -----
    Threshold: N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Syst. Man Cybern.
    9 (1979) 62-66.
    """
    _check(image, pixel_um, min_diameter_um, max_diameter_um)
    factor = max(1, min(round(WORKING_PIXEL_UM / pixel_um), *image.shape)) if image.size else 1
    work_um = pixel_um * factor
    if min(image.shape) < 2 * factor:
        return []
    work = _reduce(image, factor)
    texture = _texture(work, work_um)
    mask = _closed(_foreground(texture, min_contrast), CLOSING_UM / work_um)
    cells = []
    for body, left, top in _bodies(mask):
        parts = _split(body, min_diameter_um / work_um / 2)
        for part in parts:
            shape = _shape(part)
            if shape is None:
                continue
            (x, y, width, height), area, solidity = shape
            diameter_um = 2 * (area / np.pi) ** 0.5 * work_um
            if not min_diameter_um <= diameter_um <= max_diameter_um or solidity < min_solidity:
                continue
            box = _full_box(left + x, top + y, width, height, factor, work.shape, image.shape)
            border = (
                box[0] == 0
                or box[1] == 0
                or box[0] + box[2] == image.shape[1]
                or box[1] + box[3] == image.shape[0]
            )
            if keep_border or not border:
                cells.append(Cell(*box, float(area * factor**2), border, len(parts) > 1))
    return sorted(cells, key=lambda cell: (cell.y, cell.x, cell.height, cell.width))


def _check(image: Image, pixel_um: float, min_diameter_um: float, max_diameter_um: float) -> None:
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"a frame must be a grey uint8 image [h, w], not {image.dtype} {list(image.shape)}")
    if not pixel_um > 0:
        raise ValueError(f"pixel_um must be positive, not {pixel_um}")
    if not 0 < min_diameter_um <= max_diameter_um:
        raise ValueError(f"diameters must satisfy 0 < {min_diameter_um} (min) <= {max_diameter_um} (max)")


def _reduce(image: Image, factor: int) -> Image:
    """Mean of factor x factor pixels; an incomplete last row or column of blocks is left out."""
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor]
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _texture(work: Image, work_um: float) -> Map:
    """Gradient that no grid line explains, relative to the illumination and smoothed, float32 [h, w].

    A pixel may be explained by a line down, by a line across, or where two meet by both: a line lets through
    a part of the light that its surround holds back, so of two crossing lines this part is 1 - (1 - v)(1 - h).
    """
    smooth = np.asarray(cv2.GaussianBlur(work, (0, 0), EDGE_SMOOTHING_UM / work_um), np.uint8)
    turned = np.ascontiguousarray(smooth.T)
    down = _along_columns(smooth, work_um)
    across = np.ascontiguousarray(_along_columns(turned, work_um).T)
    light = cv2.blur(cv2.min(down, across), (65, 65))
    dv, dh = cv2.subtract(down, light), cv2.subtract(across, light)
    contrast = float(max(dv.max(), dh.max(), 1))
    both = cv2.subtract(
        cv2.add(dv, dh, dtype=cv2.CV_16S), cv2.multiply(dv, dh, scale=1 / contrast, dtype=cv2.CV_16S)
    )
    crossing = cv2.add(both, light, dtype=cv2.CV_16S)
    edges = _gradient(smooth)
    rest = cv2.min(_distance(edges, _gradient(down)), _distance(edges, _gradient(across)))
    rest = cv2.min(rest, _distance(edges, _gradient(crossing)))
    relative = cv2.divide(rest, light, dtype=cv2.CV_32F)
    return np.asarray(cv2.GaussianBlur(relative, (0, 0), TEXTURE_SMOOTHING_UM / work_um), np.float32)


def _along_columns(work: Image, work_um: float) -> Image:
    """Running median along near-vertical lines: what a column shows where no cell lies on it."""
    height, width = work.shape
    rows = max(1, round(height * work_um * LINE_SAMPLES / LINE_WINDOW_UM))
    coarse = cv2.resize(work, (width, min(rows, height)), interpolation=cv2.INTER_AREA)
    rows = len(coarse)
    tilt = _tilt(work)
    upright = np.array([[1, tilt * height / rows, -tilt * height / 2], [0, 1, 0]], np.float32)
    inverse = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    coarse = cv2.warpAffine(coarse, upright, (width, rows), flags=inverse, borderMode=cv2.BORDER_REPLICATE)
    half = LINE_SAMPLES // 2
    padded = np.pad(coarse, ((half, half), (0, 0)), mode="reflect")
    window = np.stack([padded[k : k + rows] for k in range(LINE_SAMPLES)])
    window.partition(half, axis=0)
    median = cv2.warpAffine(
        window[half], upright, (width, rows), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cv2.resize(median, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)


def _tilt(work: Image) -> float:
    """Tangent of the near-vertical edges' common tilt: least squares over the edges within LINE_TILT."""
    coarse = work[::2, ::2]
    gx, gy = (cv2.Sobel(coarse, cv2.CV_32F, dx, 1 - dx) for dx in (1, 0))
    along = np.where(np.abs(gy) < LINE_TILT * np.abs(gx), gx, 0)
    weight = float(np.vdot(along, along))
    return -float(np.vdot(along, gy)) / weight if weight else 0.0


def _gradient(image: NDArray[np.uint8] | NDArray[np.int16]) -> tuple[NDArray[np.int16], NDArray[np.int16]]:
    gx, gy = (np.asarray(cv2.Sobel(image, cv2.CV_16S, dx, 1 - dx), np.int16) for dx in (1, 0))
    return gx, gy


def _distance(
    a: tuple[NDArray[np.int16], NDArray[np.int16]], b: tuple[NDArray[np.int16], NDArray[np.int16]]
) -> NDArray[np.int16]:
    return np.asarray(cv2.add(np.abs(a[0] - b[0]), np.abs(a[1] - b[1])), np.int16)


def _foreground(texture: Map, min_contrast: float) -> Image:
    """Otsu's threshold on the square root of the texture, among the pixels that stand out of the noise.

    Cells fill a per cent of a frame; over all pixels Otsu would divide the background.
    """
    floor = min_contrast * float(np.median(texture[::4, ::4]))
    candidates = np.sqrt(texture[texture > floor])
    if not candidates.size:
        return np.zeros(texture.shape, np.uint8)
    top = float(candidates.max())
    level, _ = cv2.threshold((candidates * (255 / top)).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    threshold = max(floor, (level / 255 * top) ** 2)
    return (texture > threshold).astype(np.uint8)


def _closed(mask: Image, diameter: float) -> Image:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(diameter / 2) + 1,) * 2)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), np.uint8)


def _bodies(mask: Image) -> list[tuple[Image, int, int]]:
    """Connected foreground with its holes filled: uint8 [h, w] in {0, 1}, and the column and row of its corner."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    bodies = []
    for contour in contours:
        x, y, width, height = cv2.boundingRect(contour)
        body = np.zeros((height, width), np.uint8)
        cv2.drawContours(body, [contour], -1, 1, cv2.FILLED, offset=(-x, -y))
        bodies.append((body, x, y))
    return bodies


def _split(body: Image, min_radius: float) -> list[Image]:
    """Parts of a body that necks separate; the body itself if there are none.

    Each part is grown around a peak of the distance to the outline. Two peaks stand for two cells if the body
    narrows between them; a pixel then belongs to the circle (peak, distance) of least power.
    """
    padded = cv2.copyMakeBorder(body, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    depth = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    # OpenCV's distances differ in the last digit between processors
    depth = np.round(depth, 2)
    reach = 2 * int(min_radius * 0.7) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    ys, xs = np.nonzero((depth >= cv2.dilate(depth, disc)) & (depth >= min_radius * 0.7))
    peaks: list[tuple[int, int]] = []
    for k in np.argsort(-depth[ys, xs], kind="stable"):
        peak = (int(ys[k]), int(xs[k]))
        if all(_between(depth, peak, other) < NECK * depth[peak] for other in peaks):
            peaks.append(peak)
    if len(peaks) < 2:
        return [body]
    y, x = np.indices(body.shape)
    power = [(y - py) ** 2 + (x - px) ** 2 - depth[py, px] ** 2 for py, px in peaks]
    owner = np.argmin(power, axis=0)
    return [body * (owner == k).astype(np.uint8) for k in range(len(peaks))]


def _between(depth: Map, a: tuple[int, int], b: tuple[int, int]) -> float:
    """Least depth on the straight line from a to b."""
    steps = max(abs(a[0] - b[0]), abs(a[1] - b[1])) + 1
    ys, xs = (np.rint(np.linspace(a[k], b[k], steps)).astype(np.intp) for k in (0, 1))
    return float(depth[ys, xs].min())


def _shape(part: Image) -> tuple[tuple[int, int, int, int], int, float] | None:
    """Bounding box, area and solidity of the largest piece of a part, or None if it is empty."""
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not contours:
        return None
    outline = max(contours, key=cv2.contourArea)
    x, y, width, height = cv2.boundingRect(outline)
    hull = cv2.contourArea(cv2.convexHull(outline))
    solidity = cv2.contourArea(outline) / hull if hull else 0.0
    return (x, y, width, height), int(np.count_nonzero(part)), solidity


def _full_box(
    x: int, y: int, width: int, height: int, factor: int, work_shape: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, int, int, int]:
    """Box in full-frame pixels; one that ends at the reduced frame's edge ends at the frame's edge."""
    right = shape[1] if x + width == work_shape[1] else (x + width) * factor
    bottom = shape[0] if y + height == work_shape[0] else (y + height) * factor
    return x * factor, y * factor, right - x * factor, bottom - y * factor
