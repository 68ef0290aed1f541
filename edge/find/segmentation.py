"""The cells of a bright-field frame: Otsu's threshold on its texture, splitting, limits of size and shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, declare
from edge.find.crops import grey_quantiles
from edge.find.reduction import reduced, working_factor
from edge.find.rims import cells_in_rim, enclosed_holes, is_thin
from edge.find.splitting import Part, split_at_necks
from edge.find.texture import Texture, bands, texture

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

DARK = 0.1
"""Share of the field's light (its 90th percentile) below which a place is not lit: outside a field stop."""

LEAST_DARK = 0.01
"""Least share of such places that counts: the dark parts of cells are less."""

JUST_BELOW = 0.8
"""Diameter of a body, as a share of the smallest cell's, from which it is just below it."""

MOST_OUTLINED = 5
"""How often bodies larger than cells, with what they enclose, may fill the frame: outlines inside outlines
would take a minute."""

NEAR_GATE = 0.1
"""Relative change of a size gate whose effect on a count is stated."""

Loss = Literal[
    "too_small",
    "just_below",
    "near_below",
    "near_above",
    "too_large",
    "not_round",
    "cut",
    "unlit",
    "outline",
    "too_faint",
]
"""Why a body is no cell: `just_below` if it is a little too small and else a cell, `near_below` or
`near_above` if it is one for a gate moved by `NEAR_GATE`; an outline encloses a part of the field, and
`too_faint` is looked for only where no cell was found."""


@dataclass(frozen=True)
class Segmentation:
    """What was found in a frame.

    Attributes
    ----------
    lost : mapping
        Reason (`Loss`) → bodies that are no cells.
    hidden_share : float
        Share of the frame in which no cell could be found: dark, or covered by bodies too large for cells; 1
        where there are too many of these to look for any.
    """

    cells: list[Cell]
    lost: Mapping[str, int]
    hidden_share: float


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
    """Return the cells of a grey frame; see `segment_frame`."""
    return segment_frame(image, pixel_um=pixel_um, gates=gates, min_contrast=min_contrast, work=work).cells


def segment_frame(
    image: Image,
    *,
    pixel_um: float = DEFAULT_PIXEL_UM,
    gates: Gates = Gates(),
    min_contrast: float = 2.75,
    work: Image | None = None,
    most: int | None = None,
) -> Segmentation:
    """Find the cells of a grey frame, uint8 [h, w], from top to bottom, then from left to right.

    Parameters
    ----------
    min_contrast : float
        Least texture of the foreground, as a multiple of the noise's median texture.
    work : uint8 [h, w], optional
        The frame as `reduced` returns it, if available.
    most : int, optional
        Cells from which on a frame is too crowded: of more, some are returned.
    """
    _check(image, pixel_um, gates, min_contrast)
    factor = working_factor(pixel_um)
    work_um = pixel_um * factor
    if min(image.shape) < 2 * factor:
        return Segmentation([], {}, 0.0)
    if work is None:
        work, _ = reduced(image, pixel_um)
    textured = texture(work, work_um)
    floor = min_contrast * float(np.percentile(textured[::4, ::4], 20)) / QUIET_FIFTH
    above = textured > floor
    mask = _closed(_foreground(textured, floor, above), CLOSING_UM / work_um)
    faint = np.packbits(above, axis=1)
    del textured, above  # most of the memory that the frame takes
    min_radius = gates.min_diameter_um / work_um / 2
    largest = np.pi / 4 * (gates.max_diameter_um / work_um) ** 2
    field, lost, hidden, outlined = _Field(work, factor, work_um, image.shape), Counter[str](), 0, 0
    cells: list[Cell] = []
    bodies = _bodies(mask, min_radius, largest, lost)
    del mask
    for body, left, top, rim in bodies:
        outlined += body.size if body.size > largest else 0
        if outlined > MOST_OUTLINED * work.size:
            return Segmentation([], {"outline": lost["outline"]}, 1.0)
        parts = (cells_in_rim if rim else split_at_necks)(body, min_radius, HALO_UM / work_um)
        hidden += field.judge(body, parts, left, top, rim=rim, gates=gates, cells=cells, lost=lost)
        del body, parts  # as large as the frame, and so are the next ones
        if most is not None and len(cells) > most:
            break  # each body takes a millisecond, and of a wrong pixel size each speck is one
    if not cells:
        lost["too_faint"] += _faint_bodies(np.unpackbits(faint, axis=1, count=work.shape[1]), min_radius)
    cells.sort(key=lambda cell: (cell.y, cell.x, cell.height, cell.width))
    return Segmentation(cells, +lost, field.dark_share + hidden / work.size)


