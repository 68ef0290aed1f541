"""All questions asked of a set, in the order in which a person wants the answers."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from edge.base import write_atomically
from train.check import drift, inventory, repeats
from train.check.doubts import Doubts, check_doubts, find_doubts
from train.check.duplicates import THUMBNAIL_PX, Repeats, clusters, find_pairs
from train.check.findings import Result, Status, worst
from train.check.inventory import Cell, Inventory, take_inventory
from train.check.repeats import TRAINING, VALIDATION
from train.check.runs import check_run, read_predictions, read_split

OnStep = Callable[[str, int], None]
"""Called after each step with what is being done and its number of steps."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What a check of a set found.

    Attributes
    ----------
    data : folder or table
    cells : all crops that can be read, those of a separate validation set last
    parts : ``training`` or ``validation`` for each cell, or None where no split is known
    unreadable : name and reason of each file that cannot be read
    pixel_um : of the crops as they are trained on, or None
    repeats : crops that show one cell
    drifts : measure → its course over the groups, or None for too few groups
    doubts : what the given predictions say to the labels, or None without predictions
    results : the answers
    """

    data: Path
    cells: tuple[Cell, ...]
    parts: tuple[str, ...] | None
    unreadable: tuple[tuple[str, str], ...]
    pixel_um: float | None
    repeats: Repeats
    drifts: dict[str, drift.Drift | None]
    doubts: Doubts | None
    results: tuple[Result, ...]

    @property
    def trainable(self) -> bool:
        """Whether a network can be trained on the set; warnings do not hinder it."""
        return worst([result.status for result in self.results]) is not Status.ERROR


def survey(
    data: Path,
    *,
    validation: Path | None = None,
    split: Path | None = None,
    model: Path | None = None,
    on_step: OnStep = lambda stage, total: None,
) -> Survey:
    """Check a set of labelled crops.

    Parameters
    ----------
    data
        See `train.data.read_data`.
    validation
        A second set, to validate on.
    split
        Run folder whose ``split.csv`` tells the parts.
    model
        Run folder whose out-of-fold predictions tell which labels to doubt; its ``split.csv`` is used too.
    on_step
        Called as the work proceeds.

    Raises
    ------
    ValueError, OSError
        If the set cannot be listed, or the run is of other files.
    ModuleNotFoundError
        If labels are to be doubted and cleanlab is absent.
    """
    for run in {run for run in (split, model) if run is not None}:
        check_run(run, folds=run == model)
    first = take_inventory(data, lambda total: on_step("reading", total))
    second = None
    if validation is not None:
        second = take_inventory(validation, lambda total: on_step("reading the validation set", total))
    sets = [first] if second is None else [first, _apart(second)]
    cells = tuple(cell for part in sets for cell in part.cells)

    names = [cell.name for cell in first.cells]
    unreadable = {name for part in (first, second) if part is not None for name, _ in part.unreadable}
    parts, doubts = None, None
    if split is not None or model is not None:
        other_names = None if second is None else [cell.name for cell in second.cells]
        for run in {run for run in (split, model) if run is not None}:
            parts = read_split(run, names, other_names, unreadable)
        if parts is not None and len(set(parts)) == 1:  # one part of the run: there is nothing across
            parts = None
    elif second is not None:
        parts = [TRAINING] * len(first.cells) + [VALIDATION] * len(second.cells)
    if model is not None:
        labels = [cell.label for cell in first.cells]
        doubts = find_doubts(read_predictions(model, names, labels, unreadable))

    thumbnails = np.zeros((len(cells), THUMBNAIL_PX, THUMBNAIL_PX), np.uint8)
    for thumbnail, cell in zip(thumbnails, cells, strict=True):
        thumbnail[:] = cell.thumbnail
    repeated = find_pairs(
        [cell.pixel_digest for cell in cells], thumbnails, lambda: on_step("comparing", len(cells))
    )
    grouped = any(part.grouped for part in sets)
    drifts = {measure: drift.measure_drift(cells, measure) if grouped else None for measure in drift.TREND}
    return Survey(
        data=data,
        cells=cells,
        parts=None if parts is None else tuple(parts),
        unreadable=tuple(failed for part in sets for failed in part.unreadable),
        pixel_um=first.pixel_um,
        repeats=repeated,
        drifts=drifts,
        doubts=doubts,
        results=tuple(_ask(sets, cells, parts, repeated, drifts, doubts, grouped=grouped)),
    )


def _apart(second: Inventory) -> Inventory:
    """Name the crops of a second set by their whole path: both sets may hold an ``a/1.png``."""
    return replace(
        second,
        cells=tuple(replace(cell, name=str(cell.file)) for cell in second.cells),
        unreadable=tuple((str(second.path / name), reason) for name, reason in second.unreadable),
        problems=tuple(f"{second.path}: {problem}" for problem in second.problems),
    )


def _ask(
    sets: Sequence[Inventory],
    cells: Sequence[Cell],
    parts: Sequence[str] | None,
    repeated: Repeats,
    drifts: dict[str, drift.Drift | None],
    doubts: Doubts | None,
    *,
    grouped: bool,
) -> list[Result]:
    """Put the questions."""
    results = []
    for part, suffix in zip(sets, ("", " of the validation set"), strict=False):
        results += [
            replace(answer, question=answer.question + suffix)
            for answer in (
                inventory.check_files(part),
                inventory.check_classes(part, trained_on=part is sets[0], split=len(sets) == 1),
                inventory.check_images(part),
            )
        ]
    results += [
        repeats.check_copies(cells, repeated.pairs),
        repeats.check_sightings(cells, repeated, grouped=grouped, split=len(sets) == 1),
        repeats.check_labels(cells, repeated.pairs),
    ]
    if parts is not None:
        results.append(repeats.check_split(cells, parts, repeated.pairs))
    results += [drift.check_drift(course, measure) for measure, course in drifts.items()]
    results.append(drift.check_class_brightness(cells))
    if doubts is not None:
        results.append(check_doubts(doubts, len(sets[0].cells)))
    if not cells:
        about_files = ("files", "classes")
        return [
            result
            if result.question.startswith(about_files)
            else Result(result.question, "no images", ran=False)
            for result in results
        ]
    return results


def as_object(found: Survey) -> dict[str, Any]:
    """Return what ``data check --json`` prints."""
    cells = found.cells
    parts = found.parts or [""] * len(cells)
    seen = clusters(found.repeats.pairs)
    return {
        "data": str(found.data),
        "trainable": found.trainable,
        "cells": len(cells),
        "labels": dict(sorted(Counter(cell.label for cell in cells).items())),
        "groups": len({cell.group for cell in cells}),
        "sizes": [
            {"width_px": width, "height_px": height, "cells": n}
            for (width, height), n in Counter((cell.width_px, cell.height_px) for cell in cells).most_common()
        ],
        "bit_depths": {str(bits): n for bits, n in sorted(Counter(cell.bits for cell in cells).items())},
        "pixel_um": found.pixel_um,
        "unreadable": [{"path": name, "reason": reason} for name, reason in found.unreadable],
        "repeated": {
            "cells": len(seen),
            "crops": sum(map(len, seen)),
            "by_chance": found.repeats.by_chance,
            "dismissed": found.repeats.dismissed,
            "pairs": [
                {
                    "path": cells[pair.first].name,
                    "other": cells[pair.second].name,
                    "similarity": round(pair.similarity, 4),
                    "copy": pair.copy,
                    "crosses_split": parts[pair.first] != parts[pair.second],
                    "same_label": cells[pair.first].label == cells[pair.second].label,
                }
                for pair in found.repeats.pairs
            ],
        },
        "split": None if found.parts is None else dict(sorted(Counter(found.parts).items())),
        "drift": {
            measure: None
            if course is None
            else {
                "relative_change": course.change,
                "p_value": course.p_value,
                "drifts": course.drifts,
                "outliers": [course.groups[k] for k in np.flatnonzero(course.outlier)],
            }
            for measure, course in found.drifts.items()
        },
        "doubts": None if found.doubts is None else [asdict(doubt) for doubt in found.doubts.found],
        "out_of_fold_accuracy": None if found.doubts is None else found.doubts.accuracy,
        "findings": [
            {
                "question": result.question,
                "status": finding.status.value,
                "message": finding.message,
                "path": finding.path,
                "other": finding.other,
                "value": finding.value,
            }
            for result in found.results
            for finding in result.findings
        ],
    }


def write_findings(path: Path, results: Sequence[Result]) -> None:
    """Write ``check.csv``, a row a finding.

    Raises
    ------
    OSError
        If it cannot be written; an earlier one is then untouched.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(("question", "status", "path", "other", "value", "message"))
    for result in results:
        for finding in result.findings:
            value = "" if finding.value is None else f"{finding.value:g}"
            row = (result.question, finding.status.value, finding.path, finding.other, value, finding.message)
            writer.writerow(row)
    write_atomically(path, text.getvalue().encode())
