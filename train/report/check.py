"""The page of a checked set: answers, repeated cells, drift, labels in doubt."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from train.check.doubts import Doubts
from train.check.drift import Drift
from train.check.duplicates import Pair, clusters
from train.check.findings import Status, count
from train.check.inventory import CROP_PX, Cell
from train.check.survey import Survey
from train.data import read_grey, square
from train.report.figure import plots, svg
from train.report.page import Picture, gallery, page, paragraph, table

FINDINGS_SHOWN = 12
"""Findings a question on the page; all are in ``check.csv``."""

CELLS_SHOWN = 60
"""Repeated cells with pictures."""

DOUBTS_SHOWN = 200
"""Doubted labels with pictures; all are in ``doubts.csv``."""

TICK_LETTERS = 70
"""Letters that fit side by side below a chart."""

PICTURED = ("copies", "seen again", "two labels", "doubted labels")
"""Questions whose findings are shown as pictures instead."""

MARKS = {Status.NOT_RUN: "Not run: ", Status.OK: "", Status.WARNING: "Look: ", Status.ERROR: "Stop: "}


def check_page(found: Survey) -> str:
    """Set the page."""
    sections = [("Answers", _answers(found))]
    if findings := _findings(found):
        sections.append(("What is behind them", findings))
    if crossing := [pair for pair in found.repeats.pairs if _crosses(found, pair)]:
        sections.append(("Seen in training and in validation", _repeated(found.cells, crossing)))
    if conflicting := [pair for pair in found.repeats.pairs if _conflicts(found, pair)]:
        sections.append(("One cell, two labels", _repeated(found.cells, conflicting)))
    if found.repeats.pairs:
        sections.append(("Cells seen more than once", _repeated(found.cells, found.repeats.pairs)))
    if courses := [course for course in found.drifts.values() if course is not None]:
        sections.append(("Over the groups", _courses(courses)))
    if found.doubts is not None and not found.doubts.too_weak:
        sections.append(("Labels in doubt", _doubts(found, found.doubts)))
    notices = [] if found.trainable else ["No network can be trained on this set as it is"]
    return page(f"{count(len(found.cells), 'crop')} checked", str(found.data), sections, notices)


def _answers(found: Survey) -> str:
    rows = [(result.question, MARKS[result.status] + result.answer) for result in found.results]
    return table(("Question", "Answer"), rows, text=True)


def _findings(found: Survey) -> str:
    rows: list[tuple[str, str]] = []
    for result in found.results:
        if result.question in PICTURED:
            continue
        pairs_are_pictured = result.question == "split"
        serious = [
            finding
            for finding in result.findings
            if finding.status in (Status.WARNING, Status.ERROR) and not (pairs_are_pictured and finding.other)
        ]
        for finding in serious[:FINDINGS_SHOWN]:
            where = " · ".join(name for name in (finding.path, finding.other) if name)
            rows.append((where or "the whole set", finding.message))
        if len(serious) > FINDINGS_SHOWN:
            rows.append((result.question, f"{len(serious) - FINDINGS_SHOWN:,} more in check.csv"))
    return table(("Where", "Finding"), rows, text=True) if rows else ""


def _crosses(found: Survey, pair: Pair) -> bool:
    return found.parts is not None and found.parts[pair.first] != found.parts[pair.second]


def _conflicts(found: Survey, pair: Pair) -> bool:
    return found.cells[pair.first].label != found.cells[pair.second].label


def _repeated(cells: Sequence[Cell], pairs: Iterable[Pair]) -> str:
    """Show each cell's crops side by side, those of the most alike first."""
    seen = clusters(list(pairs))
    crops = sum(map(len, seen))
    shown = seen[:CELLS_SHOWN]
    words = f"{count(len(seen), 'cell')} in {crops:,} crops"
    if len(shown) < len(seen):
        words += f"; the first {len(shown)} are shown, all are in check.csv"
    pictures = [
        Picture(_crop(cells[index]), _caption(number, cells[index]), cells[index].name)
        for number, cluster in enumerate(shown, start=1)
        for index in cluster
    ]
    return paragraph(f"{words}. Crops of one number show one cell, as it seems.", small=True) + gallery(
        pictures
    )


def _caption(number: int, cell: Cell) -> str:
    # most groups are frames: a number at the end is worth more than the suffix
    group = "" if cell.group in cell.name else f" {Path(cell.group).stem}"
    return f"{number} {cell.label}{group}"


def _courses(courses: Sequence[Drift]) -> str:
    figure, axes = plots(len(courses), 1, height_in=2.1 * len(courses))
    for axis, course in zip(axes, courses, strict=True):
        place = np.arange(len(course.groups))
        axis.plot(place, course.values, ".", color="C0", label="median of a group")
        if course.outlier.any():
            axis.plot(
                place[course.outlier], course.values[course.outlier], "o", color="C1", label="stands out"
            )
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
        "Medians over the crops of a group, each class brought to the common level before, so that a group "
        "of dark cells does not pass for a dim lamp. Brightness is the crop's median grey level, focus the "
        "standard deviation of its Laplacian by its mean."
    )
    return svg(figure) + paragraph(note, small=True)


def _shortened(name: str) -> str:
    """Keep the end of a long name, which is where frames differ."""
    longest = TICK_LETTERS // 2
    return name if len(name) <= longest else f"…{name[1 - longest :]}"


def _doubts(found: Survey, asked: Doubts) -> str:
    doubts = asked.found
    how = (
        "Networks that never saw a crop in training were asked for it, and agree with the labels of "
        f"{asked.accuracy:.1%}; these labels do not fit what they answered (confident learning), the least "
        "likely first. A doubt is not an error: look. Where a label "
        "is plainly wrong, write “wrong” into the column “verdict” of doubts.csv beside this page; a later "
        "check keeps what you wrote. “leuko evaluate … --without doubts.csv” then tells the accuracy also "
        "without those crops, never instead."
    )
    by_name = {cell.name: cell for cell in found.cells}
    pictures = [
        Picture(
            _crop(by_name[doubt.path]),
            f"{doubt.rank}: {doubt.label} {doubt.label_probability:.2f} → "
            f"{doubt.suggested} {doubt.suggested_probability:.2f}",
            doubt.path,
        )
        for doubt in doubts[:DOUBTS_SHOWN]
    ]
    more = len(doubts) - len(pictures)
    note = paragraph(f"{count(more, 'more is', 'more are')} in doubts.csv.", small=True) if more > 0 else ""
    return paragraph(how) + gallery(pictures) + note


def _crop(cell: Cell) -> NDArray[np.uint8]:
    image = read_grey(cell.file)
    if isinstance(image, str):
        raise ValueError(f"{cell.name}: {image}")
    return square(image, CROP_PX)
