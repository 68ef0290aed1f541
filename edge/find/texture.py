"""The texture of a frame: its gradient without grid lines, smoothed, relative to the illumination.

An unstained cell hardly absorbs light: it is brighter than its surround in some places and darker in others.
What sets it apart is the density of edges. The lines of a counting chamber have edges too, but long straight
ones, which a median along the line predicts.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Signed = NDArray[np.int16]
Texture = NDArray[np.float32]

EDGE_SMOOTHING_UM = 0.29
"""Standard deviation of the Gaussian before the gradient: about the optical resolution of the microscope."""

TEXTURE_SMOOTHING_UM = 0.58
"""Standard deviation of the Gaussian that turns edges into texture: half the spacing of edges in a cell."""

LINE_WINDOW_UM = 59.0
"""Length of the median along a grid line; it tolerates cells that hide less than half of that."""

LINE_SAMPLES = 9
"""Samples in that window, as many as `_MEDIAN_OF_9` takes; the gaps between them are as long as they are."""

_MEDIAN_OF_9 = (
    *((1, 2), (4, 5), (7, 8), (0, 1), (3, 4), (6, 7), (1, 2), (4, 5), (7, 8), (0, 3)),
    *((5, 8), (4, 7), (3, 6), (1, 4), (2, 5), (4, 7), (4, 2), (6, 4), (4, 2)),
)
"""Exchanges that leave the median in the middle: 19 are the fewest (J. L. Smith, XCell 23:16, 1996). On whole
rows they are 30 times as fast as a selection per pixel."""

ILLUMINATION_UM = 19.0
"""Side of the mean that estimates the illumination from what the lines leave: wider than a group of lines."""

BAND_PIXELS = 1 << 18
"""Pixels that are worked on at a time: few enough for a processor's cache, whatever the frame's size."""


def texture(work: Image, work_um: float) -> Texture:
    """Return the texture of a reduced frame, float32 [h, w].

    A line down, a line across, or both where two lines meet may explain a pixel. A line transmits part of the
    light that its surround holds back, so two crossing lines transmit 1 - (1 - v)(1 - h) of it.
    """
    smooth = _grey(cv2.GaussianBlur(work, (0, 0), EDGE_SMOOTHING_UM / work_um))
    down = _along_columns(smooth, work_um)
    across = _grey(cv2.transpose(_along_columns(_grey(cv2.transpose(smooth)), work_um)))
    illumination = cv2.blur(cv2.min(down, across), (2 * round(ILLUMINATION_UM / work_um / 2) + 1,) * 2)
    whole = smooth, down, across, _grey(illumination)
    v_or_h = (
        cv2.subtract(line[band], whole[3][band]) for line in (down, across) for band in bands(work.shape)
    )
    brightest = float(max(1, *(bright.max() for bright in v_or_h)))
    smoothing = TEXTURE_SMOOTHING_UM / work_um
    # beyond the rows that a Gaussian of 32 bits and a gradient look at
    margin = int(4 * smoothing) + 3
    textured = np.empty(work.shape, np.float32)
    for band in bands(work.shape):
        top = max(0, band.start - margin)
        relative = _relative(brightest, *(part[top : band.stop + margin] for part in whole))
        smoothed = cv2.GaussianBlur(relative, (0, 0), smoothing)
        textured[band] = smoothed[band.start - top :][: band.stop - band.start]
    return textured


def bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Yield the rows of an image, some at a time: what is computed from each takes little memory."""
    height, width = shape
    rows = max(64, BAND_PIXELS // width)
    return (slice(top, min(top + rows, height)) for top in range(0, height, rows))


def _relative(brightest: float, smooth: Image, down: Image, across: Image, illumination: Image) -> Texture:
    """Return what no line explains of the gradient, relative to the illumination."""
    v, h = cv2.subtract(down, illumination), cv2.subtract(across, illumination)
    added = _grey(cv2.subtract(h, cv2.multiply(v, h, scale=1 / brightest)))
    edges, falling, level = _gradient(smooth), _gradient(down), _gradient(across)
    # gradients add up, as 8 bits of light would not
    crossing = tuple(_signed(cv2.add(*pair)) for pair in zip(falling, _gradient(added), strict=True))
    either = cv2.min(_unexplained(edges, falling), _unexplained(edges, level))
    # a slope below an eighth of a grey level is rounding
    rest = _at_least_1(cv2.min(either, _unexplained(edges, crossing)))
    return np.asarray(cv2.divide(rest, _at_least_1(illumination), dtype=cv2.CV_32F), np.float32)


def _at_least_1(image: object) -> Image | Signed:
    """Return what OpenCV returned, values below 1 raised to it, five times as fast as by NumPy."""
    raised: Image | Signed = cv2.max(image, 1)  # type: ignore[call-overload]  # its stubs know no scalar
    return raised


def _grey(image: object) -> Image:
    """Return what OpenCV returned as the uint8 image that it is: OpenCV's annotations do not say."""
    return np.asarray(image, np.uint8)


def _signed(values: object) -> Signed:
    return np.asarray(values, np.int16)


def _gradient(image: Image) -> tuple[Signed, ...]:
    """Return the derivatives to the right and downward, int16 [h, w] each (Sobel, 8 times the slope)."""
    return tuple(map(_signed, cv2.spatialGradient(image)))


def _unexplained(edges: tuple[Signed, ...], explained: tuple[Signed, ...]) -> Signed:
    """Return the sum of the absolute differences between gradients, int16 [h, w]."""
    right, down = (cv2.absdiff(*pair) for pair in zip(edges, explained, strict=True))
    return _signed(cv2.add(right, down))


def _along_columns(image: Image, work_um: float) -> Image:
    """Return the running median down the columns: the image as it would be without cells.

    A line that leans by a few degrees is followed: at its edge equally many samples lie on either side.
    """
    height, width = image.shape
    reach = LINE_SAMPLES - 1
    rows = min(height, max(1, round(height * work_um * (2 * reach + 1) / LINE_WINDOW_UM)))
    coarse = cv2.resize(image, (width, rows), interpolation=cv2.INTER_AREA)
    mirrored = np.pad(coarse, ((reach, reach), (0, 0)), mode="reflect")
    for band in bands(coarse.shape):
        window = [mirrored[band.start + k : band.stop + k] for k in range(0, 2 * reach + 1, 2)]
        for low, high in _MEDIAN_OF_9:
            a, b = window[low], window[high]
            window[low], window[high] = np.minimum(a, b), np.maximum(a, b)
        coarse[band] = window[reach // 2]
    return _grey(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR))