class _Field:
    """What tells the cells among the bodies of a frame."""

    def __init__(self, work: Image, factor: int, work_um: float, shape: tuple[int, ...]) -> None:
        self._work, self._factor, self._work_um, self._shape = work, factor, work_um, shape
        self._dark, self.dark_share = _unlit(work)

    def _lit_pixels(self, part: Image, left: int, top: int) -> int:
        lit = self._work[top : top + part.shape[0], left : left + part.shape[1]] >= self._dark
        return int(np.count_nonzero(part & lit))

    def judge(
        self,
        body: Image,
        parts: list[Part],
        left: int,
        top: int,
        *,
        rim: bool,
        gates: Gates,
        cells: list[Cell],
        lost: Counter[str],
    ) -> int:
        """Add a body's parts to the cells, or to what is lost; return the pixels that they hide."""
        hidden = 0
        if rim:
            lost["outline"] += 1
            for part, x, y in parts:
                body[y : y + part.shape[0], x : x + part.shape[1]] &= ~part
            hidden += self._lit_pixels(body, left, top)
        for part, part_left, part_top in parts:
            if not part.any():
                continue
            x, y = left + part_left, top + part_top
            if self.dark_share and 2 * self._lit_pixels(part, x, y) < np.count_nonzero(part):
                lost["unlit"] += 1  # its place is not part of the field
                continue
            place, area, solidity = _shape(part, x, y)
            box = _full_box(place, self._factor, self._work.shape, self._shape)
            border = _touches_edge(box, self._shape)
            # a cell that the edge cuts is judged together with its mirror image
            diameter_um = 2 * (area * (2 if border else 1) / np.pi) ** 0.5 * self._work_um
            if reason := _why_no_cell(diameter_um, solidity, border, gates):
                lost[reason] += 1
            else:
                cells.append(Cell(*box, float(area * self._factor**2), border, len(parts) > 1))
            if reason in ("near_above", "too_large"):
                hidden += self._lit_pixels(part, x, y)
        return hidden


def _why_no_cell(diameter_um: float, solidity: float, border: bool, gates: Gates) -> Loss | None:
    """Return which gate a body does not pass; None for a cell."""
    low, high = gates.min_diameter_um, gates.max_diameter_um
    if diameter_um < low:
        if diameter_um < JUST_BELOW * low or solidity < gates.min_solidity:
            return "too_small"
        return "near_below" if diameter_um >= (1 - NEAR_GATE) * low else "just_below"
    if diameter_um > high:
        near = diameter_um <= (1 + NEAR_GATE) * high and solidity >= gates.min_solidity
        return "near_above" if near else "too_large"
    if solidity < gates.min_solidity:
        return "not_round"
    return "cut" if border and not gates.keep_border else None


def _unlit(work: Image) -> tuple[float, float]:
    """Return the grey level below which a place is not lit, and the share of such places."""
    sample = np.ascontiguousarray(work[::4, ::4])
    level = DARK * float(grey_quantiles(sample, (0.9,))[0])
    share = float(np.count_nonzero(sample < level)) / sample.size
    return level, share if share >= LEAST_DARK else 0.0


def _faint_bodies(mask: Image, min_radius: float) -> int:
    """Return how many bodies as long as a cell's radius stand out from the noise."""
    contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    return sum(max(cv2.boundingRect(contour)[2:]) >= min_radius for contour in contours)


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


