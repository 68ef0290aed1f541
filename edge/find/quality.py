"""The quality of a frame: focus, light, crowding and punctuality, and the limits of each.

Everything is measured on a reduced or thinned frame, at a fraction of the cost of finding its cells.
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
from edge.find.artefacts import blockiness, used_levels
from edge.find.focus import focus

Image = NDArray[np.uint8]

SAMPLED_PIXELS = 250_000
"""Pixels whose grey levels are counted: a share of 1e-5 still shows."""

MIN_CELLS = 10
"""Least number of cells whose shares are held against the limits: among fewer, one cell is a large share."""


@dataclass(frozen=True)
class QualityLimits:
    """Section ``[quality]``: the limits beyond which a frame is reported to the operator."""

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


@dataclass(frozen=True)
class Quality:
    """The quality of a frame.

    Attributes
    ----------
    focus : float or None
        Share of fine detail in all edges, 0 to 1 (`edge.find.focus`); None if the frame does not show it.
    brightness, brightness_drift
        Median grey level, and its relative change since calibration; None without one.
    saturated_share : float
        Share of the pixels at 255.
    border_share, touching_share : float or None
        Of the cells; None without cells.
    hidden_share : float
        Share of the frame in which no cell could be found, see `edge.find.segmentation`.
    contrast, asymmetry, detail : float or None
        Of the cells, relative to the bundle's training crops (`edge.classify.Contrast`); None if not known.
    counted_contrast, counted_detail : float or None
        The same of the cells whose likeliest label is a counted one; None without any.
    blockiness, used_levels : float or None
        Traces of compression and of few grey levels, see `edge.find.artefacts`.
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
    hidden_share: float = 0.0
    contrast: float | None = None
    asymmetry: float | None = None
    detail: float | None = None
    counted_contrast: float | None = None
    counted_detail: float | None = None
    blockiness: float | None = None
    used_levels: float | None = None


def measure_quality(
    frame: Frame,
    cells: Sequence[Cell],
    *,
    pixel_um: float,
    reference_brightness: float | None = None,
    recorded: Image | None = None,
    small: tuple[Image, float] | None = None,
    hidden_share: float = 0.0,
) -> Quality:
    """Measure the quality of a frame.

    Parameters
    ----------
    reference_brightness : float, optional
        Brightness of blank frames at calibration.
    recorded : uint8 [h, w], optional
        The image before the flat field was divided out, which may hide saturation.
    small : (uint8 [h, w], float), optional
        The frame as `reduced` returns it, if available.
    """
    brightness, saturated = light(frame.image)
    as_taken = frame.image
    if recorded is not None:
        as_taken = recorded
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
        hidden_share=hidden_share,
        blockiness=blockiness(as_taken),
        used_levels=used_levels(as_taken),
    )


def breaches(
    quality: Quality, limits: QualityLimits, *, likely_bit_depth: int | None = None
) -> tuple[str, ...]:
    """Return one phrase for the operator per limit that a frame exceeds; see `Frame.likely_bit_depth`."""
    q, at = quality, limits
    drift = q.brightness_drift or 0.0
    border, touching = (q.border_share, q.touching_share) if q.cells >= MIN_CELLS else (None, None)
    drifted = f"{{}} {'brighter' if drift > 0 else 'darker'} than at calibration"
    remedy = (
        f": a 16-bit file that uses {likely_bit_depth} bits, pass --bit-depth {likely_bit_depth}"
        if likely_bit_depth
        else ""
    )
    rows: list[tuple[float | None, Callable[[float, float], bool], float, str, str]] = [
        (q.focus, lt, at.min_focus, ".2f", "out of focus ({})"),
        (q.brightness, lt, at.min_brightness, ".0f", f"too dark (grey level {{}}){remedy}"),
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
        words.format(_distinct(value, limit, form))
        for value, beyond, limit, form, words in rows
        if value is not None and beyond(value, limit)
    )


def _distinct(value: float, limit: float, form: str) -> str:
    """Format a value, such as by ``.2f``, with as many more digits as tell it from its limit."""
    digits, kind = int(form[1]), form[2]
    forms = (f".{more}{kind}" for more in count(digits))
    return next(text for form in forms if (text := format(value, form)) != format(limit, form))


def light(image: Image) -> tuple[float, float]:
    """Return the median grey level of a frame, uint8 [h, w], and its share of pixels at 255."""
    step = max(1, int((image.size / SAMPLED_PIXELS) ** 0.5))
    step -= step > 1 and step % 2 == 0  # odd: JPEG blocks are 8 wide, and each place in them must be sampled
    thinned = np.ascontiguousarray(image[::step, ::step])
    levels = cv2.calcHist([thinned], [0], None, [256], [0, 256]).ravel()
    median = int(np.searchsorted(np.cumsum(levels), thinned.size / 2))
    return float(median), float(levels[255] / thinned.size)
