"""Augmentation of crops: the paper's fixed expansion, and random variants drawn in every epoch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

FINE_ROTATIONS_DEG: dict[int, tuple[int, ...]] = {
    6: (),
    24: tuple(sign * angle for angle in range(3, 20, 2) for sign in (1, -1)),
    50: tuple(sign * angle for angle in range(4, 26) for sign in (1, -1)),
}
"""The paper's schedules by expansion factor: fine rotations in addition to the original, two flips and three
quarter turns. ×6 was for granulocytes, ×24 for lymphocytes, ×50 for monocytes. Source: Chen, Fu et al.,
Heliyon, 2024, from the numbers of its augmentation table."""


def expansion_factors(counts: Sequence[int]) -> list[int]:
    """Choose the expansion factor of each class from its number of crops.

    The largest class is expanded ×6, every other class by the factor that brings it nearest (as a ratio) to
    the same size. The paper's 1540, 444 and 211 crops give its 6, 24 and 50.
    """
    aim = 6 * max(counts)
    return [
        min(FINE_ROTATIONS_DEG, key=lambda factor: abs(math.log(factor * max(n, 1) / aim)))
        if 6 * n < aim
        else 6
        for n in counts
    ]


def expansion(truth: NDArray[np.int64], factors: Sequence[int]) -> NDArray[np.int64]:
    """List the variants of the paper's expansion, without computing them, from the class of each crop.

    Returns
    -------
    int64 [m, 3]
        Rows (crop, factor, variant) for `paper_variant`.
    """
    rows = [
        (crop, factors[label], variant)
        for crop, label in enumerate(truth.tolist())
        for variant in range(factors[label])
    ]
    return np.array(rows, np.int64).reshape(-1, 3)


def paper_variant(crop: NDArray[np.uint8], factor: int, variant: int) -> NDArray[np.uint8]:
    """Return one variant of a crop under the paper's schedule.

    Variant 0 is the original; 1 and 2 are mirrored left-right and top-bottom; 3, 4 and 5 are one, two and
    three quarter turns; the rest are the fine rotations, their missing corners reflected at the edges.
    """
    if variant < 3:
        return (crop, crop[:, ::-1], crop[::-1])[variant]
    if variant < 6:
        return np.rot90(crop, variant - 2)
    height, width = crop.shape
    angle = FINE_ROTATIONS_DEG[factor][variant - 6]
    turn = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), angle, 1.0)
    turned = cv2.warpAffine(crop, turn, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    return turned.astype(np.uint8, copy=False)


def random_variant(
    crop: NDArray[np.uint8],
    rng: np.random.Generator,
    *,
    shift: float = 0.04,
    zoom: float = 0.08,
    gain: float = 0.1,
    offset: float = 0.04,
    blur: float = 0.006,
) -> NDArray[np.float32]:
    """Draw a random variant of a crop: mirrored, rotated, shifted, zoomed, relit and perhaps defocused.

    Parameters
    ----------
    crop : uint8 [s, s]
    shift : float
        Largest shift along each axis, as a share of the side.
    zoom, gain : float
        Largest relative change of size, and of contrast around the crop's mean.
    offset : float
        Largest change of brightness, as a share of full scale.
    blur : float
        Largest Gaussian sigma, as a share of the side; one crop in three is blurred.

    Returns
    -------
    float32 [s, s]
        From 0 to 1.
    """
    height, width = crop.shape
    centre_x, centre_y = (width - 1) / 2, (height - 1) / 2
    angle = rng.uniform(0.0, 2.0 * math.pi)
    scale = 1.0 + rng.uniform(-zoom, zoom)
    mirror = rng.choice((-1.0, 1.0))
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[mirror * cos, sin], [-mirror * sin, cos]])
    centre = np.array([centre_x, centre_y])
    offset_px = centre + rng.uniform(-shift * width, shift * width, 2) - linear @ centre
    matrix = np.column_stack((linear, offset_px))
    image = cv2.warpAffine(crop, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101)
    contrast = 1.0 + rng.uniform(-gain, gain)
    brightness = rng.uniform(-offset, offset)
    sigma = rng.uniform(0.25, 1.0) * blur * width
    if rng.random() < 1 / 3:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    lit = image.astype(np.float32) * np.float32(contrast / 255.0)
    lit += np.float32(brightness + (1.0 - contrast) * float(crop.mean()) / 255.0)
    return np.clip(lit, 0.0, 1.0, out=lit)


def lay_over(
    crop: NDArray[np.uint8], background: NDArray[np.uint8], rng: np.random.Generator
) -> NDArray[np.uint8]:
    """Lay a crop over a background, rotated by a random number of quarter turns.

    The background, relative to its median, multiplies the crop. Cells on the lines of a counting chamber are
    rare and the hardest to classify; this makes more of them.
    """
    turned = np.ascontiguousarray(np.rot90(background, rng.integers(4)))
    laid = cv2.multiply(crop, turned, scale=1.0 / max(1.0, float(np.median(background))))
    return laid.astype(np.uint8, copy=False)


def balanced_order(truth: NDArray[np.int64], rng: np.random.Generator, balance: float) -> NDArray[np.int64]:
    """Return the crops of an epoch in random order, those of rare classes repeated.

    A class of n crops appears ``n ** (1 - balance) * largest ** balance`` times: 0 keeps the classes'
    frequencies, 1 makes them equal. All crops of a class repeat equally often.

    Returns
    -------
    int64 [m]
        Indices into `truth`; m depends only on the class sizes.
    """
    largest = int(np.bincount(truth).max())
    drawn = []
    for label in np.unique(truth):
        members = np.flatnonzero(truth == label)
        wanted = round(len(members) ** (1 - balance) * largest**balance)
        rounds = math.ceil(wanted / len(members))
        drawn.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:wanted])
    return rng.permutation(np.concatenate(drawn)).astype(np.int64)
