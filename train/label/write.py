"""Pairs of frames become a folder to label: crops, ``labels.csv``, contact sheet, and what was refused."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.base import FailedFrame, Frame, frame_name, labels_problem, write_atomically
from edge.capture import list_files, read_frames
from edge.find import crop_cells
from train.data import BACKGROUNDS
from train.images import CROP_PX, require_empty, write_file, write_png
from train.label.field import Field, MeasuredCell, label_field
from train.label.focus import out_of_focus
from train.label.nuclei import cell_diameter_um
from train.label.pair import pair_names
from train.label.register import MismatchError
from train.label.sheet import contact_sheet
from train.label.size import size_remark
from train.label.suggest import NO_NUCLEUS, SUGGESTED, UNSURE
from train.table import SuggestedLabel, write_table

LABELS_CSV = "labels.csv"
LABELLING = "labelling.json"
"""Written last: a folder without it was interrupted."""

CONTACT_SHEET = "contact.html"
CROPS, NUCLEI = "crops", "nuclei"

EXCLUDE = "exclude"
"""Label of a cell that a person leaves out."""

FLAGS = ("touching", "border", "out_of_focus")

BOX = ("x", "y", "width", "height")

MEASURES = (
    *(*BOX, "lobes", "dents", "nucleus_um2", "area_ratio", "solidity", "roundness"),
    *("unevenness", "brightness", "offset_um", "cell_um", "sharpness"),
)
"""Columns of ``labels.csv`` after those of `SuggestedLabel`. The box is in px of the bright-field frame; the
measures of a nucleus are empty without one."""

GAMMA = 0.7
"""Exponent of the brightness of nuclei on the contact sheet."""


@dataclass(frozen=True)
class LabelOptions:
    """How pairs of frames are labelled, and which classes are offered besides the suggested ones.

    Attributes
    ----------
    scale : float
        Frame pixels per crop pixel.
    bit_depth : int
        Bits in use of a 16-bit sample.
    """

    pixel_um: float
    scale: float = 1.0
    max_shift_um: float = 10.0
    bit_depth: int = 16
    segmentation: Mapping[str, Any] = field(default_factory=dict)
    more_classes: Sequence[str] = ()

    @property
    def classes(self) -> list[str]:
        """Every class that a person may choose; raises ValueError if one cannot have its name."""
        for name in self.more_classes:
            if name in (UNSURE, EXCLUDE, NO_NUCLEUS):
                raise ValueError(f"{name!r} cannot be a class: it marks what is left out")
            if name == BACKGROUNDS:
                raise ValueError(f"{name!r} cannot be a class: that folder is for crops that hold no cell")
        classes = list(dict.fromkeys((*SUGGESTED, *self.more_classes)))
        if problem := labels_problem(classes):
            raise ValueError(problem)
        return classes


@dataclass(frozen=True)
class Labelled:
    """Cells per suggestion and per flag, the number of pairs labelled, and name and reason of the others.

    The remarks are on the cells' size, and on options without an effect.
    """

    suggestions: dict[str, int]
    flags: dict[str, int]
    fields: int
    refused: list[tuple[str, str]]
    remarks: tuple[str, ...] = ()


def write_labels(
    brightfield: Path,
    fluorescence: Path,
    out: Path,
    options: LabelOptions,
    *,
    on_pairs: Callable[[int], None] = lambda n: None,
    on_pair: Callable[[], None] = lambda: None,
    on_refused: Callable[[str, str], None] = lambda name, reason: None,
) -> Labelled:
    """Label the pairs of two folders of frames, one image per file, into `out`.

    `out` then holds ``crops/`` (bright field, 200×200, PNG), ``nuclei/`` (the same squares of the
    fluorescence, for viewing only), ``labels.csv`` (`SuggestedLabel` and `MEASURES`), ``contact.html`` and,
    written last, ``labelling.json`` with every parameter, the measured shifts and what was refused.
    `on_pairs` is called with the number of pairs, `on_pair` after each.

    Raises
    ------
    ValueError
        If no names pair, no pair matches, `out` is not empty, or a class cannot have its name.
    """
    classes = options.classes
    require_empty(out)
    pairs, refused = _pair_files(brightfield, fluorescence)
    for alone in refused:
        on_refused(*alone)
    on_pairs(len(pairs))
    rows: list[SuggestedLabel] = []
    cells: list[MeasuredCell] = []
    fields: list[dict[str, object]] = []
    remarks: dict[str, None] = {}
    for pair in pairs:
        names = [frame_name(path) for path in pair]
        try:
            frame, labelled = _label_pair(*pair, options)
        except MismatchError as error:
            refused.append((" + ".join(names), str(error)))
            on_refused(*refused[-1])
        else:
            rows += _write_crops(out, pair[0], frame.image, labelled, options)
            remarks |= dict.fromkeys(frame.notes)
            cells += labelled.cells
            entry = dict(zip(("brightfield", "fluorescence"), names, strict=True))
            fields.append({**entry, "cells": len(labelled.cells), "shift": asdict(labelled.shift)})
        on_pair()
    if not fields:
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise ValueError(f"no pair of frames matches: {refused[0][0]}: {refused[0][1]}{more}")
    rows = _with_focus(rows, cells)
    write_table(out / LABELS_CSV, SuggestedLabel, rows)
    write_file(out / CONTACT_SHEET, contact_sheet(rows, classes, scale=options.scale).encode())
    write_atomically(out / LABELLING, _parameters(options, rows, fields, refused))
    counts = Counter(NO_NUCLEUS if row.reason == NO_NUCLEUS else row.suggestion for row in rows)
    suggestions = {name: counts[name] for name in (*SUGGESTED, UNSURE, NO_NUCLEUS)}
    size = size_remark(cells, options.pixel_um)
    return Labelled(suggestions, count_flags(rows), len(fields), refused, (*filter(None, [size]), *remarks))


def count_flags(rows: Sequence[SuggestedLabel]) -> dict[str, int]:
    """Return the number of cells that touch another, that the frame's edge cuts, that are out of focus."""
    return {name: sum(getattr(row, name) for row in rows) for name in FLAGS}


