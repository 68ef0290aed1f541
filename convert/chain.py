"""A bundle's answers to annotated frames, through the whole chain: cells missed and false ones too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, FailedFrame, quantity
from edge.capture import read_frames
from edge.classify import Classifier
from edge.count import CountedFrame
from edge.model import Answers, Bundle, write_bundle
from edge.run import Analysis, count_frames
from train.box_places import misplaced_remark, structure_shares
from train.boxes import corners, match_boxes, of_frames, read_boxes
from train.readings import majority, readings

LEAST_OVERLAP = 0.3
"""Least intersection over union of a found and an annotated box that are one cell."""

UNSETTLED = -1
"""Stands for the label of a cell on which its readers do not settle."""


def validate(
    bundle: Bundle,
    frames: Sequence[str],
    boxes: Path,
    *,
    pixel_um: float | None = None,
    rename: Mapping[str, str] | None = None,
    source: str = "",
    on_frame: Callable[[], None] = lambda: None,
) -> tuple[Answers, str]:
    """Return what each cell of annotated frames was called, or that it was missed, and a remark on the boxes.

    Where several people read a cell, the majority's label is the truth; a cell for which no label leads does
    not enter.

    Parameters
    ----------
    frames : sequence of str
        Files, folders and globs; the network was not trained on them.
    pixel_um : float or None
        Side of a frame's pixel; by default the bundle's.
    rename : mapping
        Label of a box → label of the bundle, in all readings.
    source : str
        Name of the frames; by default that of the boxes.

    Raises
    ------
    ValueError
        If a frame cannot be counted or has no box, it is not clear which frame a box is in, or a box has none
        of the bundle's labels.
    """
    labels = bundle.manifest.labels
    truth = read_boxes(boxes, rename)
    read = [readings(box) for rows in truth.values() for box in rows]
    if unknown := {label for one in read for label in one.values()} - {*labels}:
        raise ValueError(
            f"{boxes}: {', '.join(sorted(unknown)[:3])} is no label of the bundle, which has"
            f" {', '.join(labels)}: pass --rename"
        )
    truth = of_frames(truth, frames)
    none, counted = len(labels), 0
    shares = [structure_shares(np.zeros((1, 1), np.uint8), ())]
    answers = np.zeros((none + 1, none + 2), np.int64)  # last row: no cell; last column: not found
    pixel = pixel_um or bundle.manifest.pixel_um
    analysis = Analysis(pixel_um=pixel, reject_below=bundle.manifest.reject_below)
    for result in count_frames(read_frames(frames), Classifier(bundle), analysis):
        if isinstance(result, FailedFrame):
            raise ValueError(f"{result.name}: {result.reason}")
        rows = truth.get(result.frame.name, [])
        if not rows:
            raise ValueError(
                f"{boxes} has no box in {result.frame.name}: annotate all its cells, or leave it out"
            )
        held = [majority(readings(box).values()) for box in rows]
        real = np.array([UNSETTLED if label is None else labels.index(label) for label in held])
        cells = [box.cell for box in rows]
        _add(answers, result, real, cells, labels)
        shares.append(structure_shares(result.frame.image, cells))
        counted += 1
        on_frame()
    if not counted:
        raise ValueError("there is no frame to count")
    readers = max(map(len, read))
    by = f", majority of {readers} readings" if readers > 1 else ""
    described = Answers(
        cells=tuple(map(tuple, answers[:-1, :-1].tolist())),
        missed=tuple(answers[:-1, -1].tolist()),
        false=tuple(answers[-1, :-1].tolist()),
        frames=counted,
        source=f"{source or boxes.name}, {quantity(counted, 'frame')}{by}",
    )
    return described, misplaced_remark(np.concatenate(shares))


def _add(
    answers: NDArray[np.int64],
    result: CountedFrame,
    real: NDArray[np.int64],
    cells: Sequence[Cell],
    labels: Sequence[str],
) -> None:
    """Add a frame's answers, given the true labels and places of its cells."""
    given = np.array(
        [labels.index(one.likeliest) if one.answered else len(labels) for one in result.decisions], np.int64
    )
    truth = np.full(len(given), len(labels))
    found = np.zeros(len(real), bool)
    for i, j in match_boxes(corners(result.cells), corners(cells), LEAST_OVERLAP):
        truth[i], found[j] = real[j], True
    known = truth != UNSETTLED
    np.add.at(answers, (truth[known], given[known]), 1)
    np.add.at(answers[:, -1], real[~found & (real != UNSETTLED)], 1)


def rewrite(bundle: Bundle, answers: Answers, out: Path) -> Bundle:
    """Write a bundle with other answers; it is not signed."""
    described = replace(bundle.manifest, answers=answers)
    return write_bundle(out, described, bundle.flatbuffer, bundle.golden_crops, bundle.golden_outputs)
