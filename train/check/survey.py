"""Every question asked of a set, in the order in which a person wants the answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from edge.base import write_atomically
from train.check import inventory, repeats
from train.check.doubts import Doubts, check_doubts, find_doubts
from train.check.drift import TREND, Drift, check_class_brightness, check_drift, measure_drift
from train.check.duplicates import THUMBNAIL_PX, Pair, Repeats, clusters, find_pairs
from train.check.findings import Result, Status, worst
from train.check.inventory import Crop, Inventory, take_inventory
from train.check.runs import RunTables, read_run
from train.table import TRAINING, VALIDATION, table_text

OnStep = Callable[[str, int], None]
"""Called after each step with what is being done and its number of steps."""


@dataclass(frozen=True, eq=False)
class Survey:
    """What a check of a set found.

    Attributes
    ----------
    sets : sequence of Inventory
        The set to train on and, if given, the one to validate on.
    parts : list of str or None
        ``training`` or ``validation`` per crop; None if no split is known.
    drifts : dict of str to Drift or None
        By measure; None for too few groups.
    """

    data: Path
    sets: Sequence[Inventory]
    parts: list[str] | None
    repeats: Repeats
    drifts: dict[str, Drift | None]
    doubts: Doubts | None

    @cached_property
    def crops(self) -> list[Crop]:
        """All crops that can be read."""
        return [crop for part in self.sets for crop in part.crops]

    @cached_property
    def results(self) -> list[Result]:
        """The answers to all questions."""
        return _answers(self)

    @property
    def trainable(self) -> bool:
        """Whether a network can be trained on the set; warnings do not prevent it."""
        return worst([result.status for result in self.results]) is not Status.ERROR

    def crosses_split(self, pair: Pair) -> bool:
        """Return whether one crop is for training and the other for validation."""
        return self.parts is not None and self.parts[pair.first] != self.parts[pair.second]

    def same_label(self, pair: Pair) -> bool:
        """Return whether two crops have the same label."""
        return self.crops[pair.first].label == self.crops[pair.second].label


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
    data, validation : Path
        See `train.data.read_data`; the set to train on, and one to validate on.
    split : Path, optional
        Run folder whose ``split.csv`` gives the parts.
    model : Path, optional
        Run folder whose out-of-fold predictions may doubt labels; its ``split.csv`` is used too.

    Raises
    ------
    ValueError
        If the set cannot be listed, or the run is of other files.
    """
    # before anything slow
    runs = {run: read_run(run, folds=run == model) for run in (split, model) if run is not None}
    sets = [take_inventory(data, lambda total: on_step("reading", total))]
    if validation is not None:
        second = take_inventory(validation, lambda total: on_step("reading the validation set", total))
        sets.append(second)
    unreadable = {name for part in sets for name, _ in part.unreadable}
    parts = _parts(sets, runs.values(), unreadable)
    doubts = None
    if model is not None:
        names, labels = ([getattr(crop, name) for crop in sets[0].crops] for name in ("name", "label"))
        doubts = find_doubts(runs[model].predictions(names, labels, unreadable))
    sets[1:] = [second.named_by_path() for second in sets[1:]]

    crops = [crop for part in sets for crop in part.crops]
    thumbnails = np.array([crop.thumbnail for crop in crops], np.uint8)
    found = find_pairs(
        [crop.pixel_digest for crop in crops],
        thumbnails.reshape(-1, THUMBNAIL_PX, THUMBNAIL_PX),
        lambda: on_step("comparing", len(crops)),
    )
    grouped = any(part.grouped for part in sets)
    drifts = {measure: measure_drift(crops, measure) if grouped else None for measure in TREND}
    return Survey(data, sets, parts, found, drifts, doubts)


def _parts(sets: Sequence[Inventory], runs: Collection[RunTables], unreadable: set[str]) -> list[str] | None:
    """Return the part of each crop; None if no split is known, or all are of one part."""
    training, *others = ([crop.name for crop in part.crops] for part in sets)
    parts = [TRAINING] * len(training) + [VALIDATION] * sum(map(len, others))
    for run in runs:
        parts = run.parts(training, others[0] if others else None, unreadable)
    return parts if len(set(parts)) > 1 or (others and not runs) else None


