"""`report.html`: one page that needs nothing else, neither network nor script, to read, print and keep."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from edge import __version__
from edge.classify import REJECTED
from edge.count import CONCENTRATION_METHOD, Correction, CountResult, Estimate, Tally, confusion_accuracy
from edge.model import Manifest
from edge.report.annotated import colours
from edge.report.shell import confusion_table, data_uri, definitions, page_shell, section

GALLERY_CELLS = 24
"""Cells shown of each label."""

PAGE_FRAMES = 8
"""Annotated frames shown."""

CORRECTED_IF = "if the cells look like the validation cells"
"""What every correction by a confusion matrix assumes; said with it."""

FAILED_SHOWN = 200
"""Unreadable frames listed, and those beyond a limit; all are in ``summary.json``."""

# Images are base64, 4/3 of their size: with these the page stays below 5 MB whatever the frames hold.
_GALLERIES_BYTES, _FRAMES_BYTES = 2_000_000, 1_500_000


"""The shell of every page of the runtime."""


@dataclass(frozen=True)
class Picture:
    """An image for the page.

    Attributes
    ----------
    jpeg : the encoded image
    caption : shown below it
    origin : where it comes from, shown on pointing at it
    file : a larger one, relative to the page; empty for none
    """

    jpeg: bytes
    caption: str
    origin: str
    file: str = ""


def page(run: CountResult, galleries: Mapping[str, Sequence[Picture]], frames: Sequence[Picture]) -> str:
    """Set the whole page.

    Parameters
    ----------
    run : the finished count
    galleries : label, or ``rejected``, → some of its cells
    frames : some annotated frames
    """
    tally, manifest = run.tally, run.manifest
    palette = colours(manifest.labels)
    limit = _GALLERIES_BYTES // len(galleries)
    others = [label for label in manifest.labels if label not in manifest.counted]
    sections = (
        # the share of a single label among itself says nothing
        section("Differential", _differential(tally, palette)) if len(tally.counted) > 1 else "",
        section("Corrected for misclassification", _corrected(run.corrected, palette)),
        section("Concentration", _concentration(run)) if run.concentrations or run.no_concentration else "",
        section("Not leukocytes", _outside(tally, others)) if others else "",
        section("Frames that could not be read", _reasons((f.name, f.reason) for f in tally.failed))
        if tally.failed
        else "",
        *(
            section(
                _swatch(palette[label]) + escape(label),
                _gallery(tally.counts[label], _within(galleries[label], limit)),
            )
            for label in (*manifest.counted, *others)
            if tally.counts[label]
        ),
        section("Rejected", _rejected(tally, run.reject_below, _within(galleries[REJECTED], limit))),
        section("Annotated frames", _frames(tally, _within(frames, _FRAMES_BYTES))) if frames else "",
        section("Quality of the frames", _quality(run)) if run.quality else "",
        section("Bundle", _bundle(run)),
        section("This count", _provenance(run)),
    )
    return page_shell(
        f"Leukocyte count {run.identifier}",
        _named(run.sources),
        sections,
        heading=f"{tally.leukocytes:,} leukocytes",
        notices=("Stopped before the last frame" if run.stopped else "", *run.remarks, manifest.notice),
        figures=_figures(run),
        ending=f"{run.finished:%Y-%m-%d %H:%M %Z}".strip(),
    )


def _named(sources: Sequence[str]) -> str:
    """The first few sources; a shell may have turned one glob into a thousand."""
    more = f" and {len(sources) - 3:,} more" if len(sources) > 3 else ""
    return ", ".join(sources[:3]) + more


def percent(fraction: Estimate) -> str:
    """Share in percent, ``–`` without cells."""
    return "–" if fraction.value is None else f"{100 * fraction.value:.1f} %"


def percent_interval(fraction: Estimate) -> str:
    """Interval in percent."""
    return f"{100 * fraction.low:.1f}–{100 * fraction.high:.1f} %"


def whole(count: Estimate) -> str:
    """Cells, as a whole number."""
    return "–" if count.value is None else f"{count.value:,.0f}"


def whole_interval(count: Estimate) -> str:
    """Interval in whole cells."""
    return f"{count.low:,.0f}–{count.high:,.0f}"


def per_ul(amount: Estimate) -> str:
    """Concentration, with its interval: whole cells, or two digits of the upper end, which is above 0."""
    decimals = max(0, 1 - math.floor(math.log10(amount.high)))
    value, low, high = (f"{number:,.{decimals}f}" for number in (amount.value, amount.low, amount.high))
    return f"{value} cells/µL, 95 % interval {low}–{high}"


def rejected_by(tally: Tally, reject_below: float) -> str:
    """How many cells were rejected for which reason."""
    low, out = tally.rejected_by["low_confidence"], tally.rejected_by["out_of_distribution"]
    return f"{low:,} low confidence (best probability below {reject_below:g}), {out:,} out of distribution"


def not_corrected(corrected: Correction) -> str:
    """Why nothing was corrected."""
    return f"the bundle has no validation cells of {', '.join(corrected.unvalidated)}"


def _swatch(colour: str) -> str:
    return f'<span class="swatch" style="background:{colour}"></span>'


def _figures(run: CountResult) -> dict[str, str]:
    tally = run.tally
    failed = f", {len(tally.failed):,} not readable" if tally.failed else ""
    dropped = f", {run.dropped:,} dropped" if run.dropped else ""
    seen = "" if run.detections is None else f" in {run.detections:,} detections"
    return {
        "Frames": f"{tally.frames_read:,} read{failed}{dropped}",
        "Cells found": f"{tally.cells:,}{seen}",
        "Rejected": f"{tally.rejected:,}",
        "Bundle": f"{run.manifest.name} {run.manifest.version}",
    }


def _differential(tally: Tally, palette: Mapping[str, str]) -> str:
    rows = (
        f"<tr><th scope=row>{_swatch(palette[label])}{escape(label)}</th><td>{tally.counts[label]:,}</td>"
        f"<td>{percent(fraction)}</td><td>{percent_interval(fraction)}</td></tr>"
        for label, fraction in tally.fractions.items()
    )
    return (
        _bar_chart(tally.fractions, palette, "Share of each leukocyte")
        + "\n<div class=wide><table><thead><tr><th scope=col>Cell</th><th scope=col>Count</th>"
        + "<th scope=col>Share</th><th scope=col>95 % interval</th></tr></thead>\n<tbody>"
        + "\n".join(rows)
        + f"</tbody>\n<tfoot><tr><th scope=row>all leukocytes</th><td>{tally.leukocytes:,}</td>"
        + "<td></td><td></td></tr></tfoot></table></div>\n"
        + "<p class=small>Intervals are Clopper–Pearson: what the number of cells alone leaves open. The "
        + "classifier's own errors are not in them; see the correction below.</p>"
    )


def _corrected(corrected: Correction, palette: Mapping[str, str]) -> str:
    """What the validation says of the true cells, and under which assumption."""
    if corrected.leukocytes is None:
        return f"<p>Not possible: {escape(not_corrected(corrected))}.</p>"
    total = f"<td>{whole(corrected.leukocytes)}</td><td>{whole_interval(corrected.leukocytes)}</td>"
    chart = rows = more = ""
    if len(corrected.fractions) > 1:
        chart = _bar_chart(corrected.fractions, palette, "Corrected share of each leukocyte")
        more = "<th scope=col>Share</th><th scope=col>95 % interval</th>"
        total += "<td></td><td></td>"
        rows = "\n".join(
            f"<tr><th scope=row>{_swatch(palette[label])}{escape(label)}</th>"
            f"<td>{whole(corrected.counts[label])}</td><td>{whole_interval(corrected.counts[label])}</td>"
            f"<td>{percent(fraction)}</td><td>{percent_interval(fraction)}</td></tr>"
            for label, fraction in corrected.fractions.items()
        )
    return (
        f"<p>The likeliest numbers of true cells behind the answers. They hold only {CORRECTED_IF} of the "
        + f"same kind; their mixture may differ.</p>\n{chart}"
        + "\n<div class=wide><table><thead><tr><th scope=col>Cell</th><th scope=col>Count</th>"
        + f"<th scope=col>95 % interval</th>{more}</tr></thead>\n<tbody>{rows}</tbody>\n"
        + f"<tfoot><tr><th scope=row>all leukocytes</th>{total}</tr></tfoot></table></div>\n"
        + "<p class=small>By the validation confusion matrix below; rejected cells take part with the label "
        + "that came closest. The intervals hold what both the number of cells and the number of validation "
        + f"cells leave open: {escape(corrected.method)}.</p>"
    )


def _bar_chart(fractions: Mapping[str, Estimate], palette: Mapping[str, str], title: str) -> str:
    """A bar a label, its interval as a whisker; the same numbers stand beside it as text."""
    left, width, pitch, top = 4, 430, 54, 6
    height = top + pitch * len(fractions) + 20
    marks = [f"<title>{title} with its 95 % interval</title>"]
    for tick in range(0, 101, 25):
        x = left + width * tick / 100
        marks.append(f'<line class=grid x1="{x:g}" x2="{x:g}" y1="{top}" y2="{height - 18}"/>')
        anchor = {0: "start", 100: "end"}.get(tick, "middle")
        marks.append(f'<text class=tick x="{x:g}" y="{height - 4}" text-anchor="{anchor}">{tick} %</text>')
    for k, (label, fraction) in enumerate(fractions.items()):
        y = top + pitch * k
        value = fraction.value or 0.0
        low, middle, high = (left + width * part for part in (fraction.low, value, fraction.high))
        marks.append(f'<text x="{left}" y="{y + 14}">{escape(label)}</text>')
        said = f"{percent(fraction)} ({percent_interval(fraction)})"
        marks.append(f'<text x="{left + width}" y="{y + 14}" text-anchor="end">{said}</text>')
        size = f'width="{middle - left:.1f}" height="20" rx="2"'
        marks.append(f'<rect x="{left}" y="{y + 21}" {size} fill="{palette[label]}"/>')
        whisker = f"M{low:.1f} {y + 26}v10M{low:.1f} {y + 31}H{high:.1f}M{high:.1f} {y + 26}v10"
        marks.append(f'<path class=whisker d="{whisker}"/>')
    return (
        f'<svg role=img aria-label="{title}" viewBox="0 0 {width + 2 * left} {height}">'
        + "\n".join(marks)
        + "</svg>"
    )


def _concentration(run: CountResult) -> str:
    """Cells in a µL, or why that is not known."""
    if not run.concentrations:
        return f"<p>{escape(run.no_concentration[:1].upper() + run.no_concentration[1:])}.</p>"
    said = {label: per_ul(amount) for label, amount in run.concentrations.items()}
    return definitions(said) + (
        "<p class=small>Of cells whose middle lies in a frame, in the undiluted sample. The intervals hold "
        f"what the number of cells and the volume's uncertainty leave open: {CONCENTRATION_METHOD}.</p>"
    )


def _outside(tally: Tally, others: Iterable[str]) -> str:
    rows = "".join(
        f"<tr><th scope=row>{escape(label)}</th><td>{tally.counts[label]:,}</td></tr>" for label in others
    )
    return (
        "<p>Found and named, but outside the differential.</p>\n<div class=wide><table><thead><tr>"
        + f"<th scope=col>Object</th><th scope=col>Count</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _rejected(tally: Tally, reject_below: float, pictures: Sequence[Picture]) -> str:
    if not tally.rejected:
        return "<p>No cell was rejected.</p>"
    reasons = escape(rejected_by(tally, reject_below))
    return (
        f"<p>{tally.rejected:,} cells are counted under no label: {reasons}. Each is shown with its most "
        "probable label and the reason.</p>\n" + _gallery(tally.rejected, pictures)
    )


def _gallery(found: int, pictures: Sequence[Picture]) -> str:
    shown = f"{len(pictures)} of {found:,}" if len(pictures) < found else f"All {found:,}"
    figures = "\n".join(
        f'<figure title="{escape(picture.origin)}"><img alt="cell, probability {escape(picture.caption)}" '
        f'src="{data_uri(picture.jpeg)}" loading=lazy>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        for picture in pictures
    )
    return (
        f"<p class=small>{shown}, with the probability of the label.</p>\n<div class=gallery>{figures}</div>"
    )


def _frames(tally: Tally, pictures: Sequence[Picture]) -> str:
    figures = "\n".join(
        f'<figure title="{escape(picture.origin)}"><a href="{escape(picture.file)}">'
        f'<img alt="frame {escape(picture.caption)} with its cells" '
        f'src="{data_uri(picture.jpeg)}" loading=lazy></a>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
        for picture in pictures
    )
    return (
        f"<p class=small>{len(pictures)} of {tally.frames_read:,}; all of them, larger, are in the folder "
        f"<code>annotated</code> beside this page.</p>\n<div class=frames>{figures}</div>"
    )


def _reasons(pairs: Iterable[tuple[str, str]]) -> str:
    """List files or frames with what is to be said of each."""
    said = list(pairs)
    rows = "\n".join(
        f"<tr><th scope=row>{escape(name)}</th><td>{escape(reason)}</td></tr>"
        for name, reason in said[:FAILED_SHOWN]
    )
    more = len(said) - FAILED_SHOWN
    note = f"<p class=small>{more:,} more are in <code>summary.json</code>.</p>" if more > 0 else ""
    return (
        "<div class=wide><table class=text><thead><tr><th scope=col>File</th><th scope=col>Reason</th></tr>"
        f"</thead><tbody>{rows}</tbody></table></div>{note}"
    )


# measure → what it is called, and how it is written
_MEASURES = {
    "focus": ("Focus, 0 to 1", "{:.2f}"),
    "brightness": ("Brightness, grey level", "{:.0f}"),
    "brightness_drift": ("Brightness since calibration", "{:+.1%}"),
    "saturated_share": ("Overexposed pixels", "{:.2%}"),
    "density_per_mm2": ("Cells/mm²", "{:,.0f}"),
    "border_share": ("Cells cut by the edge", "{:.0%}"),
    "touching_share": ("Cells that touch another", "{:.0%}"),
    "dropped_before": ("Frames dropped before one", "{:.0f}"),
    "late_ms": ("Wait to be counted, ms", "{:,.0f}"),
}


def _quality(run: CountResult) -> str:
    """How each measure ran over the frames, and which frames are beyond a limit."""
    rows = "\n".join(
        f"<tr><th scope=row>{name}</th>"
        + "".join(f"<td>{form.format(value)}</td>" for value in (spread.median, spread.low, spread.high))
        + "</tr>"
        for measure, (name, form) in _MEASURES.items()
        if (spread := run.quality.get(measure))
    )
    out = (
        "<h3>Beyond a limit</h3>\n" + _reasons((name, ", ".join(words)) for name, words in run.out)
        if run.out
        else "<p>No frame is beyond a limit.</p>"
    )
    return (
        "<div class=wide><table><thead><tr><th scope=col>Measure</th><th scope=col>Median</th>"
        "<th scope=col>Lowest</th><th scope=col>Highest</th></tr></thead>\n"
        f"<tbody>{rows}</tbody></table></div>\n{out}"
    )


def _bundle(run: CountResult) -> str:
    manifest = run.manifest
    facts = {
        "Name": f"{manifest.name} {manifest.version}",
        "SHA-256": run.bundle_sha256,
        "Signature": run.signed,
        "Intended use": manifest.intended_use,
        "Trained on": f"{manifest.training.name} (SHA-256 {manifest.training.sha256})",
        "Cell image": f"{manifest.crop_px} px, {manifest.crop_um:g} µm",
        "Licence": manifest.licence,
    }
    return definitions(facts) + "<h3>Validation</h3>\n" + confusion(manifest)


def confusion(manifest: Manifest) -> str:
    """Set the validation confusion matrix."""
    share = confusion_accuracy(manifest.confusion)
    total = sum(map(sum, manifest.confusion))
    accuracy = f"; {100 * share.value:.1f} % of {total:,} correct" if share.value is not None else ""
    return f"<p class=small>Cells, rows are the truth{accuracy}.</p>\n" + confusion_table(
        manifest.labels, manifest.confusion
    )


def _provenance(run: CountResult) -> str:
    facts = {"Identifier": run.identifier, "Sources": ", ".join(run.sources)}
    facts |= {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in (*run.parameters.items(), *run.stop_rule.items())
    }
    facts |= {"Ended": run.ended} if run.ended else {}
    facts |= {"Session": run.session} if run.session else {}
    facts |= {"Software": f"leuko-edge {__version__}", "Time taken": f"{run.seconds:.1f} s"}
    return (
        "<p class=small>The identifier is the same for the same frames, bundle and parameters.</p>\n"
        + definitions(facts)
    )


def _within(pictures: Sequence[Picture], limit: int) -> list[Picture]:
    """As many pictures from the beginning as fit."""
    kept: list[Picture] = []
    for picture in pictures:
        limit -= len(picture.jpeg)
        if limit < 0:
            break
        kept.append(picture)
    return kept
