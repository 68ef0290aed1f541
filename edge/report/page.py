"""`report.html`: one page that needs nothing else, neither network nor script, to read, print and keep."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from edge import __version__
from edge.base import quantity
from edge.classify import REJECTED
from edge.count import (
    CONCENTRATION_METHOD,
    CORRECTED_METHOD,
    Correction,
    CountResult,
    Tally,
    confusion_accuracy,
)
from edge.model import Manifest
from edge.report import words
from edge.report.annotated import colours
from edge.report.chart import bar_chart
from edge.report.shell import (
    Html,
    Picture,
    confusion_table,
    definitions,
    gallery,
    page_shell,
    paragraph,
    section,
    table,
)

GALLERY_CELLS = 24
"""Cells shown per label."""

LEAST_SURE_CELLS = 12
"""Of these, the least sure ones; the others are drawn at random."""

PAGE_FRAMES = 8
"""Annotated frames shown."""

FAILED_SHOWN = 200
"""Unreadable frames listed, and frames beyond a limit; all are in ``summary.json``."""

# Images are base64, 4/3 of their size: with these the page stays below 5 MB whatever the frames hold.
_GALLERIES_BYTES, _FRAMES_BYTES = 2_000_000, 1_500_000


def page(result: CountResult, galleries: Mapping[str, Sequence[Picture]], frames: Sequence[Picture]) -> str:
    """Return the page, with some cells of each label and of ``rejected``, and some annotated frames."""
    tally, manifest = result.tally, result.manifest
    palette = colours(manifest.labels)
    limit = _GALLERIES_BYTES // len(galleries)
    others = [label for label in manifest.labels if label not in manifest.counted]
    bodies: dict[str, str] = {
        **(_numbers(result, palette, others) if not result.unusable else {}),
        "Frames that are not counted": _reasons((one.name, one.reason) for one in tally.failed),
        **{
            _named(label, palette): _cells(tally.counts[label], _within(galleries[label], limit))
            for label in (*manifest.counted, *others)
            if tally.counts[label] and not result.unusable
        },
        "Rejected": _rejected(result, _within(galleries[REJECTED], limit)),
        "Annotated frames": _frames(tally, _within(frames, _FRAMES_BYTES)) if frames else "",
        "Quality of the frames": _quality(result) if result.quality else "",
        "Bundle": _bundle(result),
        "This count": _provenance(result),
    }
    return page_shell(
        f"Leukocyte count {result.sample_id or result.identifier}",
        _sources(result.sources),
        (section(heading, body) for heading, body in bodies.items() if body),
        heading=words.capitalised(result.unusable) or quantity(tally.leukocytes, "leukocyte"),
        notices=("Stopped before the last frame" if result.stopped else "", *result.remarks, manifest.notice),
        figures=_figures(result),
        ending=f"{result.finished:%Y-%m-%d %H:%M %Z}".strip(),
    )


def _numbers(result: CountResult, palette: Mapping[str, str], others: Sequence[str]) -> dict[str, str]:
    """Return the sections that state leukocytes."""
    tally = result.tally
    return {
        # a single label has all of itself
        "Differential": _differential(tally, palette) if len(tally.counted) > 1 else "",
        "Corrected for misclassification": _corrected(result.corrected, palette),
        "Concentration": _concentration(result),
        "Size gates": _size_gates(result),
        "Not leukocytes": _outside(tally, others) if others else "",
    }


def _sources(sources: Sequence[str]) -> str:
    """Return the first few sources; a shell may have turned one glob into a thousand."""
    more = f" and {len(sources) - 3:,} more" if len(sources) > 3 else ""
    return ", ".join(sources[:3]) + more


def _named(label: str, palette: Mapping[str, str]) -> Html:
    return Html(f'<span class="swatch" style="background:{palette[label]}"></span>{escape(label)}')


def _figures(result: CountResult) -> dict[str, str]:
    tally = result.tally
    dropped = f", {result.dropped:,} dropped" if result.dropped else ""
    detections = "" if result.detections is None else f" in {quantity(result.detections, 'detection')}"
    named = {"Sample": result.sample_id, "Operator": result.operator}
    return {name: text for name, text in named.items() if text} | {
        "Frames": f"{words.frames(tally)}{dropped}",
        "Cells found": f"{tally.cells:,}{detections}",
        "Rejected": f"{tally.rejected:,}",
        "Bundle": f"{result.manifest.name} {result.manifest.version}",
    }


def _differential(tally: Tally, palette: Mapping[str, str]) -> str:
    rows = [
        (_named(label, palette), f"{tally.counts[label]:,}", *words.percent(share))
        for label, share in tally.fractions.items()
    ]
    total = ("all leukocytes", f"{tally.leukocytes:,}", "", "")
    return (
        bar_chart(tally.fractions, palette, "Share of each leukocyte")
        + table(("Cell", "Count", "Share", "95 % interval"), rows, total=total)
        + paragraph(
            f"Clopper–Pearson intervals. {words.CHANCE_ALONE} The correction below says which numbers to "
            "report.",
            small=True,
        )
        + (paragraph(sentence, small=True) if (sentence := words.wider(tally)) else "")
    )


def _corrected(correction: Correction, palette: Mapping[str, str]) -> str:
    """Return the estimated true cells, and the assumption."""
    if correction.leukocytes is None:
        return paragraph(f"Not possible: {words.not_corrected(correction)}.")
    header = ["Cell", "Count", "95 % interval"]
    total = ["all leukocytes", *words.whole(correction.leukocytes)]
    rows: list[tuple[str, ...]] = []
    chart = ""
    if len(correction.fractions) > 1:
        chart = bar_chart(correction.fractions, palette, "Corrected share of each leukocyte")
        header += ["Share", "95 % interval"]
        total += ["", ""]
        for label, share in correction.fractions.items():
            count = correction.counts[label]
            rows.append((_named(label, palette), *words.whole(count), *words.percent(share)))
    return (
        paragraph(
            f"The most likely true numbers of cells. {words.corrected_for(correction)}. The mixture may "
            "differ from theirs."
        )
        + paragraph(
            " ".join(filter(None, (words.which_to_report(correction), words.width_is_of(correction))))
        )
        + chart
        + table(header, rows, total=total)
        + paragraph(
            "From the answers to the validation cells below. Cells of low confidence take part with their "
            "most probable label, those out of distribution do not. The intervals cover the uncertainty from "
            f"the number of cells and from the number of validation cells: {correction.method}.",
            small=True,
        )
    )


def _concentration(result: CountResult) -> str:
    """Return the cells per µL, or why they are not known."""
    if result.no_concentration:
        return paragraph(f"{words.capitalised(result.no_concentration)}.")
    if not result.volume:
        return ""
    method = CORRECTED_METHOD if result.corrected.misses else CONCENTRATION_METHOD
    return definitions(words.concentrations(result)) + paragraph(
        f"Cells whose middle lies in a frame, per µL of {words.undiluted_sample(result.volume)}; "
        f"{words.named_or_corrected(result)}. The intervals cover the uncertainty from the number of cells "
        f"and from the volume: {method}."
        + (f" {words.capitalised(until)}." if (until := words.counted_until(result)) else ""),
        small=True,
    )


def _size_gates(result: CountResult) -> str:
    if not (effects := words.size_gates(result)):
        return ""
    return paragraph(f"Other size gates would change the count: {effects}.") + paragraph(
        "Estimated from the sizes of the bodies found. Of those that a gate leaves out as large a share is "
        "taken to be counted as of the cells beside them.",
        small=True,
    )


def _outside(tally: Tally, others: Iterable[str]) -> str:
    return paragraph("Found and classified, but outside the differential.") + table(
        ("Object", "Count"), ((label, f"{tally.counts[label]:,}") for label in others)
    )


def _rejected(result: CountResult, pictures: Sequence[Picture]) -> str:
    rejected = result.tally.rejected
    if not rejected:
        return paragraph("No cell was rejected.")
    cells = quantity(rejected, "cell is", "cells are")
    return paragraph(
        f"{cells} counted under no label: {words.rejected_by(result)}. Each shows its most probable labels "
        "and the reason."
    ) + _cells(rejected, pictures)


def _cells(found: int, pictures: Sequence[Picture]) -> str:
    """Return a gallery, and how its cells were chosen."""
    shown, least = len(pictures), min(len(pictures), LEAST_SURE_CELLS)
    if shown == found:
        which = "The only one" if found == 1 else f"All {found:,}, the least sure first"
    else:
        others = f", then {shown - least} drawn at random" if shown > least else ""
        which = f"{shown} of {found:,}: the {least} least sure ones{others}"
    note = f"{which}; with the probability of the label, and the next label with its own."
    return paragraph(note, small=True) + gallery(pictures, alt="cell: {}")


def _frames(tally: Tally, pictures: Sequence[Picture]) -> str:
    note = (
        f"{len(pictures)} of {tally.frames_read:,}; all of them, larger, are in the folder "
        "<code>annotated</code> beside this page."
    )
    return paragraph(Html(note), small=True) + gallery(pictures, alt="frame {} with its cells", kind="frames")


def _reasons(pairs: Iterable[tuple[str, str]]) -> str:
    """Return files or frames with a reason each; nothing without any."""
    rows = list(pairs)
    more = len(rows) - FAILED_SHOWN
    note = Html(f"{more:,} more are in <code>summary.json</code>.")
    listed = table(("File", "Reason"), rows[:FAILED_SHOWN], text=True) if rows else ""
    return listed + (paragraph(note, small=True) if more > 0 else "")


# measure → its name, and the format of its values
_MEASURES = {
    "focus": ("Focus, 0 to 1", "{:.2f}"),
    "brightness": ("Brightness, grey level", "{:.0f}"),
    "brightness_drift": ("Brightness since calibration", "{:+.1%}"),
    "saturated_share": ("Overexposed pixels", "{:.2%}"),
    "hidden_share": ("Hidden: dark, or covered by bodies too large for cells", "{:.1%}"),
    "density_per_mm2": ("Cells/mm²", "{:,.0f}"),
    "border_share": ("Cells cut by the edge", "{:.0%}"),
    "touching_share": ("Cells that touch another", "{:.0%}"),
    "contrast": ("Contrast of the cells, 1 in training", "{:.2f}"),
    "detail": ("Finest detail of the cells, 0 in training, in standard deviations", "{:+.1f}"),
    "counted_contrast": ("Contrast of the counted cells", "{:.2f}"),
    "counted_detail": ("Finest detail of the counted cells", "{:+.1f}"),
    "dropped_before": ("Frames dropped before one", "{:.0f}"),
    "late_ms": ("Wait to be counted, ms", "{:,.0f}"),
}


def _quality(result: CountResult) -> str:
    """Return the spread of each measure over the frames, and the frames beyond a limit."""
    rows = (
        (name, *(form.format(value) for value in (spread.median, spread.low, spread.high)))
        for measure, (name, form) in _MEASURES.items()
        if (spread := result.quality.get(measure))
    )
    out = _reasons((name, ", ".join(breaches)) for name, breaches in result.out)
    heading = "<h3>Beyond a limit</h3>\n" if out else paragraph("No frame is beyond a limit.")
    return table(("Measure", "Median", "Lowest", "Highest"), rows) + heading + out


def _bundle(result: CountResult) -> str:
    manifest = result.manifest
    facts = {
        "Name": f"{manifest.name} {manifest.version}",
        "SHA-256": result.bundle_sha256,
        "Signature": result.signed,
        "Intended use": manifest.intended_use,
        "Trained on": f"{manifest.training.name} (SHA-256 {manifest.training.sha256})",
        "Cell image": f"{manifest.crop_px} px, {manifest.crop_um:g} µm",
        "Licence": manifest.licence,
    }
    return definitions(facts) + "<h3>Validation</h3>\n" + validation(manifest)


def validation(manifest: Manifest) -> str:
    """Return the validation confusion matrix."""
    share = confusion_accuracy(manifest.confusion)
    cells = sum(map(sum, manifest.confusion))
    accuracy = "" if share.value is None else f"; {words.percent(share)[0]} of {cells:,} correct"
    note = paragraph(f"Cells; rows are the truth{accuracy}.", small=True)
    return note + confusion_table(manifest.labels, manifest.confusion) + _answers(manifest)


def _answers(manifest: Manifest) -> str:
    """Return what the validation cells were called as deployed; nothing if the bundle does not say."""
    answers = manifest.answers
    if answers is None:
        return ""
    rows = [
        (label, *row, *((missed,) if answers.frames else ()))
        for label, row, missed in zip(manifest.labels, answers.cells, answers.missed, strict=True)
    ]
    rows += [("no cell", *answers.false, "")] if answers.frames else []
    missed = ("Missed",) if answers.frames else ()
    return paragraph(
        f"The same as deployed, however sure; no answer: out of distribution ({answers.source}).", small=True
    ) + table(("Truth", *manifest.labels, "No answer", *missed), rows)


def _provenance(result: CountResult) -> str:
    facts = {"Identifier": result.identifier, "Sources": ", ".join(result.sources)}
    facts |= {"Pixel": words.pixel(result)}
    facts |= {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in (*result.parameters.items(), *result.stop_rule.items())
    }
    facts |= {"Ended": result.ended} if result.ended and not result.unusable else {}
    facts |= {"Session": result.session} if result.session else {}
    facts |= {"Software": f"leuko-edge {__version__}", "Time taken": f"{result.seconds:.1f} s"}
    note = "The identifier is the same for the same frames, bundle and parameters."
    return paragraph(note, small=True) + definitions(facts)


def _within(pictures: Sequence[Picture], limit: int) -> list[Picture]:
    """Return as many pictures from the beginning as fit into `limit` bytes."""
    kept: list[Picture] = []
    for picture in pictures:
        limit -= len(picture.jpeg)
        if limit < 0:
            break
        kept.append(picture)
    return kept
