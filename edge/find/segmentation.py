"""Single cells in a bright-field frame: illumination, grid lines, Otsu, splitting, gates.

An unstained cell hardly absorbs light: it is brighter than its surround in some places and darker in others.
What sets it apart is the density of edges, so Otsu's threshold is taken on the smoothed gradient. The lines
of a counting chamber have edges too, but long straight ones, which a median along the line predicts.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell

Image = NDArray[np.uint8]
Map = NDArray[np.float32]
Signed = NDArray[np.int16]

DEFAULT_PIXEL_UM = 0.0727
"""Pixel of the hemocytometer frames in µm, measured on the 50 µm squares of their grid."""

WORKING_PIXEL_UM = 0.29
"""Pixel in µm to which a frame is reduced, by a whole factor: a leukocyte is some 35 of them wide."""

EDGE_SMOOTHING_UM = 0.29
"""Standard deviation of the Gaussian before the gradient: about the optical resolution of the microscope."""

TEXTURE_SMOOTHING_UM = 0.58
"""Standard deviation of the Gaussian that turns edges into texture: half the spacing of edges in a cell."""

LINE_WINDOW_UM = 59.0
"""Length of the median along a grid line; it stands up to cells that hide less than half of that."""

LINE_SAMPLES = 9
"""Samples in that window, as many as `_MEDIAN_OF_9` takes; the gaps between them are as long as they are."""

_MEDIAN_OF_9 = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)
"""Exchanges that leave the median in the middle: 19 are the fewest (J. L. Smith, XCell 23:16, 1996). On whole
rows they are 30 times as fast as a selection for each pixel."""

ILLUMINATION_UM = 19.0
"""Side of the mean that makes the illumination from what the lines leave: wider than a group of lines."""

HALO_UM = 1.16
"""Width by which the smoothing of the texture (two standard deviations) carries a body beyond its cell."""

MIN_TEXTURE = 0.12
"""Least texture of a cell: a slope of 1.5 % of the light a working pixel. A bare grid leaves less."""

QUIET_FIFTH = 0.74
"""A fifth of a frame's texture lies below this part of the noise's median (measured: 0.71 to 0.77, real and
simulated frames). Unlike the median itself it is still the background's where cells fill half of a frame."""

OTSU_LIMIT = 5.0
"""Highest threshold as a multiple of the noise floor, lest Otsu divide strong cells from faint ones."""

CLOSING_UM = 2.0
"""Diameter of the closing that joins the parts of one cell."""

NECK = 0.85
"""A constriction narrower than this part of the smaller of two bodies separates touching cells."""


def segment(
    image: Image,
    *,
    pixel_um: float = DEFAULT_PIXEL_UM,
    min_diameter_um: float = 7.5,
    max_diameter_um: float = 40.0,
    min_solidity: float = 0.6,
    min_contrast: float = 2.75,
    keep_border: bool = True,
    work: Image | None = None,
) -> list[Cell]:
    """Find the cells of a frame.

    Parameters
    ----------
    image : uint8 [h, w], grey
    pixel_um : size of a pixel in the sample, in µm
    min_diameter_um, max_diameter_um : limits of the equivalent diameter (of the disc of equal area), in µm;
        the foreground reaches over the diffraction ring, so it is some 1 µm wider than the cell
    min_solidity : least ratio of a cell's area to that of its convex hull
    min_contrast : least texture of the foreground, as a multiple of the noise's median texture
    keep_border : whether to return the cells that the frame's edge cuts (they are flagged either way)
    work : the frame as `reduced` makes it, if that is at hand

    Returns
    -------
    list of Cell, from top to bottom, then from left to right

    Raises
    ------
    ValueError
        If the image is not a grey uint8 image or an option is out of range.

    Notes
    -----
    Threshold: N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Syst. Man
    Cybern. 9 (1979) 62-66.
    """
    _check(image, pixel_um, (min_diameter_um, max_diameter_um), min_contrast)
    factor = _factor(pixel_um)
    work_um = pixel_um * factor
    if min(image.shape) < 2 * factor:
        return []
    if work is None:
        work, _ = reduced(image, pixel_um)
    texture = _texture(work, work_um)
    mask = _closed(_foreground(texture, min_contrast), CLOSING_UM / work_um)
    cells = []
    min_diameter = min_diameter_um / work_um
    for body, left, top in _bodies(mask, min_diameter / 2):
        parts = _split(body, min_diameter / 2, HALO_UM / work_um)
        for part in parts:
            shape = _shape(part)
            if shape is None:
                continue
            (x, y, width, height), area, solidity = shape
            box = _full_box(left + x, top + y, width, height, factor, work.shape, image.shape)
            border = _touches_edge(box, image.shape)
            # what the edge cuts is judged together with its mirror image
            diameter_um = 2 * (area * (2 if border else 1) / np.pi) ** 0.5 * work_um
            if not min_diameter_um <= diameter_um <= max_diameter_um or solidity < min_solidity:
                continue
            if keep_border or not border:
                cells.append(Cell(*box, float(area * factor**2), border, len(parts) > 1))
    return sorted(cells, key=lambda cell: (cell.y, cell.x, cell.height, cell.width))


