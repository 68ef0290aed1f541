"""One bright-field image, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # install.sh checks a profile with a Python that has no numpy
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Frame:
    """One bright-field image as every later stage sees it.

    Attributes
    ----------
    image : uint8 [height, width], grey
    name : the file's path; ``path#k`` for page or video frame k (from 0) of a multi-image file; ``camera#k``
        for frame k of a camera
    index : position in reading order, from 0, counted together with what could not be read
    time_ns : ns since the epoch: of a camera's frame when it was exposed; of a file its modification time, in
        a video plus the frame's own time
    settings : what a camera said of the frame: ``exposure_us``, ``gain``, ``colour_gain_red`` …; empty for a
        file
    dropped_before : whole frames that were dropped between the frame handed on before this one and this one
    late_ns : how long the frame waited for its turn
    sha256 : of the encoded image as it was read (for a JPEG or BMP that is the whole file); empty for frames
        that never were a still image
    """

    image: NDArray[np.uint8]
    name: str
    index: int
    time_ns: int
    settings: Mapping[str, float | str] = field(default_factory=dict)
    dropped_before: int = 0
    late_ns: int = 0
    sha256: str = ""


@dataclass(frozen=True)
class FailedFrame:
    """A file or page that could not be read, and why, in words for the operator.

    Attributes
    ----------
    name : as in `Frame`
    index : position in reading order, from 0, counted together with the frames
    reason : one line
    """

    name: str
    index: int
    reason: str
