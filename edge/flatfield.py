"""Illumination of the empty field, estimated from blank frames and divided out of every frame.

The estimate is small: light falls off slowly, and what is sharp in a blank frame is a cell or a speck that lies
in some frames and not in others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.durable import write_atomically
from edge.frames import FailedFrame, Frame
from edge.profile import FlatField, ProfileError
from edge.quality import light

Map = NDArray[np.float32]

MAP_PX = 512
"""Longer side of the map, to which frames are reduced."""

SMOOTHING_PX = 2.0
"""Standard deviation of the Gaussian that takes the rest of the noise off the map."""

MIN_FRAMES = 5
"""Of fewer the median does not tell a cell that lies in two of them from the light."""

DARKEST = 30.0
"""Least median grey level of a blank frame: below, a grey level is more than 3 % of the light."""

MAX_SATURATED = 0.001
"""Largest share of pixels at 255: what is brighter there is not known."""

MAX_DRIFT = 0.2
"""Largest relative distance of a frame's median grey level from that of all."""

SPECK = 0.03
"""Departure from the light, relative, of a pixel of a reduced frame that shows something."""

MAX_SPECKS = 0.05
"""Largest share of such pixels in a blank frame: a few cells, but no grid and no sample."""

LOCAL_PX = 31
"""Side of the median that structure in the map is told from the light's fall-off by: twice a cell's width."""

LEAST_LIGHT = 0.1
"""Least light anywhere, relative to the mean: to divide by less would show noise only."""


class FlatFieldError(ValueError):
    """Frames that no flat field can be made of; the message is one line for the operator."""


@dataclass(frozen=True, eq=False)
class Estimate:
    """Illumination of blank frames.

    Attributes
    ----------
    map : float32 [h', w'], relative, of mean 1
    brightness : mean grey level of the blank frames
    frames : number of frames it was made of
    size : width and height of the frames in px
    refused : frames that were left out, with their reasons
    """

    map: Map
    brightness: float
    frames: int
    size: tuple[int, int]
    refused: tuple[FailedFrame, ...]


def flat_field(frames: Iterable[Frame | FailedFrame]) -> Estimate:
    """Estimate the illumination from blank frames: their median, each taken relative to its own mean.

    Frames that are saturated, dark, of another size or brightness, or not blank are left out. Some cells and
    specks in a frame do no harm as long as they lie elsewhere in most others.

    Parameters
    ----------
    frames : of a clean field, with the lamp and the camera's settings of the measurement; 0.6 MB are kept of
        each

    Raises
    ------
    FlatFieldError
        If fewer than `MIN_FRAMES` are left; if all show the same structure (a grid, a sample that was not
        moved); if parts of the field are almost dark.
    """
    refused: list[FailedFrame] = []
    kept: list[Frame] = []
    ...
