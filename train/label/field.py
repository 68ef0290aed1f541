"""One field: its bright-field frame and its fluorescence give cells with measures and suggestions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.find import HALO_UM, Gates, segment
from train.images import reduced_to
from train.label.focus import sharpness
from train.label.nuclei import Nucleus, find_nuclei, measure_nuclei
from train.label.register import MismatchError, Shift, check_shift, measure_shift, take_off
from train.label.suggest import UNSURE, Suggestion, suggest

GRID_UM = 1.0
"""Pixel at which frames are compared: it averages out photon noise and hot pixels."""

BACKGROUND_UM = 51.0
"""Side of the running median that gives the background, as long as cells fill less than half of it."""

TAIL_PERCENT = 0.1
"""Part of the frame that is brighter, and darker, than the compared levels: less than one nucleus."""

ONE_SIDED = 5.0
"""Smallest reach upward of a stain, as a multiple of that downward. Simulated stains: at least 144, or 5 if
haze and noise nearly hide it. Bright field: at most 1.1 simulated, at most 3.5 in hemocytometer frames, whose
grid is brighter than the field."""


@dataclass(frozen=True)
class MeasuredCell:
    """A cell, its nucleus or None, the suggested class, and its sharpness (see `train.label.focus`)."""

    cell: Cell
    nucleus: Nucleus | None
    suggestion: Suggestion
    sharpness: float


@dataclass(frozen=True, eq=False)
class Field:
    """A labelled field, the measured shift of its fluorescence, and the fluorescence without it."""

    cells: list[MeasuredCell]
    shift: Shift
    fluorescence: NDArray[np.uint8]


def label_field(
    brightfield: NDArray[np.uint8],
    fluorescence: NDArray[np.uint8],
    *,
    pixel_um: float,
    max_shift_um: float = 10.0,
    segmentation: Mapping[str, Any] | None = None,
) -> Field:
    """Find the cells and nuclei of a field, match them and suggest a class for each cell.

    Parameters
    ----------
    brightfield, fluorescence : uint8 [h, w]
        Of one size.
    segmentation : mapping, optional
        Fields of `edge.find.Gates`.

    Raises
    ------
    MismatchError
        If the two differ in size or do not show the same cells.
    """
    if brightfield.shape != fluorescence.shape:
        sizes = " and ".join(f"{w}×{h} px" for h, w in (brightfield.shape, fluorescence.shape))
        raise MismatchError(f"frames of different size, {sizes}")
    if looks_stained(brightfield, pixel_um) and not looks_stained(fluorescence, pixel_um):
        raise MismatchError("BRIGHTFIELD and FLUORESCENCE appear to be swapped")
    cells = segment(brightfield, pixel_um=pixel_um, gates=Gates(**(segmentation or {})))
    if not cells:
        raise MismatchError("no cells in the bright field: is the pixel size right?")
    stain = find_nuclei(fluorescence, pixel_um)
    if not len(stain.centroids):
        raise MismatchError("no nuclei in the fluorescence")
    middles = np.array([(cell.x + cell.width / 2, cell.y + cell.height / 2) for cell in cells])
    height, width = brightfield.shape
    shift = measure_shift(middles, stain.centroids, (height, width), pixel_um, max_shift_um)
    check_shift(shift, pixel_um, max_shift_um)
    x_px, y_px = round(shift.x_px), round(shift.y_px)
    aligned = replace(
        stain,
        signal=take_off(stain.signal, x_px, y_px),
        spots=take_off(stain.spots, x_px, y_px),
        centroids=stain.centroids - (x_px, y_px),
    )
    nuclei = measure_nuclei(aligned, cells, pixel_um)
    halo = HALO_UM / pixel_um  # of the segmentation, by which a cell's box may reach beyond the fluorescence
    measured = []
    for cell, nucleus in zip(cells, nuclei, strict=True):
        left, top = cell.x + x_px, cell.y + y_px
        right, bottom = left + cell.width, top + cell.height
        covered = min(left, top) >= -halo and right <= width + halo and bottom <= height + halo
        suggestion = suggest(nucleus) if covered else Suggestion(UNSURE, "reaches beyond the fluorescence")
        measured.append(MeasuredCell(cell, nucleus, suggestion, sharpness(brightfield, cell, pixel_um)))
    return Field(measured, shift, take_off(fluorescence, x_px, y_px))


def looks_stained(image: NDArray[np.uint8], pixel_um: float) -> bool:
    """Return whether a frame uint8 [h, w] is bright on dark, as stained nuclei are.

    An unstained cell hardly absorbs light: it is brighter than the field around it in some places and darker
    in others. A fluorescence frame has nothing darker than its background.
    """
    coarse, coarse_um = reduced_to(image, pixel_um, GRID_UM)
    window = 2 * round(BACKGROUND_UM / coarse_um / 2) + 1
    level = coarse.astype(np.int16) - cv2.medianBlur(coarse, window)
    low, middle, high = np.percentile(level, (TAIL_PERCENT, 50, 100 - TAIL_PERCENT))
    # one grey level is rounding
    return bool(high - middle >= ONE_SIDED * max(middle - low, 1.0))