def _foreground(textured: Texture, floor: float, above: NDArray[np.bool_]) -> Image:
    """Return the mask of Otsu's threshold on the square root of the texture, where that is above the floor.

    Cells fill one per cent of most frames: over all pixels Otsu would divide the background. They may also
    fill two thirds, so the noise is estimated from the quietest fifth.

    N. Otsu, "A threshold selection method from gray-level histograms", IEEE Trans. Syst. Man Cybern. 9
    (1979) 62-66.
    """
    if not above.any():
        return np.zeros(textured.shape, np.uint8)
    top = float(np.sqrt(textured.max()))
    roots = (np.sqrt(textured[band][above[band]]) * (255 / top) for band in bands(textured.shape))
    candidates = np.concatenate([part.astype(np.uint8) for part in roots])
    level, _ = cv2.threshold(candidates, 0, 255, cv2.THRESH_OTSU, dst=candidates)
    otsu = (level / 255 * top) ** 2
    mask = textured > max(floor, MIN_TEXTURE, min(otsu, OTSU_LIMIT * floor))
    return np.asarray(mask.view(np.uint8), np.uint8)


def _closed(mask: Image, diameter: float) -> Image:
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * round(diameter / 2) + 1,) * 2)
    return np.asarray(cv2.morphologyEx(mask, cv2.MORPH_CLOSE, disc), np.uint8)


def _bodies(
    mask: Image, min_radius: float, largest: float, lost: Counter[str]
) -> Iterator[tuple[Image, int, int, bool]]:
    """Yield each body longer than `min_radius`, uint8 [h, w] of 0 and 1, with left, top, and if it is a rim.

    Holes are filled, except those of more pixels than the largest cell: a body with such a hole is the rim of
    a bubble, a drop, a well or the field, or cells that touch all around. What lies in the hole comes too.
    """
    waiting = [(mask, 0, 0)]
    del mask
    while waiting:
        mask, left, top = waiting.pop()
        contours, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        for contour in contours:
            x, y, width, height = cv2.boundingRect(contour)
            if max(width, height) < min_radius:
                lost["too_small"] += 1
                continue
            body = np.zeros((height, width), np.uint8)
            cv2.drawContours(body, [contour], -1, (1,), cv2.FILLED, offset=(-x, -y))
            rim = False
            if width * height > largest:
                here = mask[y : y + height, x : x + width]
                enclosed = enclosed_holes((body > here).view(np.uint8), largest)
                rim = enclosed is not None or is_thin(contour)
                if enclosed is not None:
                    body &= ~enclosed
                    enclosed &= here
                    waiting.append((enclosed, left + x, top + y))
                del enclosed
            yield body, left + x, top + y, rim


def _shape(part: Image, left: int, top: int) -> tuple[Box, int, float]:
    """Return bounding box, area and solidity of the largest piece of a part; holes are part of the area."""
    contours, _ = cv2.findContours(part, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = max(contours, key=cv2.contourArea)
    x, y, width, height = cv2.boundingRect(outline)
    hull = cv2.contourArea(cv2.convexHull(outline))
    inside = cv2.contourArea(outline)
    solidity = inside / hull if hull else 0.0
    # through the middles of the pixels: the larger one only around a hole
    return (left + x, top + y, width, height), max(int(np.count_nonzero(part)), round(inside)), solidity


def _full_box(box: Box, factor: int, work_shape: tuple[int, ...], shape: tuple[int, ...]) -> Box:
    """Return a box in full-frame pixels; a box that ends at the reduced frame's edge ends at the frame's."""
    x, y, width, height = box
    right = shape[1] if x + width == work_shape[1] else (x + width) * factor
    bottom = shape[0] if y + height == work_shape[0] else (y + height) * factor
    return x * factor, y * factor, right - x * factor, bottom - y * factor


def _touches_edge(box: Box, shape: tuple[int, ...]) -> bool:
    x, y, width, height = box
    return x == 0 or y == 0 or x + width == shape[1] or y + height == shape[0]
