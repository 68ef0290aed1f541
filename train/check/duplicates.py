"""Cells that several crops of a set show: copies, also turned or mirrored, and one cell in several frames.

Copies are found by their pixels. A cell in a later frame has moved by some pixels and may be in another
focus, and two *different* round erythrocytes look more similar than two pictures of one leukocyte. A pair is
therefore judged by how far it stands out: its distance must be small beside the distance to the next best
others (the ratio test of Lowe, IJCV 60, 2004, 7.1).

Round cells without inner structure still stand out together now and then. Two defences: a pair must be more
similar as it lies than turned or mirrored in any way, and chance is counted by pairs that cannot be one cell,
mirrored ones (target and decoy, Elias and Gygi, Nature Methods 4, 2007).

Measured on 1,044 crops of overlapping frames of a counting chamber: correlation from 0.95 finds 179 pairs
from frames at most 6 apart and 106, nearly all wrong, from frames more than 20 apart; from 0.98, 27 and none;
standing out, 174 and 12, three of them right. Of 350 independent simulated cells, three times, 5, 2
and 8 pairs stand out, and 3, 2 and 4 mirrored ones. A cell that turned, moved a limb or left its focus
between two frames is missed.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

THUMBNAIL_PX = 64
"""Side at which crops are compared."""

SAME_PICTURE = 0.995
"""Correlation from which two crops may be one picture, however similar other pairs are."""

TURNED_RATIO = 0.12
"""They are one picture if their distance is at most this share of that in any other orientation: round cells
look alike in all. Measured: at most 0.10 for copies saved as JPEG of quality 40; at least 0.17 for the 7 most
similar pairs of 1,545 different simulated erythrocytes."""

SAME_CELL = 0.9
"""Correlation from which two crops may be one cell, if the pair stands out."""

SAME_DETAIL = 0.7
"""Correlation that their details must have: the bright lines of a chamber alone do not make a pair."""

DISTANCE_RATIO = 0.5
"""A pair stands out if its distance is at most this share of the distance to the next others."""

OVERLAPPING = 4
"""Those others begin with the fourth nearest: a cell may lie in up to four overlapping frames."""

CHANCE_SHARE = 0.25
"""All pairs that stand out are dismissed if more than this share of them is chance."""

Pixel = TypeVar("Pixel", bound=np.generic)
Grey = NDArray[np.uint8] | NDArray[np.float32]

_COARSE_PX = 16
_CANDIDATES = 8
_BLOCK = 256
_MIRRORED = 4  # in the order of `dihedral`: left for right
_MARGIN_PX = 6  # of a thumbnail: crops may be shifted by a tenth of their side against one another


@dataclass(frozen=True)
class Pair:
    """Two crops of one cell, by index, first < second; a `copy` has equal pixels, perhaps turned or mirrored.

    The similarity is the correlation of their grey levels after turning and shifting, 1 for equal pixels.
    """

    first: int
    second: int
    similarity: float
    copy: bool


@dataclass(frozen=True)
class Repeats:
    """The crops of a set that show one cell.

    Attributes
    ----------
    pairs : tuple of Pair
        The most similar first.
    by_chance : int
        Pairs, besides copies and equal pictures, expected among cells that are all different.
    dismissed : int
        Such pairs that were found but left out of `pairs` because chance explains them.
    """

    pairs: tuple[Pair, ...]
    by_chance: int = 0
    dismissed: int = 0


def dihedral(image: NDArray[Pixel]) -> list[NDArray[Pixel]]:
    """Return the eight turned and mirrored variants of an image [h, w]."""
    sides = (image, image[:, ::-1])
    return [np.ascontiguousarray(np.rot90(side, turns)) for side in sides for turns in range(4)]


def pixel_digest(image: NDArray[np.uint8]) -> bytes:
    """Return a digest that all turned and mirrored copies of an image uint8 [h, w] share."""
    return min(
        blake2b(variant.tobytes(), digest_size=16, salt=struct.pack("<LL", *variant.shape)).digest()
        for variant in dihedral(image)
    )


def find_pairs(
    digests: Sequence[bytes], thumbnails: NDArray[np.uint8], on_crop: Callable[[], None] = lambda: None
) -> Repeats:
    """Find the crops that show one cell.

    Parameters
    ----------
    digests : sequence of bytes
        `pixel_digest` of each crop. Copies are paired with the first of them only.
    thumbnails : uint8 [n, `THUMBNAIL_PX`, `THUMBNAIL_PX`]
        Each crop reduced. Memory grows with n, time with n².
    """
    members: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, digest in enumerate(digests):
        members[digest].append(index)
    copies = [Pair(first, other, 1.0, copy=True) for first, *others in members.values() for other in others]
    for _ in copies:
        on_crop()

    # a flat crop correlates with nothing: only its copies count
    varied = thumbnails.reshape(len(thumbnails), -1).std(axis=1) > 0 if len(thumbnails) else np.zeros(0, bool)
    single = np.array([first for first, *_ in members.values() if varied[first]], np.int64)
    if len(single) < 2:
        return Repeats(tuple(copies))
    small = thumbnails[single]
    upright, turned, mirrored = _compare(small, on_crop)
    others = _distances_to_others(upright, len(single))

    found = {
        (i, j): similarity
        for similar in (turned, upright)
        for (i, j), similarity in similar.items()
        if similarity >= SAME_PICTURE and _is_one_picture(small[i], small[j])
    }

    def standing_out(similar: _Similarities, variant: int) -> _Similarities:
        return {
            (i, j): similarity
            for (i, j), similarity in similar.items()
            if similarity >= SAME_CELL
            and (i, j) not in found
            and 1 - similarity <= DISTANCE_RATIO * min(others[i], others[j])
            and _fits_only_upright(dihedral(small[i])[variant], small[j], similarity)
        }

    repeated, by_chance = standing_out(upright, 0), len(standing_out(mirrored, _MIRRORED))
    dismissed = by_chance > CHANCE_SHARE * len(repeated)
    if not dismissed:
        found = repeated | found
    pairs = copies + [  # i < j, and `single` follows the first of equal crops: it rises
        Pair(int(single[i]), int(single[j]), similarity, copy=False) for (i, j), similarity in found.items()
    ]
    pairs.sort(key=lambda pair: (-pair.similarity, pair.first, pair.second))
    return Repeats(tuple(pairs), by_chance, len(repeated) if dismissed else 0)


def clusters(pairs: Sequence[Pair]) -> list[list[int]]:
    """Join pairs into sets of crops that show one cell each, by index."""
    cluster_of: dict[int, set[int]] = {}
    for pair in pairs:
        small, large = sorted(
            (cluster_of.setdefault(index, {index}) for index in (pair.first, pair.second)), key=len
        )
        large |= small
        cluster_of.update(dict.fromkeys(small, large))
    return sorted(map(sorted, {id(cluster): cluster for cluster in cluster_of.values()}.values()))


_Similarities = dict[tuple[int, int], float]  # (i, j) with i < j → correlation


def _compare(
    thumbnails: NDArray[np.uint8], on_crop: Callable[[], None]
) -> tuple[_Similarities, _Similarities, _Similarities]:
    """Correlate thumbnails with their nearest ones on a coarse grid: as they lie, turned, mirrored."""
    upright: _Similarities = {}
    turned: _Similarities = {}
    mirrored: _Similarities = {}
    coarse = _coarse(thumbnails)
    turns = [turn.ravel() for turn in dihedral(np.arange(_COARSE_PX**2).reshape(_COARSE_PX, _COARSE_PX))]
    for start in range(0, len(coarse), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(coarse)))
        kept = min(_CANDIDATES, len(coarse) - 1)
        nearest = np.argpartition(-_scores(coarse, block, turns[0]), kept - 1, axis=1)[:, :kept]
        partners = np.zeros((len(turns), len(block)), np.int64)
        best = np.full((len(turns), len(block)), -2.0, np.float32)
        for turn in range(1, len(turns)):
            scores = _scores(coarse, block, turns[turn])
            partners[turn], best[turn] = scores.argmax(axis=1), scores.max(axis=1)
        for row, i in enumerate(map(int, block)):
            for j in map(int, nearest[row]):
                if (pair := (min(i, j), max(i, j))) not in upright:
                    upright[pair] = correlation(thumbnails[i], thumbnails[j])
            variants = dihedral(thumbnails[i])
            turn = int(best[:, row].argmax())
            if best[turn, row] > 0:
                j = int(partners[turn, row])
                pair = (min(i, j), max(i, j))
                similarity = correlation(variants[turn], thumbnails[j])
                turned[pair] = max(turned.get(pair, -1.0), similarity)
            j = int(partners[_MIRRORED, row])  # mirroring either one gives the same correlation
            mirrored[min(i, j), max(i, j)] = correlation(variants[_MIRRORED], thumbnails[j])
            on_crop()
    return upright, turned, mirrored


def _scores(
    coarse: NDArray[np.float32], block: NDArray[np.int64], turn: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the correlations of some crops, turned, with all others: float32 [len(block), n]."""
    scores: NDArray[np.float32] = coarse[block][:, turn] @ coarse.T
    scores[np.arange(len(block)), block] = -2.0  # with itself: below any correlation
    return scores


