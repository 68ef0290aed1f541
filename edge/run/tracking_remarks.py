"""Whether cells were tracked as they move: what a scan and a flow make of frames that are neither."""

from __future__ import annotations

from edge.count import Totals, estimate_proportion
from edge.run.config import CountConfig

MAX_CONTRADICTIONS = 0.2
"""Share of contradictory detections above which a flow's tracks join unrelated cells. It is at most 0.09 of
simulated flows (50 to 800 µm/s, a crowded one included), 0.39 to 0.63 of scans, 0.65 to 0.76 of separate
fields, and 0.66 of the 140 real frames (``contradictions / joined`` of `edge.track.Agreement`)."""

MAX_ASTRAY = 0.08
"""Share of cells that have not moved with the others, above which a scan's cells flow: 0 of simulated
scans, 0.03 of the 140 real frames and of a flow at 50 µm/s, at which a scan still finds most cells again,
0.22 to 0.65 of faster flows (``astray / shifted``)."""


def tracking_remark(config: CountConfig, totals: Totals) -> str:
    """Return a remark on cells that were not tracked as they move; empty if they were."""
    seen = totals.agreement
    if _no_flow(config, totals):
        return (
            f"{seen.contradictions:,} of {seen.joined:,} detections contradict the one before of the same"
            " cell: unrelated cells were taken for one; --each-once flow is for cells that flow by: leave it"
            " out for separate fields, and pass --each-once scan for fields that overlap; if cells flow by,"
            " let them flow more slowly or take frames more often (a cell should move less than half a field"
            " between two frames), and give all frames in the order in which they were taken"
        )
    if _no_scan(config, totals):
        return (
            f"{seen.astray:,} of {seen.shifted:,} cells that two frames show have not moved with the others,"
            " and some are counted twice: --each-once scan is for cells at rest; pass --each-once flow for"
            " cells that flow by, or let them settle"
        )
    return ""


def tracking_unusable(config: CountConfig, totals: Totals) -> str:
    """Return why numbers of such tracks cannot be meant, for `CountResult.unusable`; empty if they can."""
    if _no_flow(config, totals):
        return "unrelated cells were taken for one: no flow, or too fast or out of order (--each-once flow)"
    if _no_scan(config, totals):
        return "these cells move, and were counted more than once (--each-once scan)"
    return ""


def _no_flow(config: CountConfig, totals: Totals) -> bool:
    seen = totals.agreement
    tracked = config.analysis.each_once == "flow"
    return tracked and _surely_above(MAX_CONTRADICTIONS, seen.contradictions, seen.joined)


def _no_scan(config: CountConfig, totals: Totals) -> bool:
    seen = totals.agreement
    tracked = config.analysis.each_once == "scan"
    return tracked and _surely_above(MAX_ASTRAY, seen.astray, seen.shifted)


def _surely_above(limit: float, k: int, n: int) -> bool:
    """Return whether a share is above a limit, and not by chance: its interval's lower end is."""
    return k > limit * n and estimate_proportion(k, n).low > limit
