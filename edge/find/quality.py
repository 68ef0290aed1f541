"""Can a frame be trusted? Focus, light, crowding and punctuality, measured on every frame.

Everything is measured on a reduced or thinned frame, which costs a fraction of finding its cells.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from operator import gt, lt

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, Frame, declare
from edge.find.segmentation import reduced


@dataclass(frozen=True)
class QualityLimits:
    """Section ``[quality]``: what a frame may be like before the operator is told; see `edge.find.quality`."""

    min_focus: float = declare("share of fine detail in all edges, 0 to 1", 0, 1, default=0.25)
    min_brightness: float = declare("median grey level", 0, 255, default=50.0)
    max_brightness: float = declare("median grey level", 0, 255, default=230.0)
    max_brightness_drift: float = declare("relative, since the flat field", 0, 10, default=0.1)
    max_saturated_share: float = declare("pixels at 255", 0, 1, default=0.01)
    max_density_per_mm2: float = declare("cells, on the area of the frame", 0, 1e6, default=4000.0)
    max_border_share: float = declare("cells that the frame's edge cuts", 0, 1, default=0.5)
    max_touching_share: float = declare("cells that touch another one", 0, 1, default=0.5)
    max_dropped: int = declare("frames dropped before this one", 0, 1_000_000, default=0)
    max_late_ms: float = declare("wait between camera and counting", 0, 1e9, default=2000.0)


Map = NDArray[np.float32]

FOCUS_PIXEL_UM = 0.58
"""Pixel in µm to which a frame is reduced for the focus: half the finest detail that is judged."""

FOCUS_BLOCK_PX = 8
"""Side of the blocks, of those pixels, among which the median one has nothing but noise."""

LEAST_EDGES = 5e-3
"""Least rms slope of the light, relative to it and a µm, above the noise. A single cell in a field of
0.03 mm² leaves 0.011 in focus and 0.007 far out of it, dust on the optics 0.003 (simulated)."""

SAMPLED_PIXELS = 250_000
"""Pixels whose grey levels are looked at: a share of 1e-5 is still seen."""

MIN_CELLS = 10
"""Cells from which on their shares are held against the limits: of fewer, one cell makes a large share."""


@dataclass(frozen=True)
class Quality:
    """What a frame is like.

    Attributes
    ----------
    focus : share of fine detail in all edges, 0 to 1 (`focus`); None where there is nothing to judge it by
    brightness : median grey level
    brightness_drift : relative to the brightness at calibration; None without one
    saturated_share : of the pixels, those at 255
    cells : found
    density_per_mm2 : cells on the area of the frame
    border_share, touching_share : of the cells; None without cells
    dropped_before : whole frames dropped between the frame before this one and this one
    late_ms : how long the frame waited between camera and counting
    """

    focus: float | None
    brightness: float
    brightness_drift: float | None
    saturated_share: float
    cells: int
    density_per_mm2: float
    border_share: float | None
    touching_share: float | None
    dropped_before: int
    late_ms: float


def measure_quality(
    frame: Frame,
    cells: Sequence[Cell],
    *,
    pixel_um: float,
    reference_brightness: float | None = None,
    recorded: NDArray[np.uint8] | None = None,
    small: tuple[NDArray[np.uint8], float] | None = None,
) -> Quality:
    """Measure one frame.

    Parameters
    ----------
    frame : as it was segmented: with a flat field, the corrected one
    cells : found in it
    pixel_um : side of a pixel in the specimen
    reference_brightness : grey level of blank frames at calibration (``flat_field.brightness`` of a calibration)
    recorded : the image before it was corrected, uint8 [h, w], whose saturation a flat field may hide
    small : the frame and its pixel in µm as `edge.find.segmentation.reduced` makes them, for the focus, if at hand
    """
    brightness, saturated = light(frame.image)
    if recorded is not None:
        _, saturated = light(recorded)
    return Quality(
        focus=focus(*(small or (frame.image, pixel_um))),
        brightness=brightness,
        brightness_drift=None if reference_brightness is None else brightness / reference_brightness - 1,
        saturated_share=saturated,
        cells=len(cells),
        density_per_mm2=len(cells) / (frame.image.size * (pixel_um / 1000) ** 2),
        border_share=sum(cell.border for cell in cells) / len(cells) if cells else None,
        touching_share=sum(cell.touching for cell in cells) / len(cells) if cells else None,
        dropped_before=frame.dropped_before,
        late_ms=frame.late_ns / 1e6,
    )


def breaches(quality: Quality, limits: QualityLimits) -> tuple[str, ...]:
    """Say which limits a frame is outside of, in words for the operator; empty if none."""
    q, at = quality, limits
    drift = q.brightness_drift or 0.0
    border, touching = (q.border_share, q.touching_share) if q.cells >= MIN_CELLS else (None, None)
    drifted = f"{{}} {'brighter' if drift > 0 else 'darker'} than at calibration"
    rows: list[tuple[float | None, Callable[[float, float], bool], float, str, str]] = [
        (q.focus, lt, at.min_focus, ".2f", "out of focus ({})"),
        (q.brightness, lt, at.min_brightness, ".0f", "too dark (grey level {})"),
        (q.brightness, gt, at.max_brightness, ".0f", "too bright (grey level {})"),
        (abs(drift), gt, at.max_brightness_drift, ".0%", drifted),
        (q.saturated_share, gt, at.max_saturated_share, ".1%", "overexposed ({} of the pixels)"),
        (q.density_per_mm2, gt, at.max_density_per_mm2, ".0f", "too dense ({} cells/mm²)"),
        (border, gt, at.max_border_share, ".0%", "{} of the cells cut by the edge"),
        (touching, gt, at.max_touching_share, ".0%", "{} of the cells touch another"),
        (q.dropped_before, gt, at.max_dropped, ".0f", "{} frames dropped before it"),
        (q.late_ms / 1000, gt, at.max_late_ms / 1000, ".1f", "{} s late"),
    ]
    return tuple(
        words.format(_apart(value, limit, form))
        for value, beyond, limit, form, words in rows
        if value is not None and beyond(value, limit)
    )


def _apart(value: float, limit: float, form: str) -> str:
    """Write a value in a form, such as ``.2f``, with the further digits that tell it from its limit."""
    digits, kind = int(form[1]), form[2]
    forms = (f".{more}{kind}" for more in count(digits))
    return next(said for form in forms if (said := format(value, form)) != format(limit, form))


def light(image: NDArray[np.uint8]) -> tuple[float, float]:
    """Median grey level and share of pixels at 255 of a frame, uint8 [h, w]."""
    step = max(1, int((image.size / SAMPLED_PIXELS) ** 0.5))
    step -= step > 1 and step % 2 == 0  # odd: JPEG's blocks are 8 wide, and every place in them must come up
    thinned = np.ascontiguousarray(image[::step, ::step])
    levels = cv2.calcHist([thinned], [0], None, [256], [0, 256]).ravel()
    median = int(np.searchsorted(np.cumsum(levels), thinned.size / 2))
    return float(median), float(levels[255] / thinned.size)


def focus(image: NDArray[np.uint8], pixel_um: float) -> float | None:
    """Share of the edges' energy that lies in detail finer than about 1 µm, 0 to 1.

    With E(s) for the energy of the gradient after smoothing over s, it is 1 - E(1.2 µm) / E(0.6 µm). How
    much is in the frame and how bright it is cancels, and so does the pixel size, up to 0.58 µm. Any further
    Gaussian blur lowers it: the blur weakens high frequencies more than low ones, of which E(0.6 µm) has a
    larger share at every frequency. Noise, and what little there is everywhere, is taken off: it is what
    the median block has.

    Returns
    -------
    float, or None where nothing stands out of the noise, the frame is too small, or pixels are larger than
    0.58 µm
    """
    if pixel_um > FOCUS_PIXEL_UM or min(image.shape) * pixel_um < 4 * FOCUS_BLOCK_PX * FOCUS_PIXEL_UM:
        return None
    # by way of the frame that cells are looked for on, so that it may be given instead
    fine = _reduced(*reduced(image, pixel_um))
    coarse = _halved(fine)
    # a slope a pixel is twice as large on pixels twice as wide
    sharp = _edge_energy(fine, FOCUS_BLOCK_PX)
    rest = _edge_energy(coarse, FOCUS_BLOCK_PX // 2) / 4
    level = max(float(fine.mean()), 1.0)
    if sharp <= (LEAST_EDGES * FOCUS_PIXEL_UM * level) ** 2:
        return None
    return min(max(1 - rest / sharp, 0.0), 1.0)


def _reduced(image: NDArray[np.uint8], pixel_um: float) -> NDArray[np.uint8]:
    """Reduce a frame to pixels of `FOCUS_PIXEL_UM`; by halves, which OpenCV does eight times as fast."""
    while 2 * pixel_um <= FOCUS_PIXEL_UM * 1.005:
        image, pixel_um = _halved(image), 2 * pixel_um
    height, width = (max(1, round(side * pixel_um / FOCUS_PIXEL_UM)) for side in image.shape)
    return np.asarray(cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _halved(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    height, width = image.shape[0] // 2, image.shape[1] // 2
    even = image[: 2 * height, : 2 * width]
    return np.asarray(cv2.resize(even, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _edge_energy(image: NDArray[np.uint8], block: int) -> float:
    """Mean squared slope a pixel, less that of the median block."""
    right, down = (cv2.Sobel(image, cv2.CV_32F, dx, 1 - dx, scale=1 / 8) for dx in (1, 0))
    energy = right * right + down * down
    height, width = energy.shape[0] // block, energy.shape[1] // block
    whole = energy[: height * block, : width * block]
    blocks = cv2.resize(whole, (width, height), interpolation=cv2.INTER_AREA)
    return float(blocks.mean() - np.median(blocks))
