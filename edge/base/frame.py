"""One bright-field image, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # install.sh checks a profile with a Python that has no numpy
    import numpy as np
    from numpy.typing import NDArray


FailureKind = Literal["unreadable", "unseen", "repeat"]
"""Why a frame is not counted: it cannot be read, shows nothing that could be counted, or repeats another."""


SQUARE = 0.01
"""Relative difference of a pixel's sides up to which it is square."""


@dataclass(frozen=True)
class StatedPixel:
    """A pixel in the specimen, as a file states it: its sides, and where that stands ("OME-XML")."""

    across_um: float
    down_um: float
    source: str

    @property
    def square(self) -> bool:
        """Whether both sides are the same."""
        return abs(self.across_um - self.down_um) <= SQUARE * self.um

    @property
    def um(self) -> float:
        """The mean side."""
        return (self.across_um + self.down_um) / 2

    def __str__(self) -> str:
        sides = f"{self.um:.4g}" if self.square else f"{self.across_um:.4g} × {self.down_um:.4g}"
        return f"{sides} µm ({self.source})"


@dataclass(frozen=True, eq=False)
class Frame:
    """One bright-field image as every later stage sees it.

    Attributes
    ----------
    image : uint8 [height, width]
        Grey levels.
    name : str
        The file's path; ``path#k`` for page or video frame k, from 0, of a file; ``camera#k`` for frame k of
        a camera.
    index : int
        Position in reading order, from 0; frames that could not be read count too.
    time_ns : int
        Since the epoch: of a camera's frame its exposure; of a file its modification time, in a video plus
        the frame's own time.
    clock_ns : int
        Of a device's frame its exposure by a clock that runs on when the time of day is set; 0 for others.
    settings : Mapping of str to float or str
        ``exposure_us``, ``gain``, ``colour_gain_red`` … that a camera reports; empty for a file.
    dropped_before : int
        Whole frames that were dropped just before this one.
    late_ns : int
        Time that the frame waited for its turn.
    sha256 : str
        SHA-256 of the encoded image as it was read (of a JPEG or BMP, the whole file); empty for frames that
        never were a still image.
    likely_bit_depth : int or None
        Bits in use of a file's 16-bit samples, if fewer than it was read with.
    notes : tuple of str
        What the reader chose, for a remark: "the sharpest of 9 Z planes".
    pixel : StatedPixel or None
        What the file states.
    """

    image: NDArray[np.uint8]
    name: str
    index: int
    time_ns: int
    settings: Mapping[str, float | str] = field(default_factory=dict)
    dropped_before: int = 0
    late_ns: int = 0
    sha256: str = ""
    likely_bit_depth: int | None = None
    notes: tuple[str, ...] = ()
    pixel: StatedPixel | None = None
    clock_ns: int = 0


@dataclass(frozen=True)
class FailedFrame:
    """A file, page or frame that is not counted; name and index as in `Frame`, the reason is one line.

    Attributes
    ----------
    listed : bool
        False for a frame of a device that is not counted for the same reason as one listed before it, such as
        those of a stage that nobody moves: only their number is kept.
    stood_ns : int
        Time of a frame in which a flow stands still; 0 for others.
    """

    name: str
    index: int
    reason: str
    kind: FailureKind = "unreadable"
    listed: bool = True
    stood_ns: int = 0
