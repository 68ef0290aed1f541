"""Whether anything could be seen in a frame: a field without cells is a fact, a black frame is none."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edge.find.crops import grey_quantiles
from edge.find.focus import edge_slope
from edge.find.quality import Quality

Image = NDArray[np.uint8]

BLACK, DARK = 8, 16
"""Median grey levels below which a frame is black, and below which it is if no cell was found in it. At 8 one
level is 12 % of the light, and a third of the cells and more are lost; at 15 simulated cells are still found,
and the frame counts as too dark."""

BRIGHTEST_SHARE, BRIGHTEST = 0.9995, 24
"""In a black frame hardly any pixel is brighter than this: dark field has bright cells."""

WHITE_SHARE = 0.5
"""Share of the pixels at 255 from which a frame without cells is white: cells may lie in them."""


BLURRED, STRUCTURE = 0.1, 0.012
"""Focus below which a frame without cells is far out of focus if its edges are at least so steep
(`edge_slope`): a grid 2 µm out of focus leaves 0.017, dust on the optics of an empty field up to 0.006."""


def unseen(
    image: Image, small: tuple[Image, float], quality: Quality, *, likely_bit_depth: int | None = None
) -> str:
    """Return why nothing can be seen in a frame, in a phrase with the remedy; empty if something can.

    Parameters
    ----------
    image : uint8 [h, w]
    small : (uint8 [h, w], float)
        The frame as `reduced` returns it.
    likely_bit_depth : int, optional
        See `edge.base.Frame`.
    """
    (work, _), level, found = small, quality.brightness, quality.cells > 0
    if level < (BLACK if found else DARK) and grey_quantiles(work, (BRIGHTEST_SHARE,))[0] < BRIGHTEST:
        remedy = "check the lamp, the shutter and the exposure"
        if likely_bit_depth:
            remedy = f"a 16-bit file that uses {likely_bit_depth} bits, pass --bit-depth {likely_bit_depth}"
        return f"black (grey level {level:.0f}): {remedy}"
    if found:
        return ""
    if quality.saturated_share > WHITE_SHARE:
        return f"white ({quality.saturated_share:.0%} of the pixels at 255): lower the exposure or the lamp"
    # a camera's noise and its lamp's fall-off leave more
    if int(work.max()) - int(work.min()) <= 1 and int(image.max()) - int(image.min()) <= 1:
        return f"flat (all pixels at grey level {level:.0f}, without a camera's noise): not taken by a camera"
    if quality.focus is not None and quality.focus < BLURRED and edge_slope(*small) > STRUCTURE:
        return f"far out of focus ({quality.focus:.2f}): focus, and take it again"
    return ""
