"""Annotated boxes of frames, and which of them were found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from train.readings import renamed
from train.table import Box, file_name, read_table

Boxes = NDArray[np.float64]
"""xmin, ymin, xmax, ymax in a row; max exclusive."""


def match_boxes(found: Boxes, truth: Boxes, iou: float) -> list[tuple[int, int]]:
    """Pair boxes one to one, the greatest overlap first.

    Parameters
    ----------
    found : float64 [n, 4]
        xmin, ymin, xmax, ymax; max exclusive.
    truth : float64 [m, 4]
        In the same form.
    iou : float
        Least intersection over union of a pair, above 0.

    Returns
    -------
    list of (index into found, index into truth)
    """
    low = np.maximum(found[:, None, :2], truth[None, :, :2])
    high = np.minimum(found[:, None, 2:], truth[None, :, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=2)
    union = _areas(found)[:, None] + _areas(truth)[None] - common
    overlap = common / np.maximum(union, np.finfo(float).tiny)
    pairs = []
    while overlap.size and overlap.max() >= iou:
        row, column = (int(k) for k in np.unravel_index(np.argmax(overlap), overlap.shape))
        pairs.append((row, column))
        overlap[row] = overlap[:, column] = -1
    return pairs


def _areas(boxes: Boxes) -> NDArray[np.float64]:
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.float64)


def corners(cells: Iterable[Cell]) -> Boxes:
    """Return xmin, ymin, xmax, ymax of each cell, float64 [n, 4]."""
    boxes = [(cell.x, cell.y, cell.x + cell.width, cell.y + cell.height) for cell in cells]
    return np.array(boxes, np.float64).reshape(-1, 4)


def read_boxes(path: Path, rename: Mapping[str, str] | None = None) -> dict[str, list[Box]]:
    """Return the annotated boxes of each frame by its file name, all readings of a cell renamed.

    Raises
    ------
    ValueError
        If the file is no table of boxes, or a reading names no class.
    """
    boxes: dict[str, list[Box]] = defaultdict(list)
    for line, box in read_table(path, Box).items():
        try:
            boxes[file_name(box.frame)].append(renamed(box, rename or {}))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from None
    return boxes
