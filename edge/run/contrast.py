"""What the contrast of the cells says of a count: images of another kind than the bundle was trained on."""

from __future__ import annotations

from edge.count import Totals
from edge.model import Manifest

FAINT, STRONG = 0.67, 1.7
"""Contrast relative to the training crops beyond which a remark is made (`edge.classify.Contrast`). Frames of
the kinds that the shipped bundles know, real and simulated, have 0.9 to 1.3; 1.6 at a pixel size that is a
third off, on which there is a remark of its own."""

LOST = 0.33
"""Contrast below which most cells are lost: of 118 simulated cells 112 are found at 0.37, and 6 at 0.28."""

REVERSED, REVERSED_CONTRAST = 0.15, 1.2
"""Asymmetry from which light and dark are reversed, if the contrast is at least so strong: negatives of
simulated frames have 0.2, real frames with bright grid lines up to 0.11."""

DARK = 50.0
"""Background, as a grey level, below which strong contrast is that of dark field."""

ENOUGH_CELLS = 5
"""Cells from which the contrast is that of a sample: fewer may be fragments, which are faint."""


def contrast_remark(totals: Totals, bundle: Manifest) -> str:
    """Return a remark on cells of another contrast than the bundle's; empty if they have about the same."""
    ratio = _median(totals, "contrast")
    if ratio is None or (FAINT <= ratio <= STRONG and not contrast_unusable(totals)):
        return ""
    cells = totals.detections
    bodies = "the cells have" if cells >= ENOUGH_CELLS else f"the bodies found ({cells}) have"
    found = f"{bodies} {ratio:.2g} times the contrast of those that bundle {bundle.name} was trained on"
    if ratio < FAINT:
        missed = (
            "faint cells are missed" if cells >= ENOUGH_CELLS else "these are fragments, or cells are missed"
        )
        return (
            f"{found}: {missed}, and labels are less sure; stop down the condenser, check focus and exposure,"
            " and save frames as the camera gives them"
        )
    if cells < ENOUGH_CELLS:
        return ""
    return (
        f"{found}: it does not know negatives, dark field, phase contrast, stained cells and enhanced images;"
        " use bright field, save frames as the camera gives them, or train a bundle for these"
    )


def contrast_unusable(totals: Totals) -> str:
    """Return why numbers cannot be meant at this contrast, for `CountResult.unusable`; empty if they can."""
    ratio, asymmetry, light = (
        _median(totals, measure) for measure in ("contrast", "asymmetry", "brightness")
    )
    if ratio is None or asymmetry is None or light is None or totals.detections < ENOUGH_CELLS:
        return ""
    if ratio < LOST:
        return f"these cells hardly stand out (contrast {ratio:.2g} of the bundle's), and most are missed"
    if ratio > STRONG and light < DARK:
        return f"this is dark field (background at grey level {light:.0f}), and the bundle knows bright field"
    if ratio > REVERSED_CONTRAST and asymmetry > REVERSED:
        return "light and dark are reversed in these frames, as in a negative"
    return ""


def _median(totals: Totals, measure: str) -> float | None:
    """Return the median of a measure over the frames; None if no frame has it."""
    spread = totals.spreads().get(measure)
    return None if spread is None else spread.median
