"""One cell found in a frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One segmented cell, in full-frame pixels.

    Attributes
    ----------
    x, y, width, height : int
        Bounding box, diffraction ring included; x, y is its upper left pixel.
    area_px : float
        Foreground area.
    border : bool
        The box touches the frame's edge.
    touching : bool
        The cell touches another one, or was split from it.
    """

    x: int
    y: int
    width: int
    height: int
    area_px: float
    border: bool
    touching: bool
