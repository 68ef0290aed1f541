"""Frames with the counted cells drawn in: one colour per label, its letters, the probability, a legend."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.classify import REJECTED
from edge.count import CountedFrame
from edge.find import block_mean

SIDE_PX = 1600
"""Longest side of an annotated frame; larger frames are reduced."""

# Okabe and Ito, Color Universal Design (2008), without black; distinct with every common colour blindness.
OKABE_ITO = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#f0e442")
REJECTED_GREY = "#8c8c8c"

_FONT, _FONT_SCALE, _LINE_PX, _LEGEND_PX = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 2, 34
_DASH_PX = 6

_Point = tuple[int, int]
_Bgr = tuple[int, int, int]
_Canvas = NDArray[np.integer[Any] | np.floating[Any]]  # what OpenCV's type stubs take


def colours(labels: Sequence[str]) -> dict[str, str]:
    """Return the colour of each label, as ``#rrggbb``; grey for rejected cells.

    There are seven colours; further labels use them again and differ by their letters.
    """
    return {label: OKABE_ITO[k % len(OKABE_ITO)] for k, label in enumerate(labels)} | {
        REJECTED: REJECTED_GREY
    }


def abbreviations(labels: Sequence[str]) -> dict[str, str]:
    """Return the shortest unique beginning of each label, capitalised; ``?`` for rejected cells."""
    short = {}
    for label in labels:
        others = [other.casefold() for other in labels if other != label]
        beginnings = (label[:n] for n in range(1, len(label)))
        unique = (b for b in beginnings if not any(other.startswith(b.casefold()) for other in others))
        short[label] = next(unique, label).capitalize()
    return short | {REJECTED: "?"}


def annotate(counted: CountedFrame, labels: Sequence[str], side_px: int = SIDE_PX) -> NDArray[np.uint8]:
    """Return the frame with each cell's box, letters and probability in percent, and a legend below.

    It is BGR uint8 [h, w, 3]; the longest side of the frame is at most `side_px`.
    """
    image = counted.frame.image
    scale = min(1.0, side_px / max(image.shape))
    if scale < 1:
        image = _reduced(image, max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale)))
    canvas = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    palette = {label: _bgr(colour) for label, colour in colours(labels).items()}
    short = abbreviations(labels)
    for cell, decision, row in zip(counted.cells, counted.decisions, counted.probabilities, strict=True):
        label = decision.label
        first = round(cell.x * scale), round(cell.y * scale)
        last = round((cell.x + cell.width) * scale) - 1, round((cell.y + cell.height) * scale) - 1
        _draw_box(canvas, first, last, palette[label], dashed=label == REJECTED)
        _draw_tag(canvas, f"{short[label]} {100 * float(row.max()):.0f}", first, last, palette[label])
    return np.vstack([canvas, _legend(canvas.shape[1], palette, short)]).astype(np.uint8, copy=False)


def _reduced(image: NDArray[np.uint8], width: int, height: int) -> NDArray[np.uint8]:
    """Reduce an image: halved as often as that goes, then interpolated; ten times as fast as area means."""
    while min(image.shape[1] // width, image.shape[0] // height) >= 2:
        image = block_mean(image, 2)
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR).astype(np.uint8, copy=False)


def _bgr(colour: str) -> _Bgr:
    return int(colour[5:7], 16), int(colour[3:5], 16), int(colour[1:3], 16)


def _draw_box(canvas: _Canvas, first: _Point, last: _Point, colour: _Bgr, *, dashed: bool) -> None:
    """Draw a rectangle over a dark rim, so that it shows on any grey."""
    cv2.rectangle(canvas, first, last, (0, 0, 0), _LINE_PX + 1)
    if not dashed:
        cv2.rectangle(canvas, first, last, colour, _LINE_PX)
        return
    (left, top), (right, bottom) = first, last
    for x in range(left, right, 2 * _DASH_PX):
        for y in (top, bottom):
            cv2.line(canvas, (x, y), (min(x + _DASH_PX, right), y), colour, _LINE_PX)
    for y in range(top, bottom, 2 * _DASH_PX):
        for x in (left, right):
            cv2.line(canvas, (x, y), (x, min(y + _DASH_PX, bottom)), colour, _LINE_PX)


def _draw_tag(canvas: _Canvas, text: str, first: _Point, last: _Point, colour: _Bgr) -> None:
    """Write on a field of the box's colour above the box, or below where there is no room."""
    (width, height), _ = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    width, height = width + 6, height + 6
    left = max(0, min(first[0] - 1, canvas.shape[1] - width))
    top = first[1] - height if first[1] >= height else min(last[1], canvas.shape[0] - height)
    cv2.rectangle(canvas, (left, top), (left + width - 1, top + height - 1), colour, cv2.FILLED)
    luma = 0.114 * colour[0] + 0.587 * colour[1] + 0.299 * colour[2]
    ink = (0, 0, 0) if luma > 120 else (255, 255, 255)
    cv2.putText(canvas, text, (left + 3, top + height - 3), _FONT, _FONT_SCALE, ink, 1, cv2.LINE_AA)


def _legend(width: int, palette: Mapping[str, _Bgr], short: Mapping[str, str]) -> NDArray[np.uint8]:
    """Return strips of the image's width that name every label."""
    rows = [np.full((_LEGEND_PX, width, 3), 32, np.uint8)]
    x = 8
    for label, colour in palette.items():
        text = f"{short[label]} = {label}"
        needed = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0] + 34
        if x > 8 and x + needed > width:
            rows.append(np.full_like(rows[0], 32))
            x = 8
        _draw_box(rows[-1], (x, 9), (x + 15, 24), colour, dashed=label == REJECTED)
        cv2.putText(rows[-1], text, (x + 24, 22), _FONT, _FONT_SCALE, (235, 235, 235), 1, cv2.LINE_AA)
        x += needed + 18
    return np.vstack(rows)
