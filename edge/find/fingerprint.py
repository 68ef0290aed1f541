"""What a field is recognised by: two small maps, the places of its cells, and a patch of each."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.find.reduction import block_mean

Image = NDArray[np.uint8]
Map = NDArray[np.int8]
Real = NDArray[np.float32]

MAP_PX = 32
"""Longer side of the maps, or a little less: a drift of a few pixels stays within one of theirs."""

SQUARE_PX = 24
"""Sides of the square maps."""

DETAIL_UM = 0.58
"""Pixel in µm at which texture and patches are looked at: a rim is one or two of them wide."""

DETAIL_WINDOW_PX = 5
"""Side of the mean from which a pixel's departure is texture."""

LIGHT_PX = 2.0
"""Standard deviation, in pixels of the map, of the Gaussian that takes the illumination off the grey map."""

PATCH_PX = 8
"""Side of a patch, which is a cell wide."""

MAX_PLACES, MAX_PATCHES = 128, 32
"""Cells of a frame, the largest ones, whose places and whose patches are kept."""

_MOST_UM = 1e9
"""Larger than a frame."""


@dataclass(frozen=True, eq=False)
class Fingerprint:
    """What a field is recognised by; at most 4 KB.

    Attributes
    ----------
    digest : str
        Hash of the reduced frame: equal for frames whose pixels are equal, whatever files they lie in.
    size_um : (float, float)
        Width and height of the frame.
    texture, grey : int8 [h, w]
        Density of detail, and brightness without the illumination; empty for a frame without cells.
    squares : int8 [2, SQUARE_PX, SQUARE_PX]
        Both of the whole frame, squeezed into squares: the same whatever size the frame was saved at.
    places : float64 [k, 2]
        Centres of the cells in µm, the largest cell first.
    diameters : float64 [k]
        Diameters in µm of the discs of their areas.
    patches : int8 [m, PATCH_PX ** 2]
        Surroundings of the first of them, of mean 0; all 0 for a cell that the edge cuts.
    """

    digest: str
    size_um: tuple[float, float]
    texture: Map
    grey: Map
    squares: Map
    places: NDArray[np.float64]
    diameters: NDArray[np.float64]
    patches: Map

    def facts(self) -> dict[str, Any]:
        """Return it as JSON can hold it, for `from_facts`."""
        return {
            "digest": self.digest,
            "size_um": list(self.size_um),
            "maps": [*self.texture.shape, _text(np.stack([self.texture, self.grey]))],
            "squares": _text(self.squares),
            "places": np.rint(self.places * 10).astype(int).ravel().tolist(),
            "diameters": np.rint(self.diameters * 10).astype(int).tolist(),
            "patches": _text(self.patches),
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """Return what `facts` was made of; a ValueError for what no frame shows."""
        height, width, maps = facts["maps"]
        cells, patches = len(facts["diameters"]), _bytes(facts["patches"]).reshape(-1, PATCH_PX**2)
        if cells > MAX_PLACES or len(facts["places"]) != 2 * cells or len(patches) != min(cells, MAX_PATCHES):
            raise ValueError("a fingerprint has more cells than are kept, or other ones in each of its lists")
        if not (0 < height <= MAP_PX and 0 < width <= MAP_PX if cells else height == width == 0):
            raise ValueError("the maps of a fingerprint have another size")
        texture, grey = _bytes(maps).reshape(2, height, width)
        squares = _bytes(facts["squares"]).reshape(2, *((SQUARE_PX,) * 2 if height else (0, 0)))
        size_um = (float(facts["size_um"][0]), float(facts["size_um"][1]))
        places = np.array(facts["places"], np.float64).reshape(-1, 2) / 10
        diameters = np.array(facts["diameters"], np.float64).reshape(cells) / 10
        if not (min(size_um) > 0 and max(size_um) < _MOST_UM and (np.abs(places) < _MOST_UM).all()):
            raise ValueError("a place in a fingerprint is out of range")
        return cls(str(facts["digest"]), size_um, texture, grey, squares, places, diameters, patches)


def largest_first(cells: Sequence[Cell]) -> list[int]:
    """Return the numbers of the cells whose places a fingerprint keeps, in its order."""
    return sorted(range(len(cells)), key=lambda k: -cells[k].area_px)[:MAX_PLACES]


def fingerprint(work: Image, work_um: float, cells: Sequence[Cell], pixel_um: float) -> Fingerprint:
    """Return the fingerprint of a frame.

    Parameters
    ----------
    work : uint8 [h, w]
        The frame as `reduced` returns it, with pixels of `work_um`.
    cells : sequence of Cell
        In pixels of `pixel_um`.
    """
    factor = max(1, round(DETAIL_UM / work_um))
    fine, fine_um = block_mean(work, factor), work_um * factor
    digest = hashlib.blake2b(repr(work.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(fine).data)
    size_um = (work.shape[1] * work_um, work.shape[0] * work_um)
    nothing = np.zeros((0, 0), np.int8)
    if not cells:
        patches = nothing.reshape(0, PATCH_PX**2)
        maps = nothing, nothing, np.stack([nothing, nothing])
        return Fingerprint(digest.hexdigest(), size_um, *maps, np.zeros((0, 2)), np.zeros(0), patches)
    largest = [cells[k] for k in largest_first(cells)]
    centres = [(cell.x + cell.width / 2, cell.y + cell.height / 2) for cell in largest]
    places = np.rint(np.array(centres) * pixel_um * 10) / 10
    patches = _patches(fine, places[:MAX_PATCHES] / fine_um)
    patches[[cell.border for cell in largest[:MAX_PATCHES]]] = 0
    areas = np.array([cell.area_px for cell in largest])
    diameters = np.rint(np.sqrt(areas / np.pi) * 2 * pixel_um * 10) / 10
    return Fingerprint(digest.hexdigest(), size_um, *_maps(fine), places, diameters, patches)


def _maps(fine: Image) -> tuple[Map, Map, Map]:
    """Return the maps of texture and grey, and both of the whole frame as squares."""
    detail = np.asarray(cv2.absdiff(fine, cv2.blur(fine, (DETAIL_WINDOW_PX, DETAIL_WINDOW_PX))), np.uint8)
    factor = max(1, -(-max(fine.shape) // MAP_PX))
    texture, grey = _texture_and_grey(_shrunk(detail, factor), _shrunk(fine, factor))
    factor = max(1, max(fine.shape) // (4 * SQUARE_PX))  # leaves next to nothing at the right and below
    squares = np.stack(_texture_and_grey(_squeezed(detail, factor), _squeezed(fine, factor)))
    return texture, grey, squares


def _shrunk(image: Image, factor: int) -> Real:
    """Return an image reduced by a whole factor: five times as fast as by another one."""
    height, width = (max(1, side // factor) for side in image.shape)
    whole = image[: height * factor, : width * factor].astype(np.float32)
    return np.asarray(cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA), np.float32)


def _squeezed(image: Image, factor: int) -> Real:
    """Return an image as a square."""
    size = (SQUARE_PX, SQUARE_PX)
    return np.asarray(cv2.resize(_shrunk(image, factor), size, interpolation=cv2.INTER_AREA), np.float32)


def _texture_and_grey(detail: Real, light: Real) -> tuple[Map, Map]:
    texture = cv2.GaussianBlur(detail, (0, 0), 0.7)
    return (
        _scaled(np.asarray(texture - np.median(texture), np.float32)),
        _scaled(np.asarray(light - cv2.GaussianBlur(light, (0, 0), LIGHT_PX), np.float32)),
    )


def _patches(fine: Image, places: NDArray[np.float64]) -> Map:
    """Cut a square around each place (x, y) and halve it; beyond the edge its pixels continue."""
    side = np.arange(2 * PATCH_PX)
    around = cv2.copyMakeBorder(fine, PATCH_PX, PATCH_PX, PATCH_PX, PATCH_PX, cv2.BORDER_REPLICATE)
    x, y = np.rint(places).astype(int).T
    # all squares below one another are one image, whose blocks do not cross them
    cut = around[y[:, None, None] + side[:, None], x[:, None, None] + side].reshape(-1, 2 * PATCH_PX)
    small = block_mean(cut, 2).astype(np.float32).reshape(len(places), PATCH_PX**2)
    small -= small.mean(axis=1, keepdims=True)
    largest = np.maximum(np.abs(small).max(axis=1, keepdims=True), 1e-6)
    return np.asarray(np.rint(small * (127 / largest)), np.int8)


def _scaled(values: NDArray[np.float32]) -> Map:
    """Return values as whole numbers whose largest size is 127."""
    largest = max(float(np.abs(values).max()), 1e-6)
    return np.asarray(np.rint(values * (127 / largest)), np.int8)


def _text(values: Map) -> str:
    return base64.b64encode(values.tobytes()).decode()


def _bytes(text: str) -> Map:
    return np.frombuffer(base64.b64decode(text), np.int8)
