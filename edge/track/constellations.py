"""How many cells of a count are counted twice: fields that overlap in any order, turned or mirrored or not.

A triangle of cells that two frames show says how one lies on the other, and so where their further cells must
lie. The frames overlap if more cells agree than chance explains. How many triangles match by chance is known
from enlarged ones, which no frame shows; how often a further cell then agrees follows from the density of the
cells, and from how many of them look alike. Of all overlaps of a count, `MAX_CHANCE` are expected to be
chance.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from edge.find import Fingerprint
from edge.track.overlap import shared_cells, shared_places
from edge.track.repetition import Link, repetition
from edge.track.triangles import (
    ALIKE,
    Matches,
    Points,
    Real,
    Triangles,
    likenesses,
    matches_of,
    quarter_turns,
    sorted_by_shape,
    triangles_of,
)

MEMORY = 16_000
"""Cells that are remembered, those of the newest frames: 0.3 KB each."""

COINCIDE_UM = 2.5
"""Farthest that two detections of one cell lie apart."""

DECOYS, DECOY_TRIANGLES = 100, 40_000
"""Most times that triangles are enlarged to see how many match by chance, and most triangles in all."""

MAX_CHANCE = 0.01
"""Expected number of overlaps in a count that are chance; of those of three cells alone, their share."""

AGREE, AGREE_FEW = 0.4, 0.75
"""Least share of the cells that both frames should show, that both do, and where that is three cells."""

CLOSER = 2
"""Earlier frames, those with the most matches, that are compared closely with a frame."""

LAGS = 2
"""Least number of overlaps equally many frames apart, from which all frames so far apart are compared
closely, and most such distances: interleaved scans, and fields that are taken several times in the same
order."""

SQUARE_ON = math.radians(10)
"""Largest angle by which a field is turned that a tracker still recognises."""


@dataclass(frozen=True)
class SeenAgain:
    """Cells counted again though earlier frames show them.

    Attributes
    ----------
    turned : int
        Frames that show some of them turned or mirrored.
    repetition : float
        How often the cell of a counted cell is counted, on average; see `edge.track.repetition`.
    """

    cells: int = 0
    turned: int = 0
    repetition: float = 1.0


@dataclass(frozen=True, eq=False)
class _Shown:
    """What is remembered of a frame: `shown` without its maps, `whole` the rows of cells that no edge cuts.

    Attributes
    ----------
    cells, shared : int
        Cells in the frame, and those of them that the frame before is known to show.
    repeats : str
        Name of the earlier frame whose field it shows again; empty for none.
    new : bool [k]
        Whether each place is of a cell that no tracker joined to an earlier detection.
    """

    shown: Fingerprint
    name: str
    cells: int
    shared: int
    repeats: str
    new: NDArray[np.bool_]
    places: Points
    whole: NDArray[np.intp]
    triangles: Triangles


class Constellations:
    """The newest frames of a count, and how many of their cells earlier ones show too."""

    def __init__(self) -> None:
        self._frames: deque[_Shown] = deque()
        self._whole = self._forgotten = self._all = 0
        self._found: SeenAgain | None = None

    def add(
        self,
        now: Fingerprint,
        *,
        cells: int,
        name: str = "",
        shared: int = 0,
        repeats: str = "",
        new: NDArray[np.bool_] | None = None,
    ) -> None:
        """Remember a frame of that many cells.

        Parameters
        ----------
        shared : int
            Cells that are known to be in the frame before; 0 if cells are tracked.
        repeats : str
            Name of the frame whose field this one is known to show again; empty for none.
        new : bool [k] or None
            For each place of the fingerprint whether the cell is counted with this frame; all are, unless a
            tracker joined some to earlier detections.
        """
        whole, places = np.flatnonzero(now.patches.any(axis=1)), now.places @ np.array([1, 1j])
        triangles = triangles_of(places[whole], now.diameters[whole])
        nothing = now.texture[:0, :0]
        shown = replace(now, texture=nothing, grey=nothing, squares=now.squares[:, :0, :0])
        new = np.ones(len(places), bool) if new is None else new
        if repeats and len(new):
            shared = round(new.mean() * cells)
        self._frames.append(_Shown(shown, name, cells, shared, repeats, new, places, whole, triangles))
        self._whole += len(whole)
        self._all, self._found = self._all + cells, None
        while self._whole > MEMORY and len(self._frames) > 1:
            oldest = self._frames.popleft()
            self._whole -= len(oldest.whole)
            self._forgotten += oldest.shared

    def seen_again(self) -> SeenAgain:
        """Return what earlier frames show too, as far as seen; the cells known before are part of it."""
        self._found = self._found or self._seen_again()
        return self._found

    def _seen_again(self) -> SeenAgain:
        frames = tuple(self._frames)
        overlaps = _overlaps(frames)
        links = [link for one in overlaps.values() for link in one.links] + _known(frames)
        again = [max(one.shared, overlaps[k].cells if k in overlaps else 0) for k, one in enumerate(frames)]
        for lag in _lags(overlaps):
            for k, (before, now) in enumerate(zip(frames, islice(frames, lag, None), strict=False), lag):
                if now.new.all():
                    again[k] = max(again[k], shared_cells(before.shown, now.shown))
                    links.append(Link(k - lag, k, shared_places(before.shown, now.shown)))
        turned = sum(one.turned for one in overlaps.values())
        cells = self._forgotten + sum(again)
        if not cells:
            return SeenAgain()
        times = repetition([one.new for one in frames], [one.cells for one in frames], links)
        # no less than if all of them were counted equally often, whatever was linked
        return SeenAgain(cells, turned, max(times, self._all / max(self._all - cells, 1)))


@dataclass(frozen=True)
class _Overlap:
    """What a frame counts again of earlier ones: cells, whether turned, and how many frames before."""

    cells: int
    turned: bool
    lags: tuple[int, ...]
    links: tuple[Link, ...]


@dataclass(frozen=True)
class _Chance:
    """Triangles that match by chance, their share of all that match, and that of cells that look alike."""

    triangles: float
    share: float
    alike: float


def _known(frames: Sequence[_Shown]) -> list[Link]:
    """Return the links of frames that were known to share cells as they were added."""
    links: list[Link] = []
    numbers: dict[str, int] = {}
    for k, now in enumerate(frames):
        before = numbers.get(now.repeats) if now.repeats else None
        if before is not None:
            near = np.abs(frames[before].places[:, None] - now.places) < COINCIDE_UM
            links.append(Link(before, k, np.argwhere(near)))
        elif now.shared and k:
            links.append(Link(k - 1, k, shared_places(frames[k - 1].shown, now.shown)))
        numbers[now.name] = k
    return links


def _lags(overlaps: dict[int, _Overlap]) -> list[int]:
    """Return by how many frames overlapping ones are apart, where some are equally far; more than one."""
    apart = Counter(lag for one in overlaps.values() for lag in one.lags if lag > 1)
    return [lag for lag, times in apart.most_common(LAGS) if times >= LAGS]


def _overlaps(frames: Sequence[_Shown]) -> dict[int, _Overlap]:
    """Return for each frame that shows cells of earlier ones what it shows."""
    if len(frames) < 2:
        return {}
    table, places, patches = _table(frames)
    new = sorted_by_shape(
        table.take(np.concatenate([one.new[one.whole] for one in frames])[table.corner].any(axis=1))
    )
    sizes = np.array([one.shown.size_um for one in frames])

    def matches(stretch: float = 1.0) -> Matches:
        return _moved(matches_of(table, new, places, patches, stretch=stretch), sizes)

    found = matches()
    if not len(found):
        return {}
    times = int(np.clip(DECOY_TRIANGLES // len(table), 1, DECOYS))
    decoys = np.sum([_of_each_kind(matches(1.2 + 0.4 * k / times)) for k in range(times)], axis=0)
    by_chance, of_each = (decoys + 1) / times, np.maximum(_of_each_kind(found), 1)
    alike = _alike(patches)
    chance = [_Chance(n, n / of, alike) for n, of in zip(by_chance.tolist(), of_each.tolist(), strict=True)]
    found = found.take(np.lexsort((found.before, found.track_id)))
    overlaps = {}
    for rows in np.split(np.arange(len(found)), np.flatnonzero(np.diff(found.track_id)) + 1):
        number = int(found.track_id[rows[0]])
        if overlap := _overlap(frames, number, found.take(rows), chance):
            overlaps[number] = overlap
    return overlaps


def _table(frames: Sequence[_Shown]) -> tuple[Triangles, Points, Real]:
    """Return the triangles of all frames, and the places and patches (of norm 1) of the cells they are of."""
    ends = np.cumsum([0, *(len(one.whole) for one in frames)])
    table = Triangles(
        np.repeat(np.arange(len(frames)), [len(one.triangles) for one in frames]),
        np.concatenate([one.triangles.corner + end for one, end in zip(frames, ends, strict=False)]),
        np.concatenate([one.triangles.shape for one in frames]),
    )
    patches = np.concatenate([one.shown.patches[one.whole] for one in frames]).astype(np.float32)
    patches /= np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1e-6)
    return table, np.concatenate([one.places[one.whole] for one in frames]), patches


def _moved(matches: Matches, sizes: NDArray[np.float64]) -> Matches:
    """Return the matches that are none of dust on the camera."""
    still = ~_turned(matches) & (np.abs(matches.shift) < COINCIDE_UM)
    still &= (sizes[matches.before] == sizes[matches.track_id]).all(axis=1)
    return matches.take(~still)


def _turned(matches: Matches) -> NDArray[np.bool_]:
    """Return which matches are of a field that is turned or mirrored."""
    return np.asarray(matches.mirrored | (np.abs(np.angle(matches.turn)) > SQUARE_ON))


def _of_each_kind(matches: Matches) -> NDArray[np.intp]:
    """Return how many matches are of fields that are not turned, and how many of those that are."""
    return np.bincount(_turned(matches).astype(int), minlength=2)


def _alike(patches: Real) -> float:
    """Return the share of pairs of different cells that look alike."""
    others = (np.arange(len(patches)) * 7919 + 13) % len(patches)
    alike = np.einsum("np,np->n", patches, patches[others]) > ALIKE
    return float((alike.sum() + 1) / (len(alike) + 1))


def _overlap(
    frames: Sequence[_Shown], number: int, matches: Matches, chance: Sequence[_Chance]
) -> _Overlap | None:
    """Return what a frame shows of those earlier ones with which most triangles match.

    Parameters
    ----------
    chance : (_Chance, _Chance)
        Of fields that are not turned, and of those that are.
    """
    now = frames[number]
    again, lags, links, turned = np.zeros(len(now.places), bool), [], [], False
    earlier, votes = np.unique(matches.before, return_counts=True)
    for k in map(int, earlier[np.argsort(-votes, kind="stable")][:CLOSER]):
        of_both = matches.take(matches.before == k)
        near, is_turned = _best_of(frames[k], now, of_both, chance)
        here = near.any(axis=0) & now.new
        if here.any():
            again |= here
            lags.append(number - k)
            links.append(Link(k, number, np.argwhere(near)))
            turned |= is_turned
    # of a crowded frame only the largest cells have a place
    return _Overlap(round(again.mean() * now.cells), turned, tuple(lags), tuple(links)) if lags else None


def _best_of(
    before: _Shown, now: _Shown, matches: Matches, chance: Sequence[_Chance]
) -> tuple[NDArray[np.bool_], bool]:
    """Return which places of two frames coincide, and whether turned: whichever explains more."""
    most, is_turned = np.zeros((len(before.places), len(now.places)), bool), False
    turned = _turned(matches)
    for way in (False, True):
        of_way = matches.take(turned == way)
        if len(of_way):
            best = of_way.take(np.argmax(of_way.likeness, keepdims=True))
            near = _seen_in(before, now, best, chance[way])
            if near.any(axis=0).sum() > most.any(axis=0).sum():
                most, is_turned = near, way
    return most, is_turned


def _seen_in(before: _Shown, now: _Shown, match: Matches, chance: _Chance) -> NDArray[np.bool_]:
    """Return which places of two frames coincide, by one match: bool [before, now], none if by chance."""
    turn, shift, mirrored = match.turn[0], match.shift[0], bool(match.mirrored[0])
    there = turn * (now.places.conj() if mirrored else now.places) + shift
    back = (before.places - shift) / turn
    back = back.conj() if mirrored else back
    near = np.abs(before.places[:, None] - there) < COINCIDE_UM
    a, b = np.nonzero(near[np.ix_(before.whole, now.whole)])
    patches = np.concatenate([one.shown.patches[one.whole] for one in (before, now)]).astype(np.float32)
    patches /= np.maximum(np.linalg.norm(patches, axis=1, keepdims=True), 1e-6)
    quarter = np.repeat(quarter_turns(match.turn), len(a))
    pairs = a[:, None], b[:, None] + len(before.whole)
    alike = likenesses(patches, *pairs, quarter, np.repeat(mirrored, len(a)))[:, 0] > ALIKE
    agree = min(len(np.unique(rows[alike])) for rows in (a, b))
    expected = min(
        _inside(there[now.whole], before.shown.size_um), _inside(back[before.whole], now.shown.size_um)
    )
    density = len(before.whole) / math.prod(before.shown.size_um)
    share = min(1.0, math.pi * COINCIDE_UM**2 * density * chance.alike)
    real = _more_than_chance(agree, max(agree, expected), share, chance)
    return np.asarray(near & real)


def _inside(places: Points, size_um: tuple[float, float]) -> int:
    width, height = size_um
    x, y = places.real, places.imag
    return int(((x > 0) & (y > 0) & (x < width) & (y < height)).sum())


def _more_than_chance(agree: int, expected: int, share: float, chance: _Chance) -> bool:
    """Return whether more cells agree than a triangle's three and, by chance, a share of the other ones."""
    if agree <= 3:
        return agree == 3 and agree >= AGREE_FEW * expected and chance.share <= MAX_CHANCE
    further = expected - 3
    tail = sum(
        math.comb(further, k) * share**k * (1 - share) ** (further - k) for k in range(agree - 3, further + 1)
    )
    return agree >= AGREE * expected and chance.triangles * tail <= MAX_CHANCE
