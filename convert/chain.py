"""A bundle's answers to annotated frames, through the whole chain: cells missed and false ones too."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, FailedFrame, quantity
from edge.capture import CONTRADICTS, agreed_pixel, contradiction, files_pixels, read_frames
from edge.classify import Classifier
from edge.count import CountedFrame
from edge.model import Answers, Bundle, write_bundle
from edge.run import Analysis, count_frames
from train.box_places import misplaced_remark, structure_shares
from train.boxes import corners, first_doubled, match_boxes, of_frames, read_boxes
from train.readings import majority, readings
from train.table import Box

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
) -> tuple[Answers, list[str]]:
    """Return what each cell of annotated frames was called, or that it was missed, and remarks.

    Where several people read a cell, the majority's label is the truth; a cell for which no label leads does
    not enter.

    Parameters
    ----------
    frames : sequence of str
        Files, folders and globs; the network was not trained on them.
    pixel_um : float or None
        Side of a frame's pixel; by default that of the table, else of the files, else of the bundle.
    rename : mapping
        Label of a box → label of the bundle, in all readings.
    source : str
        Name of the frames; by default that of the boxes.

    Raises
    ------
    ValueError
        If a frame cannot be counted or has no box, it is not clear which frame a box is in, a cell has two
        boxes, pixel sizes contradict each other, or a box has none of the bundle's labels.
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
    pixel, remark = _pixel_um(frames, truth, pixel_um, bundle.manifest.pixel_um)
    none, counted = len(labels), 0
    shares = [structure_shares(np.zeros((1, 1), np.uint8), ())]
    answers = np.zeros((none + 1, none + 2), np.int64)  # last row: no cell; last column: not found
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
        if twice := first_doubled(corners(cells)):
            x, y = cells[twice].x, cells[twice].y
            raise ValueError(
                f"{boxes}: a box of {result.frame.name} lies on another, at x {x}, y {y}: give each cell one "
                "row; further readings stand in reader1, reader2 and so on"
            )
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
    return described, [*filter(None, (remark, misplaced_remark(np.concatenate(shares))))]


def _pixel_um(
    frames: Sequence[str], truth: Mapping[str, Sequence[Box]], given: float | None, bundle_um: float
) -> tuple[float, str]:
    """Return the pixel size that the option, else the table, the files or the bundle state; and a remark.

    Where no option says which is right, a contradiction is refused: cells would be missed that a count finds.
    """
    stated = files_pixels(frames)
    in_table = sorted({box.pixel_um for rows in truth.values() for box in rows if box.pixel_um is not None})
    agreed = agreed_pixel(stated)
    if given is not None:
        others = [um for um in in_table if abs(um - given) > CONTRADICTS * given]
        if others:
            return given, f"pixel_um of the table is {others[0]:.4g}, and {given:.4g} is used (--pixel-um)"
        return given, contradiction(stated, given, "from --pixel-um")
    if len(in_table) > 1:
        raise ValueError(
            f"pixel_um of the table is both {in_table[0]:g} and {in_table[1]:g}: pass --pixel-um"
        )
    if in_table:
        used, source = in_table[0], "from the table"
    elif agreed:
        used, source = agreed.um, f"from the files ({agreed.source})"
    else:
        used, source = bundle_um, "from the bundle"
    if other := contradiction(stated, used, source, "pass the right one as --pixel-um"):
        raise ValueError(other)
    return used, "" if used == bundle_um else f"pixel {used:.4g} µm, {source}"


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
