"""The count as a table on a terminal."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.base import RESEARCH_USE
from edge.classify import REJECTED
from edge.count import CountResult, Estimate
from edge.report.page import (
    CORRECTED_IF,
    not_corrected,
    per_ul,
    percent,
    percent_interval,
    rejected_by,
    whole,
    whole_interval,
)

FAILED_SHOWN = 10
"""Unreadable frames listed, and those of poor quality; all are in ``--json`` and ``summary.json``."""

NARROW_COLUMNS = 70
"""A terminal narrower than this gets the numbers without the bars."""

ALL = "all leukocytes"

_BAR_CELLS = 20


def print_result(run: CountResult, console: Console) -> None:
    """Print counts, shares, intervals, what stayed outside, unreadable frames, and what counted.

    File names and labels are printed as plain text: neither markup nor control characters in them act.
    """
    tally, manifest = run.tally, run.manifest

    def plain(text: str) -> Text:
        printable = "".join(c if c.isprintable() else "?" for c in text)
        return Text(printable.encode(console.encoding, "replace").decode(console.encoding))

    differential = len(manifest.counted) > 1
    bars = console.width >= NARROW_COLUMNS
    widest = max(map(len, (*manifest.labels, ALL)))

    def new_table() -> Table:
        """Both tables have the same columns, as wide."""
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("Cell", min_width=widest)
        table.add_column("Count", justify="right", min_width=max(5, len(str(tally.cells))))
        table.add_column("Share" if differential else "", justify="right", min_width=6 if differential else 0)
        return table

    table = new_table()
    table.add_column("95 % interval" if differential else "", justify="right")
    gap = ("", "") if bars else ("",)
    if bars:
        table.add_column("", no_wrap=True)
    ascii_only = console.options.ascii_only
    for label, fraction in tally.fractions.items():
        row = [plain(label), plain(str(tally.counts[label]))]
        if differential:
            row += [plain(percent(fraction)), plain(percent_interval(fraction))]
            row += [_bar(fraction, ascii_only=ascii_only)] if bars else []
        table.add_row(*row)
    table.add_row(ALL, str(tally.leukocytes), style="bold")
    for label in manifest.labels:
        if label not in manifest.counted:
            table.add_row(plain(label), str(tally.counts[label]), *gap, "not a leukocyte", style="dim")
    table.add_row(REJECTED, str(tally.rejected), *gap, "not counted", style="dim")
    console.print(table)
    if tally.rejected:
        console.print(plain(f"Rejected: {rejected_by(tally, run.reject_below)}"))
    console.print()
    corrected = run.corrected
    if corrected.leukocytes is None:
        console.print(plain(f"Not corrected for misclassification: {not_corrected(corrected)}"))
    else:
        console.print(plain(f"Corrected for misclassification, {CORRECTED_IF}:"))
        table = new_table()
        table.add_column("95 % interval", justify="right", min_width=13)
        if bars:
            table.add_column("", no_wrap=True)
        for label, fraction in corrected.fractions.items() if differential else ():
            row = [plain(label), plain(whole(corrected.counts[label]))]
            row += [plain(percent(fraction)), plain(percent_interval(fraction))]
            row += [_bar(fraction, ascii_only=ascii_only)] if bars else []
            table.add_row(*row)
        total = corrected.leukocytes
        table.add_row(ALL, plain(whole(total)), "", plain(whole_interval(total)), style="bold")
        console.print(table)
    console.print()
    ended = ", stopped before the last" if run.stopped else ""
    if run.detections is not None:
        console.print(plain(f"Each cell once: {tally.cells} cells in {run.detections} detections"))
    for label, amount in run.concentrations.items():
        console.print(plain(f"{label}: {per_ul(amount)}"))
    if run.no_concentration:
        console.print(plain(run.no_concentration[0].upper() + run.no_concentration[1:]))
    dropped = f", {run.dropped} dropped" if run.dropped else ""
    lines = [f"Frames: {tally.frames_read} read, {len(tally.failed)} not readable{dropped}{ended}"]
    lines += [f"  {failed.name}: {failed.reason}" for failed in tally.failed[:FAILED_SHOWN]]
    if len(tally.failed) > FAILED_SHOWN:
        lines.append(f"  + {len(tally.failed) - FAILED_SHOWN} more")
    lines += [f"Quality: {len(run.out)} of {tally.frames_read} frames beyond a limit"] if run.out else []
    lines += [f"  {name}: {', '.join(breaches)}" for name, breaches in run.out[:FAILED_SHOWN]]
    if len(run.out) > FAILED_SHOWN:
        lines.append(f"  + {len(run.out) - FAILED_SHOWN} more")
    if run.ended:
        lines.append(f"Ended: {run.ended}")
    bundle = f"{manifest.name} {manifest.version}, SHA-256 {run.bundle_sha256[:12]}"
    lines.append(f"Bundle: {bundle}, {run.signed}")
    lines.append(f"Count: {run.identifier}")
    if run.session:
        lines.append(f"Session: {run.session}")
    for line in lines:
        console.print(plain(line), soft_wrap=True)
    for remark in run.remarks:
        console.print(plain(f"Remark: {remark}"), style="bold yellow", soft_wrap=True)
    if manifest.notice:
        console.print(plain(manifest.notice), style="bold yellow")
    console.print(RESEARCH_USE, style="bold", highlight=False)


def _bar(fraction: Estimate, *, ascii_only: bool) -> Text:
    """Up to the interval's lower end solid, the interval shaded, the rest dotted."""
    low, high = (round(_BAR_CELLS * end) for end in (fraction.low, fraction.high))
    solid, shade, dot = "#-." if ascii_only else "█▒·"
    return Text(solid * low + shade * (high - low) + dot * (_BAR_CELLS - high))
