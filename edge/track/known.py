"""What a scan remembers: the cells seen so far, and the last frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.track.appearance import PATCH_PX, Boxes, Image, Picture
from edge.track.area import Windows, no_windows
from edge.track.rows import Rows

TrackIds = NDArray[np.int64]
Point = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Known(Rows):
    """Cells seen before, those longest unseen first; places in µm from the origin of their island.

    Attributes
    ----------
    track_id, island : int64 [m]
    box : float64 [m, 4]
        Left, top, right and bottom.
    window : float64 [m, 4]
        The frame that showed this box.
    whole : bool [m]
        The edge of that frame did not cut the cell.
    patch : uint8 [m, PATCH_PX, PATCH_PX]
        All 0 where none is remembered.
    """

    island: TrackIds
    box: Boxes
    window: Boxes
    whole: NDArray[np.bool_]
    patch: Image


def _nothing_known() -> Known:
    none = np.zeros(0, np.int64)
    patches = np.zeros((0, PATCH_PX, PATCH_PX), np.uint8)
    return Known(none, none, np.zeros((0, 4)), np.zeros((0, 4)), np.zeros(0, bool), patches)


@dataclass(frozen=True, eq=False)
class ScanState:
    """Everything that the next frame of a scan is compared with.

    Attributes
    ----------
    track_ids, islands : int
        Numbers of both so far.
    island, origin
        The island of the last frame, and its upper left corner on it, float64 [2] in µm.
    picture, boxes
        Of the last frame; `boxes`, float64 [k, 4], are in µm from its corner.
    fields : Windows
        All frames so far.
    """

    track_ids: int = 0
    islands: int = 0
    island: int = 0
    origin: Point = field(default_factory=lambda: np.zeros(2))
    picture: Picture = field(default_factory=lambda: np.zeros((0, 0), np.int8))
    boxes: Boxes = field(default_factory=lambda: np.zeros((0, 4)))
    cells: Known = field(default_factory=_nothing_known)
    fields: Windows = field(default_factory=no_windows)
