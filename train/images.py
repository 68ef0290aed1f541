"""Image files of crops: read as grey, brought to one size, written as PNG."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import ANOTHER_NAME, FailedFrame, read_input
from edge.capture import read_frames

Pixels = TypeVar("Pixels", NDArray[np.uint8], NDArray[np.float32])

CROP_PX = 200
"""Side of a crop, px (the paper's)."""

MOST_BYTES = 256 << 20
"""Size of an image file: more than 16 megapixels take, however they are stored."""


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Return an image as uint8 [h, w].

    Samples of 16 bits are divided by 257. That would turn camera counts of 12 bits, stored unscaled in 16,
    nearly black without notice, so these are refused.

    Raises
    ------
    ValueError
        Says why there is no image; the file is not named.
    """
    frame = next(read_frames([path], max_megapixels=16))
    if isinstance(frame, FailedFrame):
        raise ValueError(frame.reason)
    darkest_full_scale = (2**12 - 1) / 257
    if frame.image.max() <= math.ceil(darkest_full_scale) and sample_bits(read_input(path, MOST_BYTES)) == 16:
        raise ValueError("16-bit samples that use at most 12 bits: scale them to 16 or save 8 bits")
    return frame.image


def sample_bits(file: bytes) -> int:
    """Return the bits per sample, 8 or 16, of an image file that can be read."""
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    return 16 if image is not None and image.dtype == np.uint16 else 8


def square(image: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Return the central square of an image that was rescaled until its short side is `size_px`."""
    height, width = image.shape
    scale = size_px / min(height, width)
    if scale != 1.0:
        width, height = round(width * scale), round(height * scale)
        method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, height), interpolation=method).astype(np.uint8, copy=False)
    top, left = (height - size_px) // 2, (width - size_px) // 2
    return image[top : top + size_px, left : left + size_px]


def reduced_to(image: Pixels, pixel_um: float, coarse_um: float) -> tuple[Pixels, float]:
    """Return an image [h, w] with a pixel of `coarse_um`, unless its own is larger, and its pixel."""
    factor = min(1.0, pixel_um / coarse_um)
    height, width = (max(1, round(side * factor)) for side in image.shape)
    coarse = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    return coarse.astype(image.dtype, copy=False), pixel_um / factor


def write_file(path: Path, content: bytes) -> None:
    """Write a file; an error names it, which that of a full disk does not by itself."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Write a PNG that was encoded in memory, so that a full disk raises."""
    write_file(path, cv2.imencode(".png", image)[1].tobytes())


def require_empty(out: Path) -> None:
    """Raise ValueError for a folder that holds something."""
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} holds other files; {ANOTHER_NAME}")
