"""The fields of a count so far: whether a frame shows one of them again, or overlaps with the last one.

A field is shown again as it was, turned by quarter turns, mirrored, or at another size, as picture viewers
save it. Parts of a field, and other overlaps, are the business of `edge.track.constellations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.find import Fingerprint, Quality
from edge.track.overlap import shared_cells

Real = NDArray[np.float32]
N = TypeVar("N", bound=np.generic)

MEMORY = 10_000
"""Fields that are remembered, those seen last: 2 KB each."""

COARSE_PX = 8
"""Sides of the maps with which all fields are compared."""

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

BRIGHTER = 1.04
"""Ratio of the brightness of two frames of one field from which one is brighter rather than sharper: where
light saturates, edges are hard. Real frames have a focus 1.04 times as high if 10 % brighter, 1.13 times if
15 %."""

PLACE_UM = 2.5
"""Farthest, along each axis, that two centres of one cell lie apart."""

MAYBE_TURNED, CLOSER = 0.9, 3
"""Least coarse correlation of a field that is turned or resized, and most such that get a closer look."""

COPY_TEXTURE, COPY_GREY, COPY_PLACES = 0.93, 0.85, 0.75
"""Least correlations, and least share of three or more cells at the same places, of one field that is turned
or of another size. Turned copies of real and simulated frames have at least 0.97, 0.88 and 1, different
fields in any orientation at most 0.95, 0.99 and 0.33."""

SIZE_TEXTURE, SIZE_GREY = 0.9, 0.95
"""Least correlations of one field of another size, in which other cells are found. Real frames at half the
size have at least 0.90 and 0.99, at 0.7 times 0.97 and 0.98; no other of 8,000 pairs has more than 0.88 and
0.93."""

SAME_SHAPE = 0.02
"""Largest relative difference of the aspect ratios of one field."""

TURNS = tuple(product((False, True), range(4)))
"""Whether a frame is mirrored from left to right, and then its quarter turns clockwise."""


@dataclass(frozen=True)
class Repeat:
    """The name of the frame whose field another one shows again, and how, in words; empty for as it was."""

    name: str
    how: str = ""


class Fields:
    """Remembers the fields of a count, up to `MEMORY`."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._seen: dict[str, tuple[float | None, float]] = {}
        self._last: Fingerprint | None = None
        self._last_name = ""
        self._kept: list[tuple[str, Fingerprint]] = []
        self._coarse = np.zeros((0, COARSE_PX**2), np.float32)
        self._added = 0

    def shown_before(self, now: Fingerprint, *, tracked: bool = False) -> Repeat | None:
        """Return which frame shows the same field, if one does.

        What frames of one size and orientation have in common does not count if cells are `tracked`, unless
        all pixels are equal.
        """
        if now.digest in self._names:
            return Repeat(self._names[now.digest])
        if not self._kept or not now.texture.size:
            return None
        coarse = _coarse(now.squares[0]).reshape(COARSE_PX, COARSE_PX)
        small = np.stack([_turned(coarse, *turn).ravel() for turn in TURNS], axis=1)
        likeness = self._coarse[: len(self._kept)] @ small
        as_it_was = None if tracked else self._as_it_was(now, likeness[:, 0])
        return as_it_was or self._copied(now, likeness)

    def is_last(self, name: str) -> bool:
        """Return whether a frame is the one that was remembered last."""
        return name == self._last_name

    def sharper_than(self, name: str, now: Quality) -> bool:
        """Return whether a frame is sharper than an earlier one, and not only brighter."""
        focus, brightness = self._seen.get(name, (None, 0.0))
        if focus is None or now.focus is None or now.brightness > BRIGHTER * brightness:
            return False
        return now.focus > SHARPER * focus

    def add(self, name: str, now: Fingerprint, quality: Quality | None = None) -> None:
        """Remember a field."""
        self._last, self._last_name = now, name
        self._names[now.digest] = name
        if quality is not None:
            self._seen[name] = quality.focus, quality.brightness
        if len(self._names) > MEMORY:
            self._seen.pop(self._names.pop(next(iter(self._names))), None)
        if now.texture.size:
            self._keep(name, now)

    def shared(self, now: Fingerprint) -> int:
        """Return how many of a frame's cells the last field shows too, as far as seen."""
        return 0 if self._last is None else shared_cells(self._last, now)

    def _keep(self, name: str, now: Fingerprint) -> None:
        """Remember a field in place of the one that was seen first."""
        row = self._added % MEMORY
        if row == len(self._coarse) and row < MEMORY:  # twice as many rows: each is copied once on average
            grown = np.zeros((min(max(16, 2 * row), MEMORY), self._coarse.shape[1]), np.float32)
            grown[:row] = self._coarse
            self._coarse = grown
        self._coarse[row] = _coarse(now.squares[0])
        self._kept[row : row + 1] = [(name, now)]
        self._added += 1

    def _as_it_was(self, now: Fingerprint, likeness: Real) -> Repeat | None:
        """Return the most similar field that is the same, if there is one."""
        maybe = np.flatnonzero(likeness >= MAYBE_SAME)
        for row in map(int, maybe[np.argsort(-likeness[maybe], kind="stable")]):
            name, before = self._kept[row]
            # the places are the cheaper question: thousands of fields of one grid have a similar texture
            if not _same_size(before, now) or (
                likeness[row] < SURE and _same_places(before, now.places) < SAME_PLACES
            ):
                continue
            if _same(before, now):
                return Repeat(name)
        return None

    def _copied(self, now: Fingerprint, likeness: Real) -> Repeat | None:
        """Return a field that is the same but turned, mirrored or of another size, if there is one."""
        rows, turns = np.nonzero(likeness >= MAYBE_TURNED)
        looks = 0
        for k in np.argsort(-likeness[rows, turns], kind="stable"):
            (name, before), (mirrored, quarter) = self._kept[rows[k]], TURNS[turns[k]]
            resized = not _same_size(before, now, turned=quarter % 2 == 1)
            if not (mirrored or quarter or resized) or not _same_shape(before, now, turned=quarter % 2 == 1):
                continue
            if _copy(before, now, mirrored, quarter, resized=resized):
                ways = {"mirrored": mirrored, "turned": quarter > 0, "at another size": resized}
                return Repeat(name, " and ".join(way for way, is_so in ways.items() if is_so))
            looks += 1
            if looks == CLOSER:
                break
        return None