def _answers(found: Survey) -> list[Result]:
    alone = len(found.sets) == 1
    grouped = any(part.grouped for part in found.sets)
    results = []
    for part, suffix in zip(found.sets, ("", " of the validation set"), strict=False):
        for answer in (
            inventory.check_files(part),
            inventory.check_classes(part, trained_on=part is found.sets[0], split=alone),
            inventory.check_images(part),
        ):
            results.append(replace(answer, question=answer.question + suffix))
    results += [
        repeats.check_copies(found.crops, found.repeats.pairs),
        repeats.check_repeated_cells(found.crops, found.repeats, grouped=grouped, split=alone),
        repeats.check_labels(found.crops, found.repeats.pairs),
    ]
    if found.parts is not None:
        results.append(repeats.check_split(found.crops, found.parts, found.repeats.pairs))
    results += [check_drift(course, measure) for measure, course in found.drifts.items()]
    results.append(check_class_brightness(found.crops))
    if found.doubts is not None:
        results.append(check_doubts(found.doubts, len(found.sets[0].crops)))
    if found.crops:
        return results
    about_files = ("files", "classes")
    return [
        result if result.question.startswith(about_files) else Result(result.question, "no images", ran=False)
        for result in results
    ]


def as_object(found: Survey) -> dict[str, Any]:
    """Return what ``data check --json`` prints."""
    crops = found.crops
    sizes = Counter((crop.width_px, crop.height_px) for crop in crops).most_common()
    return {
        "data": str(found.data),
        "trainable": found.trainable,
        "cells": len(crops),
        "labels": dict(sorted(Counter(crop.label for crop in crops).items())),
        "groups": len({crop.group for crop in crops}),
        "sizes": [{"width_px": width, "height_px": height, "cells": n} for (width, height), n in sizes],
        "bit_depths": {str(bits): n for bits, n in sorted(Counter(crop.bits for crop in crops).items())},
        "pixel_um": found.sets[0].pixel_um,
        "unreadable": [
            {"path": name, "reason": reason} for part in found.sets for name, reason in part.unreadable
        ],
        "repeated": _repeats_object(found),
        "split": None if found.parts is None else dict(sorted(Counter(found.parts).items())),
        "drift": {
            measure: None
            if course is None
            else {
                "relative_change": course.change,
                "p_value": course.p_value,
                "drifts": course.drifts,
                "outliers": course.outliers(),
            }
            for measure, course in found.drifts.items()
        },
        "doubts": None if found.doubts is None else [asdict(doubt) for doubt in found.doubts.found],
        "out_of_fold_accuracy": None if found.doubts is None else found.doubts.accuracy,
        "findings": [
            {"question": result.question, **asdict(finding)}
            for result in found.results
            for finding in result.findings
        ],
    }


def _repeats_object(found: Survey) -> dict[str, Any]:
    cells = clusters(found.repeats.pairs)
    return {
        "cells": len(cells),
        "crops": sum(map(len, cells)),
        "by_chance": found.repeats.by_chance,
        "dismissed": found.repeats.dismissed,
        "pairs": [
            {
                "path": found.crops[pair.first].name,
                "other": found.crops[pair.second].name,
                "similarity": round(pair.similarity, 4),
                "copy": pair.copy,
                "crosses_split": found.crosses_split(pair),
                "same_label": found.same_label(pair),
            }
            for pair in found.repeats.pairs
        ],
    }


def write_findings(path: Path, results: Sequence[Result]) -> None:
    """Write ``check.csv`` atomically, one row per finding."""
    rows = [
        (
            result.question,
            *(finding.status.value, finding.path, finding.other),
            "" if finding.value is None else f"{finding.value:g}",
            finding.message,
        )
        for result in results
        for finding in result.findings
    ]
    text = table_text(("question", "status", "path", "other", "value", "message"), rows)
    write_atomically(path, text.encode())
