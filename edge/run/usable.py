"""Why the numbers of a count cannot be meant, if they cannot: the headline that stands in their place."""

from __future__ import annotations

from edge.count import Tally, estimate_proportion

MAX_REJECTED = 0.3
"""Share of rejected cells above which a bundle does not know them."""


def why_unusable(tally: Tally) -> str:
    """Return why the numbers cannot be meant, for `CountResult.unusable`; empty if they can."""
    return "; ".join(filter(None, (_unknown_cells(tally),)))


def _unknown_cells(tally: Tally) -> str:
    """Return that the bundle does not know the cells, if it rejects most of them.

    The lower end of the share's interval is held against the limit: of few cells many are rejected by chance.
    """
    share = estimate_proportion(tally.rejected, tally.cells)
    if share.value is None or share.low <= MAX_REJECTED:
        return ""
    return f"this bundle does not know these cells ({share.value:.0%} rejected)"
