"""What the cells say of sharpened, enhanced and noisy frames, whose labels change while cells stay."""

from __future__ import annotations

import math

from edge.count import Totals
from edge.model import Manifest

STRENGTH, WRONG_STRENGTH = 1.36, 1.5
"""Strength of the counted cells (`_strength`) above which a remark is made, and above which no fractions
are stated.

Frames in order have 0.8 to 1.25: simulated (one class alone, mixtures, few cells, many erythrocytes, dense)
and real, ten at a time. Of three simulated samples with 8 to 13 monocytes, sharpening by 1.0 at 3 px leaves 2
or 3 of them and has 1.42 to 1.5; by 1.5 it leaves 0 to 2 and has 1.6 to 1.7; 1.7 times the contrast leaves 1
to 3."""

DETAIL_WEIGHT, USUAL_DETAIL = 0.3, 0.5
"""Of the finest detail above the usual, in standard deviations, against the logarithm of the contrast."""

MARGIN = 0.5
"""Of the logarithm of the strength, for one cell: it shrinks with the square root of their number."""

MAX_DETAIL = 1.0
"""Finest detail of all cells above which a remark is made too, as few of them may be counted ones. In order:
-0.8 to 0.7 simulated, -0.3 to 0.3 real, single frames up to 1.1; 1.3 with noise of 12 grey levels. Real
frames: 2.4 to 2.9 when sharpened by 1.5 at 3 px, 2.3 to 2.6 at JPEG quality 50, which rejects a tenth of the
cells, and 2.5 with noise of 3."""

ENOUGH_CELLS = 10
"""Least number of cells that are judged."""


def enhanced_remark(totals: Totals, bundle: Manifest) -> str:
    """Return a remark on counted cells that stand out more than in training; empty if they do not."""
    spreads = totals.spreads()
    if _beyond(totals, bundle, STRENGTH):
        which, of = "counted cells", "counted_"
    elif "detail" in spreads and spreads["detail"].median > _most_detail(totals.detections):
        which, of = "cells", ""
    else:
        return ""
    contrast, detail = spreads[f"{of}contrast"].median, spreads[f"{of}detail"].median
    return (
        f"the {which} have {contrast:.2g} times the contrast of those that bundle {bundle.name} was"
        f" trained on, and their finest detail is {detail:+.1f} standard deviations from similar ones, as in"
        " frames that are sharpened, enhanced, compressed or noisy: this changes labels, and rejects cells;"
        " turn off the camera's sharpening and contrast enhancement, save PNG or TIFF, check the pixel size,"
        " or train a bundle with such frames (leuko train)"
    )


def enhanced_unusable(totals: Totals, bundle: Manifest) -> str:
    """Return why fractions cannot be meant of such cells, for `CountResult.unusable`; empty if they can."""
    if len(bundle.counted) < 2 or not _beyond(totals, bundle, WRONG_STRENGTH):
        return ""
    return "labels do not hold in these frames (sharpened, or of too strong contrast)"


def _most_detail(cells: int) -> float:
    """Return the most detail that so many cells have in frames in order, in standard deviations."""
    return MAX_DETAIL + 2 / math.sqrt(cells) if cells >= ENOUGH_CELLS else math.inf


def _beyond(totals: Totals, bundle: Manifest, limit: float) -> bool:
    """Return whether the counted cells are clearly stronger than a limit."""
    cells = totals.doubt.cells(bundle.counted)
    strength = _strength(totals)
    return cells >= ENOUGH_CELLS and strength > limit * math.exp(MARGIN / math.sqrt(cells))


def _strength(totals: Totals) -> float:
    """Return the contrast of the counted cells, and more if their detail is strong too; 0 of none.

    Sharpening with a wide radius raises the contrast, with a narrow one the finest detail.
    """
    spreads = totals.spreads()
    if "counted_contrast" not in spreads:
        return 0.0
    detail = spreads["counted_detail"].median
    return spreads["counted_contrast"].median * math.exp(DETAIL_WEIGHT * max(detail - USUAL_DETAIL, 0.0))
