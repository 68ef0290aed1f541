"""The appearance of a frame: a small picture without its illumination, and a patch of each cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.find import block_mean

Image = NDArray[np.uint8]
Picture = NDArray[np.int8]
Boxes = NDArray[np.float64]

PATCH_PIXEL_UM = 0.4
"""Pixel in µm to which patches are reduced, by a whole factor. In 95 % of the cases two detections of one
simulated cell correlate by at least 0.84 at 0.38 µm, and only by 0.68 at 0.63 µm."""

PATCH_PX = 24
"""Side of a patch: about the diameter of a leukocyte."""

PICTURE_FACTOR = 2
"""Patch pixels per picture pixel."""

ILLUMINATION_UM = 4.0
"""Standard deviation of the Gaussian that estimates the illumination: lamp, vignette and dust out of focus
are smoother."""

COMPANDING = 24.0
"""Picture steps per unit of asinh(deviation / 2 noise): the noise is about 12, a cell's rim 50 to 100."""


@dataclass(frozen=True, eq=False)
class Appearance:
    """The appearance of a frame; its origin is its upper left corner.

    Attributes
    ----------
    picture : int8 [h, w]
        Companded deviation from the illumination, in pixels of `picture_um`.
    patches : uint8 [n, PATCH_PX, PATCH_PX]
        Surroundings of the centre of each cell, in pixels of `patch_um`.
    boxes : float64 [n, 4]
        Left, top, right and bottom of each cell in µm.
    whole : bool [n]
        Cells that the edge of the frame does not cut.
    size : float64 [2]
        Width and height of the frame in µm.
    """

    picture: Picture
    picture_um: float
    patches: Image
    patch_um: float
    boxes: Boxes
    whole: NDArray[np.bool_]
    size: NDArray[np.float64]


def appearance_of(image: Image, cells: Sequence[Cell], pixel_um: float) -> Appearance:
    """Return the appearance of a frame, uint8 [h, w], and its cells."""
    factor = patch_factor(pixel_um)
    patch_um = factor * pixel_um
    reduced = block_mean(image, factor)
    coarse = block_mean(reduced, PICTURE_FACTOR).astype(np.float32)
    deviation = coarse - cv2.GaussianBlur(coarse, (0, 0), ILLUMINATION_UM / (patch_um * PICTURE_FACTOR))
    noise = max(float(np.median(np.abs(deviation))), 1 / 16)
    picture = np.clip(np.rint(COMPANDING * np.arcsinh(deviation / (2 * noise))), -127, 127).astype(np.int8)
    boxes = boxes_of(cells, pixel_um)
    return Appearance(
        picture=picture,
        picture_um=patch_um * PICTURE_FACTOR,
        patches=_patches(reduced, centres(boxes) / patch_um),
        patch_um=patch_um,
        boxes=boxes,
        whole=np.array([not cell.border for cell in cells], bool),
        size=np.array(image.shape[::-1]) * pixel_um,
    )


def patch_factor(pixel_um: float) -> int:
    """Return how many pixels of a frame, of `pixel_um`, are the side of one of a patch."""
    return max(1, round(PATCH_PIXEL_UM / pixel_um))


def boxes_of(cells: Sequence[Cell], pixel_um: float) -> Boxes:
    """Return left, top, right and bottom of each cell in µm, float64 [n, 4]."""
    corners = [(cell.x, cell.y, cell.x + cell.width, cell.y + cell.height) for cell in cells]
    return np.array(corners, np.float64).reshape(-1, 4) * pixel_um


def centres(boxes: Boxes) -> NDArray[np.float64]:
    """Return the centre of each box, float64 [n, 2]."""
    return (boxes[:, :2] + boxes[:, 2:]) / 2


def _patches(reduced: Image, places: NDArray[np.float64]) -> Image:
    """Cut a patch around each place (x, y); beyond the edge of the image its edge pixels continue."""
    half = PATCH_PX // 2
    around = np.asarray(cv2.copyMakeBorder(reduced, half, half, half, half, cv2.BORDER_REPLICATE), np.uint8)
    patches = np.zeros((len(places), PATCH_PX, PATCH_PX), np.uint8)
    for patch, (x, y) in zip(patches, np.rint(places).astype(int), strict=True):
        patch[:] = around[y : y + PATCH_PX, x : x + PATCH_PX]
    return patches