def _same_size(before: Fingerprint, now: Fingerprint, *, turned: bool = False) -> bool:
    width, height = now.size_um[::-1] if turned else now.size_um
    return (round(width), round(height)) == (round(before.size_um[0]), round(before.size_um[1]))


def _same_shape(before: Fingerprint, now: Fingerprint, *, turned: bool) -> bool:
    width, height = now.size_um[::-1] if turned else now.size_um
    ratio = width * before.size_um[1] / (height * before.size_um[0])
    return abs(ratio - 1) < SAME_SHAPE


def _turned(pixels: NDArray[N], mirrored: bool, quarter: int) -> NDArray[N]:
    """Return a map that is mirrored from left to right, and then turned clockwise."""
    return np.ascontiguousarray(np.rot90(pixels[:, ::-1] if mirrored else pixels, -quarter))


def _coarse(texture: NDArray[np.int8]) -> Real:
    """Return the coarse texture, of mean 0 and norm 1, float32 [n]."""
    small = cv2.resize(texture.astype(np.float32), (COARSE_PX, COARSE_PX), interpolation=cv2.INTER_AREA)
    centred = small.ravel() - small.mean()
    return np.asarray(centred / max(float(np.linalg.norm(centred)), 1e-6), np.float32)


def _copy(before: Fingerprint, now: Fingerprint, mirrored: bool, quarter: int, *, resized: bool) -> bool:
    """Return whether a frame shows a field again once it is mirrored and turned so, and perhaps resized."""
    turned = (_turned(one, mirrored, quarter) for one in now.squares)
    texture, grey = (correlation(*pair) for pair in zip(before.squares, turned, strict=True))
    if texture >= SAME_TEXTURE and grey >= SAME_GREY:
        return True
    if resized and texture >= SIZE_TEXTURE and grey >= SIZE_GREY:
        return True
    there = (now.places / now.size_um - 0.5) @ np.array([1, 1j])
    there = (-there.conj() if mirrored else there) * 1j**quarter
    places = (np.column_stack([there.real, there.imag]) + 0.5) * before.size_um
    many = min(len(before.places), len(places)) >= FEW
    return (
        many and texture >= COPY_TEXTURE and grey >= COPY_GREY and _same_places(before, places) >= COPY_PLACES
    )


def _same(before: Fingerprint, now: Fingerprint) -> bool:
    if before.texture.shape != now.texture.shape:  # of a record that no frame of this size left
        return False
    texture = correlation(before.texture, now.texture)
    if texture < NEAR_TEXTURE or correlation(before.grey, now.grey) < SAME_GREY:
        return False
    few = min(len(before.places), len(now.places)) < FEW
    alike = _same_places(before, now.places) >= SAME_PLACES and texture >= (
        ALIKE_TEXTURE if few else NEAR_TEXTURE
    )
    return alike or texture >= SAME_TEXTURE


def _same_places(before: Fingerprint, places: NDArray[np.float64]) -> float:
    """Return the share of the earlier frame's largest cells that lie at the places of others."""
    largest = before.places[: len(before.patches)]
    apart = np.abs(largest[:, None] - places).max(axis=2).min(axis=1)
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