def _pair_files(
    brightfield: Path, fluorescence: Path
) -> tuple[list[tuple[Path, Path]], list[tuple[str, str]]]:
    """Return the pairs of files, and name and reason of each file without a partner."""
    first, second = _by_stem(brightfield), _by_stem(fluorescence)
    pairing = pair_names(list(first), list(second))
    if not pairing.pairs:
        examples = " and ".join(next(iter(one.values())).name for one in (first, second))
        raise ValueError(
            f"no names pair between {brightfield} and {fluorescence} ({examples}): give the two frames of a "
            "field the same name, or names that differ in one part"
        )
    alone = [(first[stem], fluorescence) for stem in pairing.first_alone]
    alone += [(second[stem], brightfield) for stem in pairing.second_alone]
    refused = [(frame_name(path), f"no frame of this name in {folder}") for path, folder in alone]
    return [(first[one], second[other]) for one, other in pairing.pairs], refused


def _by_stem(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their names without suffix."""
    files: dict[str, Path] = {}
    for path in map(Path, list_files([folder])):
        if path == folder:
            raise ValueError(f"{folder}: a folder without images")
        stem = frame_name(Path(path.stem))
        if stem in files:
            raise ValueError(f"{folder}: {files[stem].name} and {path.name} have the same name")
        files[stem] = path
    return files


def _label_pair(first: Path, second: Path, options: LabelOptions) -> tuple[Frame, Field]:
    """Return the bright-field frame and the labelled field of two files."""
    frame, stain = (_read(path, options.bit_depth) for path in (first, second))
    return frame, label_field(
        frame.image,
        stain.image,
        pixel_um=options.pixel_um,
        max_shift_um=options.max_shift_um,
        segmentation=options.segmentation,
    )


def _read(path: Path, bit_depth: int) -> Frame:
    """Return the one image of a file."""
    found = list(islice(read_frames([path], bit_depth=bit_depth), 2))
    name = frame_name(Path(path.parent.name, path.name))
    if isinstance(found[0], FailedFrame):
        raise MismatchError(f"{name} cannot be read: {found[0].reason}")
    if len(found) > 1:
        raise MismatchError(f"{name} holds several images: save each as a file of its own")
    return found[0]


def _write_crops(
    out: Path, file: Path, image: NDArray[np.uint8], labelled: Field, options: LabelOptions
) -> list[SuggestedLabel]:
    """Write the two crops of each cell, and return its row; focus is left to `_with_focus`."""
    boxes = [measured.cell for measured in labelled.cells]
    bright = crop_cells(image, boxes, size_px=CROP_PX, scale=options.scale)
    nuclei = crop_cells(_visible(labelled.fluorescence), boxes, size_px=CROP_PX, scale=options.scale)
    rows = []
    for k, (measured, crop, nucleus) in enumerate(zip(labelled.cells, bright, nuclei, strict=True)):
        name = f"{frame_name(Path(file.stem))}_{k:04d}.png"
        write_png(out / CROPS / name, crop)
        write_png(out / NUCLEI / name, nucleus)
        row = SuggestedLabel(
            path=f"{CROPS}/{name}",
            label="",
            suggestion=measured.suggestion.label,
            reason=measured.suggestion.reason,
            group=file.name,
            pixel_um=options.pixel_um * options.scale,
            touching=measured.cell.touching,
            border=measured.cell.border,
            out_of_focus=False,
            others=_measures(measured, options.pixel_um),
        )
        rows.append(row)
    return rows


def _visible(fluorescence: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch a frame for the eye, so that faint lobes and the structure of bright ones both show."""
    low, high = (float(level) for level in np.percentile(fluorescence, (50, 99.95)))
    part = np.clip((np.arange(256) - low) / max(high - low, 16), 0, 1)
    return np.take((255 * part**GAMMA).astype(np.uint8), fluorescence)


def _with_focus(rows: Sequence[SuggestedLabel], cells: Sequence[MeasuredCell]) -> list[SuggestedLabel]:
    """Return the rows with the cells out of focus flagged, which takes those of all fields."""
    sharp = np.array([cell.sharpness for cell in cells])
    blurred = out_of_focus(sharp, np.array([cell.nucleus is not None for cell in cells]))
    return [replace(row, out_of_focus=bool(flag)) for row, flag in zip(rows, blurred, strict=True)]


def _measures(measured: MeasuredCell, pixel_um: float) -> dict[str, str]:
    """Return the text of each of `MEASURES`."""
    cell, nucleus = measured.cell, {} if measured.nucleus is None else asdict(measured.nucleus)
    if nucleus:
        nucleus["nucleus_um2"] = nucleus.pop("area_um2")
    values = {**nucleus, "cell_um": cell_diameter_um(cell, pixel_um), "sharpness": measured.sharpness}
    box = {name: str(getattr(cell, name)) for name in BOX}
    return dict.fromkeys(MEASURES, "") | box | {name: f"{value:.4g}" for name, value in values.items()}


def cells_digest(rows: Iterable[SuggestedLabel]) -> str:
    """Return the SHA-256 of names and boxes of crops in any order: names alone may be another slide's."""
    cells = sorted(" ".join((row.path, *(row.others.get(name, "").strip() for name in BOX))) for row in rows)
    return hashlib.sha256("\n".join(cells).encode()).hexdigest()


def _parameters(
    options: LabelOptions,
    rows: Sequence[SuggestedLabel],
    fields: Sequence[Mapping[str, object]],
    refused: Sequence[tuple[str, str]],
) -> bytes:
    """Return the content of ``labelling.json``."""
    parameters = {
        "version": __version__,
        "classes": options.classes,
        **{key: value for key, value in asdict(options).items() if key != "more_classes"},
        "cells": cells_digest(rows),
        "fields": list(fields),
        "refused": [{"frames": name, "reason": reason} for name, reason in refused],
    }
    return (json.dumps(parameters, indent=2) + "\n").encode()
