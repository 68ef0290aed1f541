"""Square crops around cells, at the scale and size of a network's training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, declare

SCALE_TOLERANCE = 0.02
"""Largest relative difference of pixel sizes that count as equal: cells of one kind differ by more."""


@dataclass(frozen=True)
class Normalisation:
    """How a grey crop becomes a network's input: levelled, then scale · grey + offset.

    Levelling makes the result independent of the lamp and of the fall-off towards the corners of a field.
    """

    background: int = declare("grey level to which the crop's median is scaled; 0: not levelled", 0, 255)
    scale: float = declare("factor from grey level to input", 0, 1e9, low_open=True)
    offset: float = declare("input for grey level 0", -1e9, 1e9)


def level(crops: NDArray[np.uint8], background: int) -> NDArray[np.uint8]:
    """Scale each crop, uint8 [n, side, side], to the median grey level `background`; 0 leaves them."""
    if not background:
        return crops
    levelled = np.empty(crops.shape, np.uint8)
    medians = np.array([grey_quantiles(crop, (0.5,))[0] for crop in crops])
    factors = background / np.maximum(medians, 1.0)
    tables = np.clip(np.rint(np.arange(256) * factors[:, None]), 0, 255).astype(np.uint8)
    for crop, table, out in zip(crops, tables, levelled, strict=True):
        cv2.LUT(crop, table, dst=out)
    return levelled


def grey_quantiles(image: NDArray[np.uint8], shares: Sequence[float]) -> NDArray[np.float64]:
    """Return quantiles of the grey levels of an image, uint8 [h, w], interpolated as NumPy does.

    The histogram gives them ten times as fast as the pixels.
    """
    below = np.cumsum(cv2.calcHist([image], [0], None, [256], [0, 256]))
    places = np.asarray(shares) * (image.size - 1)
    low, high = (np.searchsorted(below, end(places), side="right") for end in (np.floor, np.ceil))
    return np.asarray(low + (high - low) * (places % 1), np.float64)


def crop_scale(frame_pixel_um: float, bundle_pixel_um: float) -> float:
    """Return the frame pixels per crop pixel; 1.0 if the two pixel sizes differ by at most 2 %."""
    for name, value in (("frame", frame_pixel_um), ("bundle", bundle_pixel_um)):
        if not (np.isfinite(value) and value > 0):
            raise ValueError(f"the {name}'s pixel size must be positive, not {value} µm")
    scale = bundle_pixel_um / frame_pixel_um
    return 1.0 if abs(scale - 1) <= SCALE_TOLERANCE else scale


def crop_cells(
    image: NDArray[np.uint8], cells: Sequence[Cell], *, size_px: int = 200, scale: float = 1.0
) -> NDArray[np.uint8]:
    """Cut a square around the centre of each cell's box; return uint8 [n, size_px, size_px].

    Beyond its edges the image, grey uint8 [h, w], continues as its mirror image (the edge pixel is not
    repeated). `scale` is in image pixels per crop pixel: above 1 the crop is an area mean, below 1 it is
    interpolated linearly, at 1 it is an exact copy.
    """
    if image.ndim != 2 or image.dtype != np.uint8 or not image.size:
        raise ValueError(f"crops need a grey uint8 image [h, w], not {image.dtype} {list(image.shape)}")
    if size_px < 1 or not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"crops need a positive size and scale, not {size_px} px and {scale}")
    side = max(1, round(size_px * scale))
    crops = np.empty((len(cells), size_px, size_px), np.uint8)
    for crop, cell in zip(crops, cells, strict=True):
        window = _window(image, cell.y + (cell.height - side) // 2, cell.x + (cell.width - side) // 2, side)
        if side == size_px:
            crop[:] = window
        else:
            method = cv2.INTER_AREA if side > size_px else cv2.INTER_LINEAR
            crop[:] = cv2.resize(window, (size_px, size_px), interpolation=method)
    return crops


class LateCrops:
    """The crops of many cells, cut when they are asked for: together they may be larger than the frame."""

    def __init__(
        self, image: NDArray[np.uint8], cells: Sequence[Cell], *, size_px: int, scale: float
    ) -> None:
        self._cells = cells
        self._cut = partial(crop_cells, image, size_px=size_px, scale=scale)

    def __len__(self) -> int:
        return len(self._cells)

    def __getitem__(self, which: int | slice) -> NDArray[np.uint8]:
        """Return one crop, uint8 [side, side], or several, uint8 [n, side, side]."""
        if isinstance(which, slice):
            return self._cut(self._cells[which])
        return np.asarray(self._cut([self._cells[which]])[0])

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        return (self[k] for k in range(len(self)))


def _window(image: NDArray[np.uint8], top: int, left: int, side: int) -> NDArray[np.uint8]:
    """Cut out a square, mirrored where it extends beyond the image."""
    if 0 <= top <= image.shape[0] - side and 0 <= left <= image.shape[1] - side:
        return image[top : top + side, left : left + side]
    rows, columns = _mirrored(top, side, image.shape[0]), _mirrored(left, side, image.shape[1])
    mirrored: NDArray[np.uint8] = image[rows[:, None], columns]
    return mirrored


def _mirrored(start: int, count: int, length: int) -> NDArray[np.intp]:
    """Return the indices start ... start + count - 1 folded into 0 ... length - 1."""
    period = max(1, 2 * (length - 1))
    phase = np.arange(start, start + count, dtype=np.intp) % period
    return np.minimum(phase, period - phase) if length > 1 else np.zeros(count, np.intp)
