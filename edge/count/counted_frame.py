"""The result of one frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, Frame
from edge.classify import Decision
from edge.find import Fingerprint, LateCrops, Quality
from edge.track import LaidOut


@dataclass(frozen=True, eq=False)
class CountedFrame:
    """A frame with its n cells, found and classified.

    Attributes
    ----------
    sha256 : str
        `edge.base.Frame.sha256`, or the hash of the frame's size and grey values.
    crops : uint8 [n, side, side]
    probabilities : float32 [n, labels]
    breaches : tuple of str
        The quality limits that the frame exceeds, in words.
    lost : mapping
        Reason → bodies that were found in the frame and are no cells.
    fingerprint : Fingerprint or None
        By which the same field is recognised later; None where nobody looks for it.
    shared : int
        Cells that the frame before shows too, as far as a quick look finds them.
    repeats : str
        Name of the earlier frame whose field it shows again, and is counted all the same; empty for none.
    unlisted_before : mapping
        Kind → frames of a device that were neither counted nor listed just before this one; see
        `edge.base.FailedFrame`.
    laid_out : LaidOut or None
        How much of the slide the fields up to this one cover; None where they are no scan.
    track_ids : int64 [n] or None
        The same for all detections of one cell; None where cells are not tracked.
    tracker_state : bytes or None
        What the tracker needs to resume after this frame; None if it is not kept.
    """

    frame: Frame
    sha256: str
    cells: list[Cell]
    crops: NDArray[np.uint8] | LateCrops
    probabilities: NDArray[np.float32]
    decisions: list[Decision]
    quality: Quality | None = None
    breaches: tuple[str, ...] = ()
    lost: Mapping[str, int] = field(default_factory=dict)
    fingerprint: Fingerprint | None = None
    shared: int = 0
    repeats: str = ""
    unlisted_before: Mapping[str, int] = field(default_factory=dict)
    laid_out: LaidOut | None = None
    track_ids: NDArray[np.int64] | None = None
    tracker_state: bytes | None = None
