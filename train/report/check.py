"""The page of a checked set: answers, repeated cells, drift, doubtful labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import starmap
from pathlib import Path

import numpy as np

from edge.base import quantity
from edge.report import Picture, encode_jpeg, gallery, page_shell, paragraph, section, table
from train.check.drift import Drift
from train.check.duplicates import Pair, clusters
from train.check.findings import Status
from train.check.inventory import Crop
from train.check.survey import Survey
from train.images import CROP_PX, read_grey, square
from train.report.figure import plots, svg

FINDINGS_SHOWN = 12
"""Findings per question on the page; all are in ``check.csv``."""

CELLS_SHOWN = 60
"""Repeated cells with pictures."""

DOUBTS_SHOWN = 200
"""Doubtful labels with pictures; all are in ``doubts.csv``."""

TICK_LETTERS = 70
"""Letters that fit side by side below a chart."""

PICTURED = ("copies", "repeated cells", "two labels", "doubtful labels")
"""Questions whose findings are shown as pictures instead."""

MARKS = {Status.NOT_RUN: "Not run: ", Status.OK: "", Status.WARNING: "Look: ", Status.ERROR: "Stop: "}


def check_page(found: Survey) -> str:
    """Return the page as HTML."""
    answers = [(result.question, MARKS[result.status] + result.answer) for result in found.results]
    sections = [("Answers", table(("Question", "Answer"), answers, text=True))]
    if rows := _findings(found):
        sections.append(("Details", table(("Where", "Finding"), rows, text=True)))
    pairs = found.repeats.pairs
    for heading, shown in (
        ("In training and in validation", [pair for pair in pairs if found.crosses_split(pair)]),
        ("One cell, two labels", [pair for pair in pairs if not found.same_label(pair)]),
        ("Repeated cells", pairs),
    ):
        if shown:
            sections.append((heading, _repeated(found.crops, shown)))
    if courses := [course for course in found.drifts.values() if course is not None]:
        sections.append(("Over the groups", _courses(courses)))
    if found.doubts is not None and not found.doubts.too_weak:
        sections.append(("Doubtful labels", _doubts(found)))
    notices = [] if found.trainable else ["No network can be trained on this set as it is"]
    title = f"{quantity(len(found.crops), 'crop')} checked"
    return page_shell(title, str(found.data), starmap(section, sections), notices=notices)


def _findings(found: Survey) -> list[tuple[str, str]]:
    """Return where and what of the warnings and errors that are not shown as pictures."""
    rows: list[tuple[str, str]] = []
    for result in found.results:
        if result.question in PICTURED:
            continue
        serious = result.of_status(Status.WARNING, Status.ERROR)
        if result.question == "split":
            serious = [finding for finding in serious if not finding.other]
        rows += [
            (" · ".join(finding.where) or "the whole set", finding.message)
            for finding in serious[:FINDINGS_SHOWN]
        ]
        if len(serious) > FINDINGS_SHOWN:
            rows.append((result.question, f"{len(serious) - FINDINGS_SHOWN:,} more in check.csv"))
    return rows


def _repeated(crops: Sequence[Crop], pairs: Sequence[Pair]) -> str:
    """Show each cell's crops side by side, the most similar first."""
    cells = clusters(pairs)
    summary = f"{quantity(len(cells), 'cell')} in {sum(map(len, cells)):,} crops"
    if len(cells) > CELLS_SHOWN:
        summary += f"; the first {CELLS_SHOWN} are shown, all are in check.csv"
    pictures = [
        Picture(_jpeg(crops[index]), _caption(number, crops[index]), crops[index].name)
        for number, cell in enumerate(cells[:CELLS_SHOWN], start=1)
        for index in cell
    ]
    return paragraph(
        f"{summary}. Crops with the same number apparently show one cell.", small=True
    ) + gallery(pictures)


def _caption(number: int, crop: Crop) -> str:
    # most groups are frames, whose names differ at the end: better seen without a suffix
    group = "" if crop.group in crop.name else f" {Path(crop.group).stem}"
    return f"{number} {crop.label}{group}"


def _courses(courses: Sequence[Drift]) -> str:
    figure, axes = plots(len(courses), 1, height_in=2.1 * len(courses))
    for axis, course in zip(axes, courses, strict=True):
        place = np.arange(len(course.groups))
        axis.plot(place, course.values, ".", color="C0", label="median of a group")
        if course.outlier.any():
            axis.plot(place[course.outlier], course.values[course.outlier], "o", color="C1", label="outlier")
        if course.drifts:
            middle = float(np.median(course.values - course.slope * place))
            axis.plot(place, middle + course.slope * place, color="C2", label=f"trend {course.change:+.1%}")
        axis.set_ylabel(course.measure)
        if course.outlier.any() or course.drifts:
            # above the axes: inside them its markers would look like data
            axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False, borderaxespad=0)
        names = [Path(group).stem for group in course.groups]
        step = math.ceil(len(names) / min(5, max(2, TICK_LETTERS // max(map(len, names)))))
        axis.set_xticks(place[::step].tolist(), [_shortened(name) for name in names[::step]])
    note = (
        "Medians over the crops of a group, after each class was brought to the common level: otherwise a "
        "group of dark cells would look like a dim lamp. Brightness is the crop's median grey level; focus "
        "is the standard deviation of its Laplacian divided by its mean."
    )
    return svg(figure) + paragraph(note, small=True)


def _shortened(name: str) -> str:
    """Return the end of a long name, where frames differ."""
    longest = TICK_LETTERS // 2
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def _doubts(found: Survey) -> str:
    assert found.doubts is not None
    doubts = found.doubts.found
    how = (
        f"Networks that never saw a crop in training agree with {found.doubts.accuracy:.1%} of the labels. "
        "The labels below do not fit their predictions (confident learning), the least likely first. A doubt "
        "is not an error: look at the crop. If a label is plainly wrong, write “wrong” into the column "
        "“verdict” of doubts.csv beside this page; a later check with --force keeps what you wrote. “leuko "
        "evaluate … --without doubts.csv” then also gives the accuracy without those crops, never instead."
    )
    by_name = {crop.name: crop for crop in found.crops}
    pictures = [
        Picture(
            _jpeg(by_name[doubt.path]),
            f"{doubt.rank}: {doubt.label} {doubt.label_probability:.2f} → "
            f"{doubt.suggested} {doubt.suggested_probability:.2f}",
            doubt.path,
        )
        for doubt in doubts[:DOUBTS_SHOWN]
    ]
    more = len(doubts) - len(pictures)
    note = (
        paragraph(f"{quantity(more, 'more is', 'more are')} in doubts.csv.", small=True) if more > 0 else ""
    )
    return paragraph(how) + gallery(pictures) + note


def _jpeg(crop: Crop) -> bytes:
    return encode_jpeg(square(read_grey(crop.file), CROP_PX), quality=85)
