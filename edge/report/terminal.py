"""The count as a table on a terminal."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console
from rich.table import Table
from rich.text import Text

from edge.base import RESEARCH_USE, quantity, visible
from edge.classify import REJECTED
from edge.count import Correction, CountResult, Estimate
from edge.report import words

FAILED_SHOWN = 10
"""Unreadable frames listed, and frames of poor quality; all are in ``--json`` and ``summary.json``."""

NARROW_COLUMNS = 70
"""A terminal narrower than this gets the numbers without the bars."""

NO_EDGE = 10_000
"""Columns in which every line has room."""

ALL = "all leukocytes"

_BAR_CELLS = 20


def print_result(result: CountResult, console: Console) -> None:
    """Print counts, shares and intervals, rejected cells, unreadable frames, and what was counted with.

    File names and labels are printed as plain text: neither markup nor control characters in them act.
    """
    printer = _Printer(result, console)
    if result.unusable:
        console.print(printer.plain(words.capitalised(result.unusable)), style="bold red", soft_wrap=True)
        console.print(printer.plain(words.found(result.tally)), soft_wrap=True)
    else:
        printer.show(printer.counts())
        if len(result.manifest.counted) > 1:
            console.print(printer.plain(words.CHANCE_ALONE))
            if sentence := words.wider(result.tally):
                console.print(printer.plain(sentence))
    if result.tally.rejected:
        console.print(printer.plain(f"Rejected: {words.rejected_by(result)}"))
    console.print()
    if not result.unusable:
        _print_corrected(printer, console, result.corrected)
    for line in _lines(result):
        console.print(printer.plain(line), soft_wrap=True)
    for remark in result.remarks:
        console.print(printer.plain(f"Remark: {remark}"), style="bold yellow", soft_wrap=True)
    if result.manifest.notice:
        console.print(printer.plain(result.manifest.notice), style="bold yellow")
    console.print(RESEARCH_USE, style="bold", highlight=False)


def _print_corrected(printer: _Printer, console: Console, correction: Correction) -> None:
    if correction.leukocytes is None:
        why = words.not_corrected(correction)
        console.print(printer.plain(f"Not corrected for misclassification: {why}"))
    else:
        console.print(printer.plain(f"{words.corrected_for(correction)}:"))
        printer.show(printer.corrected(correction.leukocytes))
        for sentence in filter(None, (words.which_to_report(correction), words.width_is_of(correction))):
            console.print(printer.plain(sentence))
    console.print()


class _Printer:
    """The two tables of a result, with the same columns of the same width."""

    def __init__(self, result: CountResult, console: Console) -> None:
        self._result, self._console = result, console
        self._encoding, self._ascii = console.encoding, console.options.ascii_only
        self._bars = console.width >= NARROW_COLUMNS
        self._differential = len(result.manifest.counted) > 1

    def plain(self, text: str) -> Text:
        """Return printable text that the terminal's encoding has."""
        return Text(visible(text).encode(self._encoding, "replace").decode(self._encoding))

    def show(self, table: Table) -> None:
        """Print a table; a terminal that is too narrow for it wraps the lines, and cuts no number short."""
        console = self._console
        needed = console.measure(table, options=console.options.update(max_width=NO_EDGE)).maximum
        if needed > console.width:
            table.width = needed
        console.print(table, crop=False)

    def counts(self) -> Table:
        """Return the table of counts."""
        tally, manifest = self._result.tally, self._result.manifest
        table = self._table("95 % interval" if self._differential else "")
        for label, share in tally.fractions.items():
            table.add_row(*self._row(label, str(tally.counts[label]), share))
        table.add_row(ALL, str(tally.leukocytes), style="bold")
        gap = ("", "") if self._bars else ("",)
        for label in manifest.labels:
            if label not in manifest.counted:
                row = (self.plain(label), str(tally.counts[label]), *gap, "not a leukocyte")
                table.add_row(*row, style="dim")
        table.add_row(REJECTED, str(tally.rejected), *gap, "not counted", style="dim")
        return table

    def corrected(self, total: Estimate) -> Table:
        """Return the table of corrected counts."""
        correction = self._result.corrected
        table = self._table("95 % interval", min_width=13)
        for label, share in correction.fractions.items() if self._differential else ():
            table.add_row(*self._row(label, words.whole(correction.counts[label])[0], share))
        count, interval = map(self.plain, words.whole(total))
        table.add_row(ALL, count, "", interval, style="bold")
        return table

    def _table(self, interval: str, min_width: int | None = None) -> Table:
        tally, share = self._result.tally, "Share" if self._differential else ""
        widest = max(map(len, (*tally.labels, ALL)))
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("Cell", min_width=widest)
        table.add_column("Count", justify="right", min_width=max(5, len(str(tally.cells))))
        table.add_column(share, justify="right", min_width=6 if self._differential else 0)
        table.add_column(interval, justify="right", min_width=min_width)
        if self._bars:
            table.add_column("", no_wrap=True)
        return table

    def _row(self, label: str, count: str, share: Estimate) -> list[Text]:
        row = [self.plain(label), self.plain(count)]
        if self._differential:
            row += map(self.plain, words.percent(share))
            row += [_bar(share, ascii_only=self._ascii)] if self._bars else []
        return row


