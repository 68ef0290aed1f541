"""Annotated boxes of frames, and which of them were found."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, frame_name
from edge.capture import list_files
from train.frame_names import match_frames
from train.readings import renamed
from train.table import Box, read_table

Boxes = NDArray[np.float64]
"""xmin, ymin, xmax, ymax in a row; max exclusive."""

SAME_CELL = 0.5
"""Intersection over union of two boxes above which they are one cell's; that of different cells stays below
0.21 on the 140 real frames."""

MOST_BOXES = 5000
"""Boxes of a frame beyond which it is not read; nor is a frame of more cells counted."""


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
    overlaps = []
    for row, box in enumerate(found):  # one by one: a table of all pairs may not fit into memory
        overlap = _overlap(box, truth)
        overlaps += [(-overlap[k], row, k) for k in np.flatnonzero(overlap >= iou).tolist()]
    pairs = []
    left_found, left_truth = {*range(len(found))}, {*range(len(truth))}
    for _, row, column in sorted(overlaps):
        if row in left_found and column in left_truth:
            pairs.append((row, column))
            left_found.remove(row)
            left_truth.remove(column)
    return pairs


def first_doubled(boxes: Boxes) -> int | None:
    """Return the first box that is the same cell's as an earlier one; None without any."""
    return next((k for k in range(1, len(boxes)) if (_overlap(boxes[k], boxes[:k]) > SAME_CELL).any()), None)


def _overlap(box: NDArray[np.float64], others: Boxes) -> NDArray[np.float64]:
    """Return the intersection over union of one box with others."""
    low, high = np.maximum(box[:2], others[:, :2]), np.minimum(box[2:], others[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    union = _areas(box[None]) + _areas(others) - common
    return np.asarray(common / np.maximum(union, np.finfo(float).tiny))


def _areas(boxes: Boxes) -> NDArray[np.float64]:
    return np.asarray(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1), np.float64)


def corners(cells: Iterable[Cell]) -> Boxes:
    """Return xmin, ymin, xmax, ymax of each cell, float64 [n, 4]."""
    boxes = [(cell.x, cell.y, cell.x + cell.width, cell.y + cell.height) for cell in cells]
    return np.array(boxes, np.float64).reshape(-1, 4)


def read_boxes(path: Path, rename: Mapping[str, str] | None = None) -> dict[str, list[Box]]:
    """Return the annotated boxes of each frame as the table names it, all readings of a cell renamed.

    Raises
    ------
    ValueError
        If the file is no table of boxes, a reading names no class, or a frame has more than `MOST_BOXES`.
    """
    boxes: dict[str, list[Box]] = defaultdict(list)
    for line, box in read_table(path, Box).items():
        try:
            boxes[box.frame].append(renamed(box, rename or {}))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from None
    require_few(path, boxes)
    return boxes


def require_few(path: Path, by_frame: Mapping[str, Sequence[Box]]) -> None:
    """Raise ValueError if a frame has more than `MOST_BOXES`."""
    for frame, listed in by_frame.items():
        if len(listed) > MOST_BOXES:
            raise ValueError(
                f"{path}: {len(listed):,} boxes in {frame}, more than the {MOST_BOXES:,} that a frame may "
                "have: divide the frame, or leave out a class"
            )


def of_frames(boxes: Mapping[str, list[Box]], sources: Sequence[str | Path]) -> dict[str, list[Box]]:
    """Return the boxes of each frame of files, folders and globs by its own name.

    Raises
    ------
    ValueError
        If it is not clear which frame the table means, by its path; see `match_frames`.
    """
    meant = match_frames(boxes, [frame_name(file) for file in list_files(sources)])
    return {frame: boxes[name] for name, frame in meant.items()}
