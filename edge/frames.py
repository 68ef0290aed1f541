"""Frames from files, folders, globs, image stacks and videos."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Frame:
    """One bright-field image as every later stage sees it.

    Attributes
    ----------
    image : uint8 [height, width], grey
    name : the file's path; ``path#k`` for page or video frame k (from 0) of a multi-image file
    index : position in reading order, from 0
    time_ns : capture time, or the file's modification time, in ns since the epoch
    """

    image: NDArray[np.uint8]
    name: str
    index: int
    time_ns: int


@dataclass(frozen=True)
class FailedFrame:
    """A file or page that could not be read, and why, in words for the operator."""

    name: str
    index: int
    reason: str
