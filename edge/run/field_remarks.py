"""Remarks on fields: shown again, with nothing to be seen in them, or overlapping."""

from __future__ import annotations

from collections import Counter

from edge.count import Totals
from edge.run.config import CountConfig

MIN_SHARED, MIN_SHARED_SHARE = 3, 0.02
"""Least number and share of cells seen in an earlier frame from which a remark is made; separate fields, real
and simulated, leave none."""

TOO_LITTLE = (
    "tracking did not recognise them, because the slide or the camera turned a little, fields overlap too"
    " little, or cells move: let fields overlap by a fifth or more, and turn nothing between them"
)


def field_remarks(config: CountConfig, totals: Totals) -> tuple[str, ...]:
    """Return the remarks on the fields of a count."""
    return tuple(filter(None, (_repeats(config, totals), _unseen(totals), _overlap(config, totals))))


def _repeats(config: CountConfig, totals: Totals) -> str:
    """Return a remark on the frames that show an earlier field again; empty without any."""
    tally = totals.tally()
    repeats = tally.left_out.get("repeat", 0)
    if not repeats:
        return ""
    show = "frames show the field of another frame" if repeats > 1 else "frame shows the field of another one"
    are = "are" if repeats > 1 else "is"
    if config.analysis.each_once == "flow":
        return (
            f"{repeats:,} {show} again and {are} not counted (the flow stood still, or images are there"
            " twice); cells are followed on from there: keep the flow going, or pass --count-repeats to count"
            " these frames too"
        )
    ways = Counter(frame.reason.rpartition(" again")[2] for frame in tally.failed if frame.kind == "repeat")
    sharper = ways[", sharper"]
    resized = sum(n for way, n in ways.items() if way.endswith("another size"))
    turned = sum(n for way, n in ways.items() if "turned" in way or "mirrored" in way)
    series = (
        f"; {sharper:,} of them {'are' if sharper > 1 else 'is'} sharper than the frame that is counted: of a"
        " focus series give the sharpest frame alone"
    )
    copies = " and ".join(
        f"{n:,} {what}" for n, what in ((turned, "turned or mirrored"), (resized, "of another size")) if n
    )
    as_taken = f"; {copies} of them: give each field once, as the camera took it"
    return (
        f"{repeats:,} {show} again and {are} not counted (identical images, copies, or a stage that was not"
        " moved): move to a new field for each frame, or pass --count-repeats to count them too"
        + (series if sharper else "")
        + (as_taken if copies else "")
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


def repetition(totals: Totals) -> float:
    """Return how often the cell of a counted cell is counted, on average; 1 where few are counted again."""
    seen, cells = totals.constellations.seen_again(), totals.tally().cells
    again = seen.cells >= MIN_SHARED and seen.cells >= MIN_SHARED_SHARE * cells
    return seen.repetition if again else 1.0


def _overlap(config: CountConfig, totals: Totals) -> str:
    """Return a remark on cells that earlier frames show too; empty where they are few."""
    seen, cells, times = totals.constellations.seen_again(), totals.tally().cells, repetition(totals)
    if times == 1:
        return ""
    twice = (
        f"about {seen.cells:,} of the {cells:,} cells in the table ({100 * seen.cells / cells:.0f} %) are"
        " cells of an earlier frame, counted again"
    )
    effective = f"; until then, intervals are those of {cells / times:,.0f} cells that are counted once"
    frames = f"{seen.turned:,} frames show" if seen.turned > 1 else "1 frame shows"
    turned = f"{frames} them turned or mirrored, which tracking does not recognise: leave these frames out"
    if config.analysis.each_once:
        return f"{twice}: " + (turned if seen.turned else TOO_LITTLE) + effective
    return (
        f"{twice}: pass --each-once scan for fields that overlap, --each-once flow for cells that flow by, or"
        " leave out copies and parts of other frames" + (f"; {turned}" if seen.turned else "") + effective
    )
