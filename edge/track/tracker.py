"""The tracker: gives each detected cell its track id."""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell
from edge.track.appearance import PICTURE_FACTOR, Image, appearance_of, patch_factor
from edge.track.area import LaidOut, places_covered
from edge.track.flow import FlowState, next_moment
from edge.track.known import ScanState
from edge.track.rows import Rows
from edge.track.scan import MEMORY, PATCHES, next_field
from edge.track.stored import Arrays, packed, unpacked

VERSION = 4
"""Version of `Tracker.state`."""

MOST_SHOWN = 20_000
"""Cells of the last frame in a state: as many of 10 µm fill 50 megapixels of 0.2 µm."""

MOST_FOLLOWED = 4096
"""Cells of a flow in a state: as many of 10 µm fill 16 megapixels of 0.16 µm. Each is compared with each cell
of the next frame, and may stay alone: a square of 134 MB."""

MOST_LAYERS = 100
"""Boxes of cells, on average, that a place of the last frame lies in; they hardly overlap."""

LEAST_SIDE = 0.1
"""Least side of a field, as a share of the last frame's."""

MOST_COVERED = 4_000_000_000
"""Places of the grid of an island's fields that these cover: some seconds. A thousand fields in one place,
each a little moved, cover 1,000 million; 10,000 fields of a scan, that each overlap a few, one million."""


