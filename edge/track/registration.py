"""How well two frames or cells agree: shifts that phase correlation proposes, pairs, and log odds."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.track.appearance import PATCH_PX, Boxes, Image, Picture

Real = NDArray[np.float64]

PEAKS = 16
"""Highest peaks of a phase correlation that are tried."""

PEAK_UM = 1.4
"""Standard deviation of the Gaussian that smooths a peak: how far boxes and light may disagree."""

MIN_OVERLAP = 0.1
"""Least share of a frame that two frames must have in common to be registered."""

MIN_IOU = 0.3
"""Least intersection over union of two detections of a cell; touching neighbours have about 0.1."""

MIN_SIDE_UM = 2.0
"""Least width and height that the edge of a frame must leave of a cell."""

SIMILARITY_SLOPE, SIMILARITY_ZERO, SIMILARITY_LEAST, SIMILARITY_MOST = 20.0, 0.75, -4.0, 2.5
"""Log odds that two patches show one cell: a straight line in their correlation, with limits. Simulated cells
correlate by at least 0.84 with themselves in 95 % of the cases, with others in 4 %."""

SIMILARITY_REACH_UM = 1.2
"""Farthest that the centres of two boxes of one cell may lie apart."""

BACKGROUND_LIMIT = 60
"""Picture steps at which a background is clipped, so that grid lines do not outweigh everything else."""

BACKGROUND_SLOPE, BACKGROUND_ZERO = 15.0, 0.3
"""Log odds that two backgrounds show one place: a straight line in their correlation, at least 0. On real
frames the correlation exceeds 0.6 for 9 of 10 true poses, and for 1 in 100 of the wrong ones that a single
cell proposes (by chance, or because of grid lines). A background of noise alone says nothing."""

BACKGROUND_ENOUGH = 0.2
"""Share of a frame that two backgrounds must have in common for the full log odds."""


def proposed_shifts(before: Picture, now: Picture, pixel_um: float) -> Real:
    """Return shifts at which two foregrounds may agree: now's origin less before's, float64 [k, 2] in µm.

    C. D. Kuglin and D. C. Hines, "The phase correlation image alignment method", Proc. IEEE Int. Conf.
    Cybernetics and Society (1975) 163–165. The surface is periodic: a peak stands for up to four shifts.
    """
    if before.shape != now.shape or not (before.any() and now.any()):
        return np.zeros((0, 2))
    pictures, pixel_um = [_halved(before), _halved(now)], 2 * pixel_um
    height, width = (cv2.getOptimalDFTSize(extent) for extent in pictures[0].shape)
    earlier, later = (_spectrum(picture, (height, width)) for picture in pictures)
    cross = earlier * later.conj()
    size = np.abs(cross)
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)
    weight = np.exp(-2 * (np.pi * PEAK_UM / pixel_um) ** 2 * (fy**2 + fx**2))
    phases = cross / np.maximum(size, 1e-9 * size.max()) * weight.astype(np.float32)
    surface = cv2.dft(phases.view(np.float32).reshape(height, width, 2), flags=cv2.DFT_INVERSE)[..., 0]
    reach = np.arange(-round(2 * PEAK_UM / pixel_um), round(2 * PEAK_UM / pixel_um) + 1)
    peaks = []
    for _ in range(PEAKS):
        y, x = (int(k) for k in np.unravel_index(np.argmax(surface), surface.shape))
        peaks.append((x, y))
        surface[np.ix_((y + reach) % height, (x + reach) % width)] = -np.inf
    shifts = np.array(
        [(x - i * width, y - j * height) for x, y in peaks for j in (0, 1) for i in (0, 1)], float
    )
    common = np.prod(np.maximum(1 - np.abs(shifts) / pictures[0].shape[::-1], 0), axis=1)
    return np.asarray(shifts[common >= MIN_OVERLAP] * pixel_um, np.float64)


def _halved(picture: Picture) -> NDArray[np.float32]:
    """Return the exact mean of 2 × 2 pixels: enough for a shift that the cells themselves will refine."""
    even = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2].astype(np.float32)
    rows = even[::2] + even[1::2]
    return np.asarray((rows[:, ::2] + rows[:, 1::2]) / 4, np.float32)


def _spectrum(picture: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.complex64]:
    padded = np.zeros(size, np.float32)
    padded[: picture.shape[0], : picture.shape[1]] = picture
    parts = np.asarray(cv2.dft(padded, flags=cv2.DFT_COMPLEX_OUTPUT), np.float32)
    return np.asarray(parts.view(np.complex64)[..., 0], np.complex64)


def foreground(picture: Picture, boxes: Boxes, pixel_um: float) -> Picture:
    """Return the picture inside the boxes (in µm) and 0 elsewhere, without traces of lamp and sensor."""
    mask = np.zeros(picture.shape, np.uint8)
    for left, top, right, bottom in np.rint(boxes / pixel_um).astype(int):
        mask[top:bottom, left:right] = 1
    return np.asarray(picture * mask, np.int8)


def pairs_of(known: Boxes, windows: Boxes, boxes: Boxes, window: Real) -> list[tuple[int, int]]:
    """Pair earlier detections with the cells of a frame one to one, the greatest overlap first.

    The overlap is the intersection over union of the parts of two boxes that both frames show. `windows`
    [m, 4] are the frames of the `known` boxes [m, 4], `window` [4] is that of the `boxes` [n, 4].
    """
    near = (known[:, None, :2] < boxes[:, 2:]).all(axis=2) & (known[:, None, 2:] > boxes[:, :2]).all(axis=2)
    rows, columns = np.nonzero(near)
    common = _intersection(windows[rows], window)
    earlier, now = _intersection(known[rows], common), _intersection(boxes[columns], common)
    both = _area(_intersection(earlier, now))
    overlap = both / np.maximum(_area(earlier) + _area(now) - both, 1e-9)
    overlap[np.minimum(_sides(earlier).min(axis=1), _sides(now).min(axis=1)) < MIN_SIDE_UM] = 0
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for k in np.argsort(-overlap, kind="stable"):
        row, column = int(rows[k]), int(columns[k])
        if overlap[k] < MIN_IOU:
            break
        if row not in pairs and column not in taken:
            pairs[row] = column
            taken.add(column)
    return sorted(pairs.items())


def patch_log_odds(before: Image, now: Image, patch_um: float) -> float:
    """Return the log odds that two patches, uint8 [PATCH_PX, PATCH_PX], show one cell and not two."""
    reach = max(1, round(SIMILARITY_REACH_UM / patch_um))
    inner = now[reach : PATCH_PX - reach, reach : PATCH_PX - reach]
    similarity = float(cv2.matchTemplate(before, inner, cv2.TM_CCOEFF_NORMED).max())
    return min(max(SIMILARITY_SLOPE * (similarity - SIMILARITY_ZERO), SIMILARITY_LEAST), SIMILARITY_MOST)


def background_log_odds(before: Picture, now: Picture, shift_px: Real) -> float:
    """Return the log odds that two backgrounds show one place; `shift_px` is now's origin less before's."""
    if before.shape != now.shape:
        return 0.0
    x, y = np.rint(shift_px).astype(int)
    height, width = now.shape
    earlier = _clipped(before[max(y, 0) : height + min(y, 0), max(x, 0) : width + min(x, 0)])
    later = _clipped(now[max(-y, 0) : height - max(y, 0), max(-x, 0) : width - max(x, 0)])
    norm = float(np.sqrt((earlier**2).sum() * (later**2).sum()))
    correlation = float((earlier * later).sum()) / norm if norm else 0.0
    weight = min(earlier.size / now.size / BACKGROUND_ENOUGH, 1.0)
    return weight * max(BACKGROUND_SLOPE * (correlation - BACKGROUND_ZERO), 0.0)


def _clipped(picture: Picture) -> NDArray[np.float32]:
    return np.clip(picture, -BACKGROUND_LIMIT, BACKGROUND_LIMIT).astype(np.float32)


def _intersection(a: Real, b: Real) -> Real:
    """Return the common part of boxes [..., 4]; its sides are negative where there is none."""
    return np.concatenate([np.maximum(a[..., :2], b[..., :2]), np.minimum(a[..., 2:], b[..., 2:])], axis=-1)


def _sides(boxes: Real) -> Real:
    return np.maximum(boxes[..., 2:] - boxes[..., :2], 0)


def _area(boxes: Real) -> Real:
    return np.asarray(np.prod(_sides(boxes), axis=-1), np.float64)