def _lines(result: CountResult) -> Iterator[str]:
    """Yield what stands below the tables, one line each."""
    tally, manifest = result.tally, result.manifest
    if result.detections is not None:
        yield f"Each cell once: {quantity(tally.cells, 'cell')} in {quantity(result.detections, 'detection')}"
    if not result.unusable:
        yield from (f"{label}: {amount}" for label, amount in words.concentrations(result).items())
        if result.volume:
            yield f"Cells/µL of {words.undiluted_sample(result.volume)}; {words.named_or_corrected(result)}"
            yield from filter(None, [words.capitalised(words.counted_until(result))])
        yield from filter(None, [words.capitalised(result.no_concentration)])
        if effects := words.size_gates(result):
            yield f"Other size gates would change the count: {effects}"
    dropped = f", {result.dropped} dropped" if result.dropped else ""
    stopped = ", stopped before the last" if result.stopped else ""
    yield f"Frames: {words.frames(tally)}{dropped}{stopped}"
    yield from _first([f"{failed.name}: {failed.reason}" for failed in tally.failed])
    if result.out:
        yield f"Quality: {len(result.out)} of {tally.frames_read} frames beyond a limit"
    yield from _first([f"{name}: {', '.join(breaches)}" for name, breaches in result.out])
    yield f"Pixel: {words.pixel(result)}"
    if result.ended and not result.unusable:  # it may state leukocytes
        yield f"Ended: {result.ended}"
    yield f"Bundle: {manifest.name} {manifest.version}, SHA-256 {result.bundle_sha256[:12]}, {result.signed}"
    yield f"Count: {result.identifier}"
    if result.sample_id:
        yield f"Sample: {result.sample_id}"
    if result.operator:
        yield f"Operator: {result.operator}"
    if result.session:
        yield f"Session: {result.session}"


def _first(lines: list[str]) -> Iterator[str]:
    yield from (f"  {line}" for line in lines[:FAILED_SHOWN])
    if len(lines) > FAILED_SHOWN:
        yield f"  + {len(lines) - FAILED_SHOWN} more"


def _bar(share: Estimate, *, ascii_only: bool) -> Text:
    """Return a bar: solid up to the interval's lower end, the interval shaded, the rest dotted."""
    low, high = (round(_BAR_CELLS * end) for end in (share.low, share.high))
    solid, shade, dot = "#-." if ascii_only else "█▒·"
    return Text(solid * low + shade * (high - low) + dot * (_BAR_CELLS - high))
