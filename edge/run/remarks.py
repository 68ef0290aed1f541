"""What readers of the results have to know, in sentences: of the settings, and of what was counted."""

from __future__ import annotations

from edge.capture import contradiction, passed_over
from edge.count import Totals
from edge.model import Manifest
from edge.run.config import CountConfig

MAX_PIXEL_FACTOR = 1.4
"""Ratio of a frame's pixel to the bundle's, or its inverse, from which a remark is made: objectives differ by
more (40× and 60× at the least), calibrations agree to a few percent."""


def opening_remarks(config: CountConfig, bundle: Manifest) -> tuple[str, ...]:
    """Return the remarks that hold before the first frame."""
    return tuple(filter(None, (pixel_remark(config.analysis.pixel_um, bundle), _passed_over(config))))


def closing_remarks(config: CountConfig, totals: Totals) -> tuple[str, ...]:
    """Return the remarks on what was counted, the same for a count and for one that is resumed."""
    chosen = (_chosen(note, frames, totals) for note, frames in totals.notes.items())
    pixel = contradiction(totals.pixels, config.analysis.pixel_um, config.pixel_from)
    return tuple(filter(None, (pixel, *chosen)))


def pixel_remark(pixel_um: float, bundle: Manifest) -> str:
    """Return a remark on frames of another magnification than the bundle's; empty if they have the same."""
    factor = pixel_um / bundle.pixel_um
    if 1 / MAX_PIXEL_FACTOR <= factor <= MAX_PIXEL_FACTOR:
        return ""
    return (
        f"a pixel of {pixel_um:.4g} µm is {factor:.2g} times that of bundle {bundle.name} "
        f"({bundle.pixel_um:.4g} µm): check the pixel size, and whether the bundle is for this objective"
    )


def _passed_over(config: CountConfig) -> str:
    """Return a remark on the files that folders hold and nobody reads; empty without any."""
    sources = config.sources
    if config.camera:
        sources = tuple(name.removeprefix("watch:") for name in sources if name.startswith("watch:"))
    kinds = passed_over(sources, config.root)
    if not kinds:
        return ""
    listed = ", ".join(f"{n} {suffix or 'without a suffix'}" for suffix, n in sorted(kinds.items()))
    files, were = ("files", "were") if kinds.total() > 1 else ("file", "was")
    return (
        f"{kinds.total()} {files} of the folder {were} passed over ({listed}): save images as PNG or TIFF,"
        " or name a file to have it read whatever its suffix"
    )


def _chosen(note: str, frames: int, totals: Totals) -> str:
    """Return a remark on what the reader chose, with the number of frames unless it holds for all."""
    return note if frames == len(totals.hashes) else f"{note} ({frames} of {len(totals.hashes)} frames)"