def correlation(one: Grey, other: Grey) -> float:
    """Return the highest correlation of two thumbnails, the inner part of either shifted over the other."""
    inner = slice(_MARGIN_PX, THUMBNAIL_PX - _MARGIN_PX)
    matches = (
        cv2.matchTemplate(whole, part[inner, inner], cv2.TM_CCOEFF_NORMED)
        for whole, part in ((one, other), (other, one))
    )
    return min(1.0, max(float(match.max()) for match in matches))


def _detail(thumbnail: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Remove structure larger than a twentieth of the side."""
    image = thumbnail.astype(np.float32)
    detail: NDArray[np.float32] = image - cv2.GaussianBlur(image, (0, 0), THUMBNAIL_PX / 20)
    return detail


def _is_one_picture(one: NDArray[np.uint8], other: NDArray[np.uint8]) -> bool:
    """Return whether two thumbnails fit far better in one orientation than in every other."""
    *_, second, best = sorted(correlation(variant, other) for variant in dihedral(one))
    return 1 - best <= TURNED_RATIO * (1 - second)


def _fits_only_upright(one: NDArray[np.uint8], other: NDArray[np.uint8], similarity: float) -> bool:
    """Return whether the details of two thumbnails agree, and the whole less well however one is turned."""
    upright, *turned = dihedral(one)
    return correlation(_detail(upright), _detail(other)) >= SAME_DETAIL and all(
        correlation(variant, other) < similarity for variant in turned
    )


def _coarse(thumbnails: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return coarse thumbnails as rows with mean 0 and length 1, so that their products are correlations."""
    step = THUMBNAIL_PX // _COARSE_PX
    cells = thumbnails.reshape(len(thumbnails), _COARSE_PX, step, _COARSE_PX, step)
    means = cells.mean(axis=(2, 4), dtype=np.float32).reshape(len(thumbnails), -1)
    centred = means - means.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.asarray(centred / np.maximum(length, np.float32(1e-6)), np.float32)


def _distances_to_others(similar: _Similarities, crops: int) -> list[float]:
    """Return the distance of each crop to the nearest that can hardly be the same cell, or 1."""
    rows: list[list[float]] = [[] for _ in range(crops)]
    for pair, similarity in similar.items():
        for index in pair:
            rows[index].append(similarity)
    nearest = [sorted(row, reverse=True)[OVERLAPPING - 1 : OVERLAPPING] for row in rows]
    return [1 - row[0] if row else 1.0 for row in nearest]