def _grey(image: object) -> Image:
    """What OpenCV returned, as the uint8 image that it is (its annotations do not say)."""
    return np.asarray(image, np.uint8)


def _check(image: Image, pixel_um: float, diameters_um: tuple[float, float], min_contrast: float) -> None:
    if image.ndim != 2 or image.dtype != np.uint8:
        raise ValueError(f"a frame must be a grey uint8 image [h, w], not {image.dtype} {list(image.shape)}")
    if not 0 < pixel_um < np.inf:
        raise ValueError(f"the pixel size must be positive, not {pixel_um} µm")
    if not 0 < diameters_um[0] <= diameters_um[1]:
        raise ValueError(
            f"diameters must run from above 0 upward, not from {diameters_um[0]} to {diameters_um[1]} µm"
        )
    if not min_contrast > 0:
        raise ValueError(f"the least contrast must be positive, not {min_contrast}")


def reduced(image: Image, pixel_um: float) -> tuple[Image, float]:
    """Reduce a frame to about `WORKING_PIXEL_UM`, on which cells are looked for.

    Returns
    -------
    uint8 [h, w] and its pixel in µm; the frame itself where it is too small to hold a cell
    """
    factor = _factor(pixel_um)
    if min(image.shape) < 2 * factor:
        return image, pixel_um
    return _reduce(image, factor), pixel_um * factor


def _factor(pixel_um: float) -> int:
    return max(1, round(WORKING_PIXEL_UM / pixel_um))


def _reduce(image: Image, factor: int) -> Image:
    """Mean of factor x factor pixels; an incomplete last row or column of blocks is left out.

    By halves as far as that goes, which OpenCV does five times as fast; the mean is then rounded each time.
    """
    if factor > 2 and factor % 2 == 0:
        return _reduce(_reduce(image, 2), factor // 2)
    height, width = image.shape[0] // factor, image.shape[1] // factor
    whole = image[: height * factor, : width * factor]
    return _grey(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA))


def _texture(work: Image, work_um: float) -> Map:
    """Gradient that no grid line explains, relative to the illumination and smoothed, float32 [h, w].

    A line down, a line across, or where two lines meet both together may explain a pixel. A line lets through
    part of the light that its surround holds back, so two crossing ones let through 1 - (1 - v)(1 - h) of it.
    """
    smooth = _grey(cv2.GaussianBlur(work, (0, 0), EDGE_SMOOTHING_UM / work_um))
    edges = _gradient(smooth)
    down = _along_columns(smooth, work_um)
    across = _grey(cv2.transpose(_along_columns(_grey(cv2.transpose(smooth)), work_um)))
    illumination = cv2.blur(cv2.min(down, across), (2 * round(ILLUMINATION_UM / work_um / 2) + 1,) * 2)
    v, h = cv2.subtract(down, illumination), cv2.subtract(across, illumination)
    brightest = float(max(v.max(), h.max(), 1))
    # 16 bits: the sum may pass 255
    added = cv2.subtract(h, cv2.multiply(v, h, scale=1 / brightest))
    crossing: Signed = np.asarray(cv2.add(down, added, dtype=cv2.CV_16S), np.int16)
    either = cv2.min(_departure(edges, down), _departure(edges, across))
    # a slope below an eighth of a grey level is rounding
    rest = np.maximum(cv2.min(either, _departure(edges, crossing)), 1)
    relative = cv2.divide(rest, np.maximum(illumination, 1), dtype=cv2.CV_32F)
    return np.asarray(cv2.GaussianBlur(relative, (0, 0), TEXTURE_SMOOTHING_UM / work_um), np.float32)


