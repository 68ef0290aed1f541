"""One frame, counted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, Frame
from edge.classify import Decision
from edge.find import Quality


@dataclass(frozen=True, eq=False)
class CountedFrame:
    """One frame, worked through.

    Attributes
    ----------
    frame : the frame
    sha256 : of the frame: `edge.base.frame.Frame.sha256`, or of its grey values and size
    cells : found in it, n of them
    crops : uint8 [n, side, side], what the network saw
    probabilities : float32 [n, labels]
    decisions : about each cell
    quality : of the frame, if it was measured
    breaches : limits of quality that it is beyond, in words
    track_ids : int64 [n], the same for all detections of one cell; None where cells are not followed
    tracker_state : what following cells needs to go on after this frame; None if that is not asked for
    """

    frame: Frame
    sha256: str
    cells: list[Cell]
    crops: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    decisions: list[Decision]
    quality: Quality | None = None
    breaches: tuple[str, ...] = ()
    track_ids: NDArray[np.int64] | None = None
    tracker_state: bytes | None = None
