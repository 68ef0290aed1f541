"""The fields of a count so far: whether a frame shows one of them again, or overlaps with the last one."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.find import Fingerprint
from edge.track.overlap import shared_cells

Real = NDArray[np.float32]

MEMORY = 10_000
"""Fields that are remembered, those seen last: 2 KB each."""

COARSE = 3
"""Pixels of a fingerprint's map per pixel of the map with which all fields are compared."""

MAYBE_SAME = 0.7
"""Least correlation of those for a closer look."""

SURE = 0.95
"""Correlation of those from which a closer look is taken even if no cell lies at the same place."""

SAME_GREY = 0.96
"""Least correlation of the grey maps of one field; beads that have moved leave 0.95."""

SAME_TEXTURE, ALIKE_TEXTURE, NEAR_TEXTURE = 0.98, 0.93, 0.8
"""Least correlation of the texture maps of one field: whatever the cells say, where half of one or two cells
lie at the same places, and where `SAME_PLACES` of more do. ``python -m benchmarks.repeats FRAMES`` prints the
correlations: different fields reach 0.95 where a grid dominates (140 real frames; no cell lies at the same
place), 0.84 in dense real frames, 0.85 with one stained cell in the middle of each, 0.45 in simulated ones;
copies (JPEG 60 to 95, noise, 10 % darker, a drift of 2 px) have at least 0.98, in dense frames 0.84."""

SAME_PLACES, FEW = 0.45, 3
"""Least share of the cells at the same places; fewer cells than `FEW` may lie so by chance."""

SHARPER = 1.03
"""Ratio of the focus of two frames of one field from which one is sharper: copies (JPEG 60 to 95, noise, 10 %
darker, a drift of 2 px) of 12 real and 4 simulated frames have at most 1.015; blurred over 0.5 µm, 1.08."""

PLACE_UM = 2.5
"""Farthest, along each axis, that two centres of one cell lie apart."""


class Fields:
    """Remembers the fields of a count, up to `MEMORY`.

    Parameters
    ----------
    exact : bool
        Only frames with the same pixels show the same field: what else frames have in common is tracked.
    """

    def __init__(self, *, exact: bool = False) -> None:
        self._exact = exact
        self._names: dict[str, str] = {}
        self._groups: dict[tuple[int, ...], _Group] = {}
        self._focus: dict[str, float | None] = {}
        self._last: Fingerprint | None = None

    def shown_before(self, now: Fingerprint) -> str:
        """Return the name of a frame that shows the same field; empty without any."""
        if now.digest in self._names:
            return self._names[now.digest]
        group = self._groups.get(_shape(now))
        return "" if group is None or self._exact else group.shown_before(now)

    def sharper_than(self, name: str, focus: float | None) -> bool:
        """Return whether a frame of this `edge.find.Quality.focus` is sharper than an earlier one."""
        before = self._focus.get(name)
        return before is not None and focus is not None and focus > SHARPER * before

    def add(self, name: str, now: Fingerprint, focus: float | None = None) -> int:
        """Remember a field; return the number of its cells that the last one shows too, as far as seen."""
        before, self._last = self._last, now
        self._names[now.digest] = name
        self._focus[name] = focus
        if len(self._names) > MEMORY:
            self._focus.pop(self._names.pop(next(iter(self._names))), None)
        if self._exact:
            return 0
        if now.texture.size:
            self._groups.setdefault(_shape(now), _Group()).add(name, now)
        return 0 if before is None else shared_cells(before, now)


def _shape(now: Fingerprint) -> tuple[int, ...]:
    return (*now.texture.shape, *(round(side) for side in now.size_um))


@dataclass(eq=False)
class _Group:
    """Fields of one size, in a ring."""

    kept: list[tuple[str, Fingerprint]] = field(default_factory=list)
    coarse: Real = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    added: int = 0

    def add(self, name: str, now: Fingerprint) -> None:
        """Remember a field in place of the one that was seen first."""
        row, small = self.added % MEMORY, _coarse(now)
        if row == len(self.coarse) and row < MEMORY:  # twice as many rows: each is copied once on average
            grown = np.zeros((min(max(16, 2 * row), MEMORY), small.size), np.float32)
            grown[:row] = self.coarse.reshape(row, small.size)
            self.coarse = grown
        self.coarse[row] = small
        self.kept[row : row + 1] = [(name, now)]
        self.added += 1

    def shown_before(self, now: Fingerprint) -> str:
        """Return the name of the most similar field that is the same; empty without any."""
        likeness = self.coarse[: len(self.kept)] @ _coarse(now)
        maybe = np.flatnonzero(likeness >= MAYBE_SAME)
        for row in map(int, maybe[np.argsort(-likeness[maybe], kind="stable")]):
            name, before = self.kept[row]
            # the places are the cheaper question: thousands of fields of one grid have a similar texture
            if (likeness[row] >= SURE or _same_places(before, now) >= SAME_PLACES) and _same(before, now):
                return name
        return ""


def _coarse(now: Fingerprint) -> Real:
    """Return the coarse texture, of mean 0 and norm 1, float32 [n]."""
    height, width = (max(1, side // COARSE) for side in now.texture.shape)
    small = cv2.resize(now.texture.astype(np.float32), (width, height), interpolation=cv2.INTER_AREA)
    centred = small.ravel() - small.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), np.float32)


def _same(before: Fingerprint, now: Fingerprint) -> bool:
    texture = correlation(before.texture, now.texture)
    if texture < NEAR_TEXTURE or correlation(before.grey, now.grey) < SAME_GREY:
        return False
    few = min(len(before.places), len(now.places)) < FEW
    alike = _same_places(before, now) >= SAME_PLACES and texture >= (ALIKE_TEXTURE if few else NEAR_TEXTURE)
    return alike or texture >= SAME_TEXTURE


def _same_places(before: Fingerprint, now: Fingerprint) -> float:
    """Return the share of the earlier frame's largest cells that this one has too."""
    largest = before.places[: len(before.patches)]
    apart = np.abs(largest[:, None] - now.places).max(axis=2).min(axis=1)
    return float((apart < PLACE_UM).mean())


def correlation(before: NDArray[np.int8], now: NDArray[np.int8]) -> float:
    """Return the correlation of two maps, once a drift below one of their pixels is undone to first order."""
    a, b = (np.asarray(one, np.float32) - np.float32(one.mean()) for one in (before, now))
    terms = [a, *(np.gradient(a) if min(a.shape) > 1 else ())]
    basis = np.stack([term.ravel() for term in terms], axis=1)
    weights = np.linalg.lstsq(basis, b.ravel(), rcond=None)[0]
    drift = float(np.linalg.norm(weights[1:])) / max(abs(float(weights[0])), 1e-6)
    fitted = basis @ weights if weights[0] > 0 and drift < 1 else a.ravel()
    return float(fitted @ b.ravel()) / max(float(np.linalg.norm(fitted) * np.linalg.norm(b)), 1e-6)
