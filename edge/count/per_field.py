"""How many counted cells each field of a count has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from edge.classify import Decision
from edge.count.counted_frame import CountedFrame
from edge.count.dispersion import FieldCounts

LEAST_AREA = 0.5
"""Share of the largest field's area from which the new part of a scan's field counts as a field; less is
joined to the next one. A cell that is found late would else lie in no area."""


class PerField:
    """The counted cells of each frame, in frame order; of tracked cells, where they were first seen."""

    def __init__(self, counted: Sequence[str]) -> None:
        self._counted = tuple(counted)
        self._cells: list[tuple[int, ...]] = []
        self._inside: list[tuple[int, ...]] = []
        self._first_ids: list[int] = []
        self._areas: list[float] = []
        self._next_id, self._laid_out = 0, 0.0
        self._tracked = self._scanned = False

    def add(self, result: CountedFrame, middles: NDArray[np.bool_] | None) -> None:
        """Add a frame; `middles` says which cells have their middle in it, bool [n]."""
        seen = 1 - ((result.quality and result.quality.hidden_share) or 0.0)
        if result.laid_out is not None:
            area = result.laid_out.area_um2
            seen, self._laid_out, self._scanned = seen * max(area - self._laid_out, 0.0), area, True
        self._areas.append(seen)
        if result.track_ids is not None:
            self._tracked = True
            self._first_ids.append(self._next_id)
            self._next_id = max(self._next_id, int(result.track_ids.max(initial=-1)) + 1)
            return
        labels = [one.label for one in result.decisions]
        self._cells.append(tuple(map(labels.count, self._counted)))
        if middles is not None:
            labels = [label for label, here in zip(labels, middles.tolist(), strict=True) if here]
            self._inside.append(tuple(map(labels.count, self._counted)))

    def counts(self, decided: Mapping[int, Decision], inside: set[int]) -> FieldCounts:
        """Return the counts per field.

        Parameters
        ----------
        decided : mapping
            Track id → decision; empty where cells are not tracked.
        inside : set of int
            The track ids of cells whose middle lies in a field.
        """
        fields = len(self._areas)
        if self._tracked:
            cells, within = self._of_tracks(decided, decided), self._of_tracks(decided, inside)
        else:
            cells, within = self._table(self._cells), self._table(self._inside)
        areas = np.array(self._areas, np.float64)
        if self._scanned:
            joined = _joined(areas)
            cells, within = (np.add.reduceat(table, joined) if fields else table for table in (cells, within))
            areas = np.add.reduceat(areas, joined) if fields else areas
        return FieldCounts(
            dict(zip(self._counted, cells.T, strict=True)),
            dict(zip(self._counted, within.T, strict=True)),
            areas,
        )

    def last(self) -> int:
        """Return how many counted cells the last frame has; 0 without a frame, or where cells are tracked."""
        return sum(self._cells[-1]) if self._cells else 0

    def _table(self, rows: list[tuple[int, ...]]) -> NDArray[np.int64]:
        shape = len(self._areas), len(self._counted)
        return np.array(rows, np.int64).reshape(shape) if rows else np.zeros(shape, np.int64)

    def _of_tracks(
        self, decided: Mapping[int, Decision], which: set[int] | Mapping[int, Decision]
    ) -> NDArray[np.int64]:
        table = self._table([])
        places = {label: k for k, label in enumerate(self._counted)}
        pairs = [(one, places[decided[one].label]) for one in which if decided[one].label in places]
        if pairs:
            tracks, labels = np.array(pairs).T
            np.add.at(table, (np.searchsorted(self._first_ids, tracks, "right") - 1, labels), 1)
        return table


def _joined(areas: NDArray[np.float64]) -> list[int]:
    """Return at which fields the parts begin that are large enough."""
    least, starts, area = LEAST_AREA * areas.max(initial=0), [], np.inf
    for k, more in enumerate(areas.tolist()):
        if area >= least:
            starts.append(k)
            area = 0.0
        area += more
    if len(starts) > 1 and area < least:
        starts.pop()
    return starts
