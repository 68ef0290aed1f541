"""The tracker: what the pipeline asks for the track_id of each cell."""

from __future__ import annotations

import io
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.track.appearance import Image, look
from edge.track.flow import FlowState, next_moment
from edge.track.scan import ScanState, next_field

VERSION = 1
"""Of what `Tracker.state` gives; another one is refused."""


class Tracker:
    """Tells the cells of a frame that were seen before from those that are new.

    It remembers no more than a set number of cells and one reduced frame, and depends on nothing but what it
    was given: the same frames give the same track_ids.

    Parameters
    ----------
    mode : ``"scan"`` for overlapping fields of a slide at rest, in any order; ``"flow"`` for moving cells
    pixel_um : size of a pixel in the sample, in µm

    Raises
    ------
    ValueError
        For another mode, or a pixel size that is none.
    """

    def __init__(self, mode: Literal["scan", "flow"], *, pixel_um: float) -> None:
        if mode not in ("scan", "flow"):
            raise ValueError(f"cells are followed in a scan or a flow, not in {mode!r}")
        if not 0 < pixel_um < math.inf:
            raise ValueError(f"the pixel size must be positive, not {pixel_um} µm")
        self._pixel_um = pixel_um
        self._state: ScanState | FlowState = ScanState() if mode == "scan" else FlowState()

    def update(self, image: Image, cells: Sequence[Cell], time_ns: int) -> NDArray[np.int64]:
        """Identity of each cell of the next frame: that of an earlier detection, or the next number, from 0.

        No two cells of a frame get the same one.

        Parameters
        ----------
        image : uint8 [h, w], grey; a flow needs its size only
        cells : found in it, n of them
        time_ns : when it was taken; matters to a flow. Where that is not known any constant step will do. A
            time that is not later than the last one stands for the same step as before

        Returns
        -------
        int64 [n]
        """
        if isinstance(self._state, ScanState):
            view = look(image, cells, self._pixel_um)
            self._state, track_ids = next_field(self._state, view)
        else:
            self._state, track_ids = next_moment(self._state, cells, image.shape, self._pixel_um, time_ns)
        return track_ids

    def state(self) -> bytes:
        """Give all that the next frames depend on, for `restore`."""
        arrays: dict[str, Any] = {"version": VERSION, "pixel_um": self._pixel_um}
        arrays |= {f"cells.{name}": values for name, values in vars(self._state.cells).items()}
        arrays |= {name: value for name, value in vars(self._state).items() if name != "cells"}
        file = io.BytesIO()
        np.savez(file, **arrays)
        return zlib.compress(file.getvalue(), level=1)

    def restore(self, state: bytes) -> None:
        """Go on from where another tracker of the same mode and pixel size was.

        Raises
        ------
        ValueError
            If `state` is damaged, of another version, or of another kind of tracker.
        """
        try:
            with np.load(io.BytesIO(zlib.decompress(state)), allow_pickle=False) as file:
                arrays = dict(file)
            if int(arrays["version"]) != VERSION:
                raise ValueError(f"version {int(arrays['version'])}, not {VERSION}")
            if float(arrays["pixel_um"]) != self._pixel_um:
                raise ValueError(f"{float(arrays['pixel_um'])} µm a pixel, not {self._pixel_um}")
            cells = _made(type(self._state.cells), arrays, "cells.")
            restored = _made(type(self._state), arrays, "", cells=cells)
        except (zlib.error, zipfile.BadZipFile, OSError, EOFError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f"this is no state of such a tracker ({error})") from error
        self._state = restored


def _made(kind: type[Any], arrays: dict[str, NDArray[Any]], prefix: str, **others: object) -> Any:
    """Make a state of arrays; those without dimensions are whole numbers."""
    values = {f.name: arrays[prefix + f.name] for f in fields(kind) if f.name not in others}
    return kind(**{name: value if value.ndim else int(value) for name, value in values.items()}, **others)
