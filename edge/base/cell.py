"""One cell found in a frame."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cell:
    """One segmented cell, in full-frame pixels.

    Attributes
    ----------
    x, y, width, height : the bounding box, diffraction ring included; x, y its upper left pixel
    area_px : foreground area
    border : the box touches the frame's edge
    touching : the cell was split from, or touches, another one
    """

    x: int
    y: int
    width: int
    height: int
    area_px: float
    border: bool
    touching: bool
