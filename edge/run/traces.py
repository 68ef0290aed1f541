"""Traces of processing that makes bodies of what are none: white borders, compression, few grey levels."""

from __future__ import annotations

from edge.count import Totals

BLOCKY = 1.5
"""Blockiness (`edge.find.artefacts`) from which frames were compressed; 2.1 at JPEG quality 75."""

FEW_LEVELS = 0.2
"""Share of grey levels in use up to which frames have few: 1 in order, and 1/8 with 32 grey levels."""

WHITE = 0.02
"""Share of pixels at 255 from which they may be a border."""


def blocky(totals: Totals) -> bool:
    """Return whether compression has left its blocks in most frames."""
    return _median(totals, "blockiness", 1.0) >= BLOCKY


def traces(totals: Totals) -> tuple[str, ...]:
    """Return what may have made bodies in these frames that are no cells, in words."""
    white, levels = _median(totals, "saturated_share", 0.0), _median(totals, "used_levels", 1.0)
    found = (
        f"a white border or overexposure ({100 * white:.0f} % of the pixels are white)"
        if white >= WHITE
        else "",
        f"few grey levels ({100 * levels:.0f} % of them are in use)" if levels <= FEW_LEVELS else "",
        "strong compression (its blocks of 8 x 8 pixels are visible)" if blocky(totals) else "",
    )
    return tuple(filter(None, found))


def or_traces(totals: Totals) -> str:
    """Return these as another cause, for a sentence that names the pixel size; empty if nothing tells."""
    return f"; or the cause is {' or '.join(found)}" if (found := traces(totals)) else ""


def _median(totals: Totals, measure: str, unknown: float) -> float:
    spread = totals.spreads().get(measure)
    return unknown if spread is None else spread.median
