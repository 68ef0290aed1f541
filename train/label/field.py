"""One field: its bright-field frame and its fluorescence become cells with measurements and suggestions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.find import HALO_UM, segment
from train.label.focus import sharpness
from train.label.nuclei import Nucleus, find_nuclei, measure_nuclei
from train.label.register import Shift, measure_shift, reason_to_refuse, take_off
from train.label.stained import looks_stained
from train.label.suggest import UNSURE, Suggestion, suggest


class MismatchError(ValueError):
    """The two frames are not of one field."""


@dataclass(frozen=True)
class LabelledCell:
    """A cell, what was measured of it, and what it may be.

    Attributes
    ----------
    cell : where it lies in the bright-field frame
    nucleus : its nucleus, or None
    suggestion : class and reason
    sharpness : see `train.label.focus`
    """

    cell: Cell
    nucleus: Nucleus | None
    suggestion: Suggestion
    sharpness: float


@dataclass(frozen=True, eq=False)
class Field:
    """A labelled field.

    Attributes
    ----------
    cells : in the order of the segmentation
    shift : the fluorescence's, as measured
    fluorescence : uint8 [h, w], the shift (in whole pixels) taken off
    """

    cells: list[LabelledCell]
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
    """Find the cells and nuclei of a field, bring them together and suggest a class for each cell.

    Parameters
    ----------
    brightfield, fluorescence
        uint8 [h, w] of one size.
    pixel_um
        Side of a pixel in the specimen.
    max_shift_um
        Largest shift between the two that is corrected.
    segmentation
        Options of `edge.find.segmentation.segment`.

    Raises
    ------
    MismatchError
        If the two are of different size or do not show the same cells; the message says why.
    """
    if brightfield.shape != fluorescence.shape:
        sizes = " and ".join(f"{w}×{h} px" for h, w in (brightfield.shape, fluorescence.shape))
        raise MismatchError(f"frames of different size, {sizes}")
    if looks_stained(brightfield, pixel_um) and not looks_stained(fluorescence, pixel_um):
        raise MismatchError("BRIGHTFIELD and FLUORESCENCE look exchanged")
    cells = segment(brightfield, pixel_um=pixel_um, **(segmentation or {}))
    if not cells:
        raise MismatchError("no cells in the bright field: is the pixel size right?")
    stain = find_nuclei(fluorescence, pixel_um)
    middles = np.array([(cell.x + cell.width / 2, cell.y + cell.height / 2) for cell in cells])
    if not len(stain.centroids):
        raise MismatchError("no nuclei in the fluorescence")
    height, width = brightfield.shape
    shift = measure_shift(middles, stain.centroids, (height, width), pixel_um, max_shift_um)
    reason = reason_to_refuse(shift, pixel_um, max_shift_um)
    if reason is not None:
        raise MismatchError(reason)

    x_px, y_px = round(shift.x_px), round(shift.y_px)
    aligned = replace(
        stain,
        signal=take_off(stain.signal, x_px, y_px),
        spots=take_off(stain.spots, x_px, y_px),
        centroids=stain.centroids - (x_px, y_px),
    )
    nuclei = measure_nuclei(aligned, cells, pixel_um)
    suggestions = [
        suggest(nucleus)
        if _seen(cell, (height, width), x_px, y_px, pixel_um)
        else Suggestion(UNSURE, "reaches beyond the fluorescence")
        for cell, nucleus in zip(cells, nuclei, strict=True)
    ]
    return Field(
        [
            LabelledCell(cell, nucleus, suggestion, sharpness(brightfield, cell, pixel_um))
            for cell, nucleus, suggestion in zip(cells, nuclei, suggestions, strict=True)
        ],
        shift,
        take_off(fluorescence, x_px, y_px),
    )


def _seen(cell: Cell, shape: tuple[int, int], x_px: int, y_px: int, pixel_um: float) -> bool:
    """Tell whether the shifted fluorescence covers a cell, whose box reaches over it by the halo."""
    height, width = shape
    halo = HALO_UM / pixel_um
    return (
        cell.x + x_px >= -halo
        and cell.x + cell.width + x_px <= width + halo
        and cell.y + y_px >= -halo
        and cell.y + cell.height + y_px <= height + halo
    )