class Tracker:
    """Recognises the cells of a frame that earlier frames showed.

    A scan has overlapping fields of a slide, in any order, a flow moving cells. The tracker remembers a
    bounded number of cells and one reduced frame; the same frames give the same track ids.
    """

    def __init__(self, mode: Literal["scan", "flow"], *, pixel_um: float) -> None:
        if mode not in ("scan", "flow"):
            raise ValueError(f"cells are tracked in a scan or a flow, not in {mode!r}")
        if not 0 < pixel_um < math.inf:
            raise ValueError(f"the pixel size must be positive, not {pixel_um} µm")
        self._pixel_um = pixel_um
        self._state: ScanState | FlowState = ScanState() if mode == "scan" else FlowState()

    def update(self, image: Image, cells: Sequence[Cell], time_ns: int) -> NDArray[np.int64]:
        """Return the track id of each cell of the next frame: an earlier one, or the next number, from 0.

        No two cells of a frame get the same one. Of the image, grey uint8 [h, w], a flow needs only the size.
        Only a flow uses the time; if it is unknown, any constant step will do. A time that is not later than
        the last one stands for the same step as before.
        """
        if isinstance(self._state, ScanState):
            self._state, track_ids = next_field(self._state, appearance_of(image, cells, self._pixel_um))
        else:
            self._state, track_ids = next_moment(self._state, cells, image.shape, self._pixel_um, time_ns)
        return track_ids

    def stood(self, time_ns: int) -> None:
        """Note that the cells of a flow are still where the last frame showed them."""
        if isinstance(self._state, FlowState) and self._state.frames and time_ns > self._state.time_ns:
            self._state = replace(self._state, time_ns=time_ns)

    def laid_out(self) -> LaidOut | None:
        """Return how much of the slide the fields of a scan cover so far; None for a flow."""
        return self._state.fields.laid_out() if isinstance(self._state, ScanState) else None

    def state(self) -> bytes:
        """Return everything that the next frames depend on, for `restore`."""
        return packed(self._arrays(self._state))

    def _arrays(self, state: ScanState | FlowState) -> Arrays:
        arrays = {"version": np.array(VERSION), "pixel_um": np.array(float(self._pixel_um))}
        tables = {name: vars(table) for name, table in vars(state).items() if isinstance(table, Rows)}
        for name, columns in tables.items():
            arrays |= {f"{name}.{column}": values for column, values in columns.items()}
        return arrays | {name: np.asarray(value) for name, value in vars(state).items() if name not in tables}

    def restore(self, state: bytes) -> None:
        """Continue from the state of a tracker of the same mode and pixel size; else raise a ValueError."""
        try:
            arrays = unpacked(state, self._arrays(type(self._state)()))
            if int(arrays["version"]) != VERSION:
                raise ValueError(f"version {int(arrays['version'])}, not {VERSION}")
            if float(arrays["pixel_um"]) != self._pixel_um:
                raise ValueError(f"{float(arrays['pixel_um'])} µm per pixel, not {self._pixel_um}")
            tables = {
                name: _build(type(table), arrays, f"{name}.")
                for name, table in vars(self._state).items()
                if isinstance(table, Rows)
            }
            restored = _build(type(self._state), arrays, "", **tables)
            _check(restored, self._pixel_um)
        except (zlib.error, TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not the state of such a tracker ({error})") from error
        self._state = restored


def _check(state: ScanState | FlowState, pixel_um: float) -> None:
    """Raise a ValueError for a state that no frames lead to."""
    tables = [table for table in vars(state).values() if isinstance(table, Rows)]
    if any(len({len(column) for column in vars(table).values()}) > 1 for table in tables):
        raise ValueError("its tables have columns of different lengths")
    columns = [column for table in tables for column in vars(table).values()]
    if not all(np.isfinite(column).all() and (np.abs(column) <= 2**53).all() for column in columns):
        raise ValueError("a number in it is out of range")
    known, track_ids = state.cells.track_id, state.track_ids
    if not 0 <= track_ids <= 2**53 or ((known < 0) | (known >= track_ids)).any():
        raise ValueError("a track id in it was never given")
    if isinstance(state, ScanState):
        islands = np.concatenate([state.cells.island, state.fields.track_id, [state.island]])
        if not np.isfinite(state.origin).all() or not np.isfinite(state.boxes).all():
            raise ValueError("a place in it is none")
        if len(state.boxes) > len(known) or ((islands < 0) | (islands >= max(state.islands, 1))).any():
            raise ValueError("an island in it does not exist")
        _check_work(state, PICTURE_FACTOR * patch_factor(pixel_um) * pixel_um)
    elif len(known) > MOST_FOLLOWED:
        raise ValueError(f"it follows more than {MOST_FOLLOWED} cells")


def _check_work(state: ScanState, picture_um: float) -> None:
    """Raise a ValueError for a state of a scan with which a frame would take more than that of any scan."""
    if len(state.boxes) > MOST_SHOWN or len(state.cells) > max(MEMORY, len(state.boxes)):
        raise ValueError("it remembers more cells than a tracker does")
    if state.cells.patch[:-PATCHES].any():
        raise ValueError("it remembers more patches than a tracker does")
    frame = (np.array(state.picture.shape[::-1]) + 10) * picture_um
    sides = np.clip(state.boxes[:, 2:], 0, frame) - np.clip(state.boxes[:, :2], 0, frame)
    if np.prod(np.maximum(sides, 0), axis=1).sum() > MOST_LAYERS * np.prod(frame):
        raise ValueError("its cells lie upon each other")
    sides = state.fields.window[:, 2:] - state.fields.window[:, :2]
    if (sides < LEAST_SIDE * (frame - 20 * picture_um)).any():
        raise ValueError("its fields are smaller than frames")
    order = np.argsort(state.fields.track_id, kind="stable")
    _, starts = np.unique(state.fields.track_id[order], return_index=True)
    islands = (one for one in np.split(order, starts[1:]) if len(one) > MOST_LAYERS)
    if any(places_covered(state.fields.window[one]) > MOST_COVERED for one in islands):
        raise ValueError("its fields lie upon each other")


def _build(kind: type[Any], arrays: dict[str, NDArray[Any]], prefix: str, **others: object) -> Any:
    """Build a state from arrays; those without dimensions are whole numbers."""
    values = {f.name: arrays[prefix + f.name] for f in fields(kind) if f.name not in others}
    return kind(**{name: value if value.ndim else int(value) for name, value in values.items()}, **others)
