"""Which pixel size a count uses, and where it is from."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edge.capture import agreed_pixel, files_pixels
from edge.run.config import FROM_CALIBRATION
from edge.run.instrument import Instrument

FROM_OPTION = "from --pixel-um"
FROM_BUNDLE = "the bundle's: nothing else states it for all files"

MAX_ASKED = 10_000
"""Files whose headers are read before the first frame. What a count reads later is held against them."""


def choose_pixel(
    given: float | None, instrument: Instrument, sources: Sequence[str], root: Path = Path()
) -> tuple[float, str]:
    """Return the side of a frame's pixel in the specimen, µm, and where it is from.

    The first of these that states it: the option, the calibration, all files in agreement, the bundle. Of a
    camera, only the sources ``watch:`` and ``video:`` have files before the first frame.
    """
    if given is not None:
        return given, FROM_OPTION
    if instrument.calibrated:
        return instrument.pixel_um, FROM_CALIBRATION
    stated = agreed_pixel(files_pixels(list(map(_file, sources)), root, at_most=MAX_ASKED))
    return (stated.um, f"from the files ({stated.source})") if stated else (instrument.pixel_um, FROM_BUNDLE)


def _file(source: str) -> str:
    kind, _, which = source.partition(":")
    return which if kind in ("watch", "video") else source