def _gradient(image: Image | Signed) -> tuple[Signed, Signed]:
    """Derivatives to the right and downward, int16 [h, w] each (Sobel, 8 times the slope)."""
    right, down = (np.asarray(cv2.Sobel(image, cv2.CV_16S, dx, 1 - dx), np.int16) for dx in (1, 0))
    return right, down


def _departure(edges: tuple[Signed, Signed], explanation: Image | Signed) -> Signed:
    """How far the gradient is from that of an explanation (sum of the absolute differences), int16 [h, w]."""
    right, down = (cv2.absdiff(*pair) for pair in zip(edges, _gradient(explanation), strict=True))
    return np.asarray(cv2.add(right, down), np.int16)


def _along_columns(image: Image, work_um: float) -> Image:
    """Running median down the columns: what would be seen if no cell lay there.

    A line that leans by a few degrees is followed: at its edge equally many samples lie on either side.
    """
    height, width = image.shape
    reach = LINE_SAMPLES - 1
    rows = min(height, max(1, round(height * work_um * (2 * reach + 1) / LINE_WINDOW_UM)))
    coarse = cv2.resize(image, (width, rows), interpolation=cv2.INTER_AREA)
    mirrored = np.pad(coarse, ((reach, reach), (0, 0)), mode="reflect")
    window = [mirrored[k : k + rows] for k in range(0, 2 * reach + 1, 2)]
    for low, high in _MEDIAN_OF_9:
        window[low], window[high] = (
            np.minimum(window[low], window[high]),
            np.maximum(window[low], window[high]),
        )
    return _grey(cv2.resize(window[reach // 2], (width, height), interpolation=cv2.INTER_LINEAR))


def _foreground(texture: Map, min_contrast: float) -> Image:
    """Otsu's threshold on the square root of the texture, among the pixels that stand out of the noise.

    Cells fill a per cent of most frames; over all pixels Otsu would divide the background. They may fill
    two thirds: the noise is told from the quietest fifth.
    """
    floor = min_contrast * float(np.percentile(texture[::4, ::4], 20)) / QUIET_FIFTH
    candidates = np.sqrt(texture[texture > floor])
    if not candidates.size:
        return np.zeros(texture.shape, np.uint8)
    top = float(candidates.max())
    level, _ = cv2.threshold((candidates * (255 / top)).astype(np.uint8), 0, 255, cv2.THRESH_OTSU)
    otsu = (level / 255 * top) ** 2
    threshold = max(floor, MIN_TEXTURE, min(otsu, OTSU_LIMIT * floor))
    return _grey(texture > threshold)


def _closed(mask: Image, diameter: float) -> Image:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(diameter / 2) + 1,) * 2)
    return _grey(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc))


def _bodies(mask: Image, least: float) -> list[tuple[Image, int, int]]:
    """Connected foreground longer than `least`, holes filled: uint8 [h, w] of 0 and 1, left, top."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    bodies = []
    for contour in contours:
        x, y, width, height = cv2.boundingRect(contour)
        if max(width, height) < least:
            continue
        body = np.zeros((height, width), np.uint8)
        cv2.drawContours(body, [contour], -1, (1,), cv2.FILLED, offset=(-x, -y))
        bodies.append((body, x, y))
    return bodies


def _split(body: Image, min_radius: float, halo: float) -> list[Image]:
    """Parts of a body that necks separate; the body itself if there are none.

    Each part is grown around a peak of the distance to the outline. Two peaks stand for two cells if the body
    narrows between them; a pixel then belongs to the circle (peak, distance) of least power.
    """
    padded = cv2.copyMakeBorder(body, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=(0,))
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 5)[1:-1, 1:-1]
    # rounded, for OpenCV's distances differ in the last digit between processors
    depth = np.round(np.maximum(distance - halo, 0), 2).astype(np.float32)
    reach = 2 * round(min_radius / 2) + 1
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
    ys, xs = np.nonzero((depth >= cv2.dilate(depth, disc)) & (depth >= min_radius / 2))
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


def _touches_edge(box: tuple[int, int, int, int], shape: tuple[int, ...]) -> bool:
    x, y, width, height = box
    return x == 0 or y == 0 or x + width == shape[1] or y + height == shape[0]
