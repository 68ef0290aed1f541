"""Remarks on fields: shown again, with nothing to be seen in them, or overlapping."""

from __future__ import annotations

from collections import Counter

from edge.count import Totals

MIN_SHARED, MIN_SHARED_SHARE = 3, 0.02
"""Least number and share of cells seen in the frame before from which a remark is made; separate fields, real
and simulated, leave none."""


def field_remarks(totals: Totals) -> tuple[str, ...]:
    """Return the remarks on the fields of a count."""
    return tuple(filter(None, (_repeats(totals), _unseen(totals), _overlap(totals))))


def _repeats(totals: Totals) -> str:
    """Return a remark on the frames that show an earlier field again; empty without any."""
    tally = totals.tally()
    repeats = tally.left_out.get("repeat", 0)
    if not repeats:
        return ""
    show = "frames show the field of another frame" if repeats > 1 else "frame shows the field of another one"
    are = "are" if repeats > 1 else "is"
    sharper = sum(one.kind == "repeat" and "again, sharper" in one.reason for one in tally.failed)
    series = (
        f"; {sharper:,} of them {'are' if sharper > 1 else 'is'} sharper than the frame that is counted: of a"
        " focus series give the sharpest frame alone"
    )
    return (
        f"{repeats:,} {show} again and {are} not counted (identical images, copies, or a stage that was not"
        " moved): move to a new field for each frame, or pass --count-repeats to count them too"
        + (series if sharper else "")
    )


def _unseen(totals: Totals) -> str:
    """Return a remark on the frames in which nothing can be seen; empty without any."""
    tally = totals.tally()
    unseen = tally.left_out.get("unseen", 0)
    if not unseen:
        return ""
    reasons = Counter(frame.reason.split(" (")[0] for frame in tally.failed if frame.kind == "unseen")
    listed = ", ".join(f"{n} {reason}" for reason, n in reasons.items())
    show = "frames show nothing" if unseen > 1 else "frame shows nothing"
    are = "are" if unseen > 1 else "is"
    return (
        f"{unseen:,} {show} ({listed}) and {are} part neither of the count nor of its volume:"
        " check the lamp, the shutter, the exposure and the focus"
    )


def _overlap(totals: Totals) -> str:
    """Return a remark on cells that two frames in a row show; empty where they are few."""
    share = totals.shared / max(totals.followed, 1)
    if totals.shared < MIN_SHARED or share < MIN_SHARED_SHARE:
        return ""
    return (
        f"about {totals.shared:,} of {totals.followed:,} cells ({100 * share:.0f} %)"
        " are in the frame before too, and are counted twice: pass --each-once scan for fields that overlap,"
        " or --each-once flow for cells that flow by"
    )
