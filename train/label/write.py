"""Pairs of frames become a folder to label: crops, ``labels.csv``, contact sheet, and what was refused."""

from __future__ import annotations

import csv
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge import __version__
from edge.base import FailedFrame, write_atomically
from edge.capture import list_files, read_frames
from edge.find import crop_cells
from train.data import BACKGROUNDS
from train.images import CROP_PX
from train.label.field import Field, LabelledCell, MismatchError, label_field
from train.label.focus import out_of_focus
from train.label.nuclei import cell_diameter_um
from train.label.pair import pair_names
from train.label.sheet import contact_sheet
from train.label.suggest import NO_NUCLEUS, SUGGESTED, UNSURE

LABELS_CSV = "labels.csv"
LABELLING = "labelling.json"
"""Written last: a folder without it was interrupted."""

CONTACT_SHEET = "contact.html"
CROPS, NUCLEI = "crops", "nuclei"

EXCLUDE = "exclude"
"""What a person calls a cell that is to be left out."""

COLUMNS = (
    *("path", "label", "suggestion", "reason", "group", "xmin", "ymin", "xmax", "ymax", "pixel_um"),
    *("touching", "border", "out_of_focus"),
    *("lobes", "dents", "nucleus_um2", "area_ratio", "solidity", "roundness", "unevenness", "brightness"),
    *("offset_um", "cell_um", "sharpness"),
)
"""Header of ``labels.csv``. The box is in px of the bright-field frame, `pixel_um` is the crop's; flags are 0
or 1; what is measured of a nucleus is empty without one."""

GAMMA = 0.7
"""Exponent by which the nuclei's brightness is shown."""

_Row = dict[str, str]


@dataclass(frozen=True)
class Written:
    """What was labelled.

    Attributes
    ----------
    suggestions : cells a suggestion, and those without a nucleus apart
    flags : cells that touch another, that the frame's edge cuts, that are out of focus
    fields : pairs of frames that were labelled
    refused : (pair, reason) of the others, and of frames without a partner
    """

    suggestions: dict[str, int]
    flags: dict[str, int]
    fields: int
    refused: list[tuple[str, str]]


def write_labels(
    brightfield: Path,
    fluorescence: Path,
    out: Path,
    *,
    pixel_um: float,
    scale: float = 1.0,
    max_shift_um: float = 10.0,
    bit_depth: int = 16,
    segmentation: Mapping[str, Any] | None = None,
    more_classes: Sequence[str] = (),
    on_pairs: Callable[[int], None] = lambda n: None,
    on_pair: Callable[[], None] = lambda: None,
    on_refused: Callable[[str, str], None] = lambda name, reason: None,
) -> Written:
    """Label the pairs of two folders into `out`.

    Into `out` go ``crops/`` (bright field, 200×200, PNG), ``nuclei/`` (the same squares of the fluorescence,
    for the eye only), ``labels.csv`` (see `COLUMNS`), ``contact.html`` and, last, ``labelling.json`` with
    every parameter, the measured shifts and what was refused.

    Parameters
    ----------
    brightfield, fluorescence
        Folders of frames, one image a file.
    out
        An absent or empty folder.
    pixel_um
        Side of a frame's pixel in the specimen.
    scale
        Frame pixels a crop pixel.
    max_shift_um, segmentation
        See `label_field`.
    bit_depth
        Bits in use of a 16-bit sample.
    more_classes
        Further classes to offer in the contact sheet.
    on_pairs, on_pair, on_refused
        Called with the number of pairs, after each, and with each that is refused.

    Raises
    ------
    ValueError
        If nothing pairs by name, no pair matches, `out` is not empty, or a class cannot have its name.
    OSError
        If something cannot be written.
    """
    classes = _classes(more_classes)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: take another --out")
    files = [_by_stem(folder) for folder in (brightfield, fluorescence)]
    pairing = pair_names(*(list(one) for one in files))
    if not pairing.pairs:
        examples = " and ".join(next(iter(one.values())).name for one in files)
        raise ValueError(
            f"no names pair between {brightfield} and {fluorescence} ({examples}): "
            "name the two frames of a field alike, or with one part that differs"
        )
    refused: list[tuple[str, str]] = []

    def refuse(name: str, reason: str) -> None:
        refused.append((name, reason))
        on_refused(name, reason)

    for folder, names, by_stem in (
        (fluorescence, pairing.first_alone, files[0]),
        (brightfield, pairing.second_alone, files[1]),
    ):
        for stem in names:
            refuse(str(by_stem[stem]), f"no frame of this name in {folder}")

    for folder in (out, out / CROPS, out / NUCLEI):
        folder.mkdir(parents=True, exist_ok=True)
    on_pairs(len(pairing.pairs))
    rows: list[_Row] = []
    cells: list[LabelledCell] = []
    fields: list[dict[str, object]] = []
    for first, second in pairing.pairs:
        paths = files[0][first], files[1][second]
        try:
            bright, stain = (_read(path, bit_depth) for path in paths)
            field = label_field(
                bright, stain, pixel_um=pixel_um, max_shift_um=max_shift_um, segmentation=segmentation
            )
        except MismatchError as error:
            refuse(" + ".join(map(_text, paths)), str(error))
        else:
            rows += _write_crops(out, first, paths[0].name, bright, field, pixel_um, scale)
            cells += field.cells
            pair = {"brightfield": _text(paths[0]), "fluorescence": _text(paths[1])}
            fields.append({**pair, "cells": len(field.cells), "shift": asdict(field.shift)})
        on_pair()
    if not fields:
        for folder in (out / CROPS, out / NUCLEI, out):
            folder.rmdir()
        more = f" (and {len(refused) - 1} more)" if len(refused) > 1 else ""
        raise ValueError(f"no pair of frames matches: {refused[0][0]}: {refused[0][1]}{more}")

    blurred = out_of_focus(
        np.array([one.sharpness for one in cells]), np.array([one.nucleus is not None for one in cells])
    )
    for row, flag in zip(rows, blurred, strict=True):
        row["out_of_focus"] = str(int(flag))
    with naming(out / LABELS_CSV) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    page = contact_sheet(COLUMNS, [[row[name] for name in COLUMNS] for row in rows], classes, scale=scale)
    with naming(out / CONTACT_SHEET) as path:
        path.write_text(page, encoding="utf-8")
    parameters = {
        "version": __version__,
        "classes": classes,
        "pixel_um": pixel_um,
        "scale": scale,
        "max_shift_um": max_shift_um,
        "bit_depth": bit_depth,
        "segmentation": dict(segmentation or {}),
        "fields": fields,
        "refused": [{"frames": name, "reason": reason} for name, reason in refused],
    }
    with naming(out / LABELLING) as path:
        write_atomically(path, (json.dumps(parameters, indent=2) + "\n").encode())

    counts = Counter(NO_NUCLEUS if row["reason"] == NO_NUCLEUS else row["suggestion"] for row in rows)
    return Written(
        suggestions={name: counts[name] for name in (*SUGGESTED, UNSURE, NO_NUCLEUS)},
        flags={
            name: sum(row[name] == "1" for row in rows) for name in ("touching", "border", "out_of_focus")
        },
        fields=len(fields),
        refused=refused,
    )


@contextmanager
def naming(path: Path) -> Iterator[Path]:
    """Name a file in the errors of writing to it: that of a full disk says nothing."""
    try:
        yield path
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def _classes(more: Sequence[str]) -> list[str]:
    """Every class that a person may choose."""
    for name in more:
        if name in (UNSURE, EXCLUDE, NO_NUCLEUS):
            raise ValueError(f"{name!r} cannot be a class: it says what is left out")
        if name == BACKGROUNDS:
            raise ValueError(f"{name!r} cannot be a class: that folder is for crops that hold no cell")
        if Path(name).name != name or name.startswith("."):
            raise ValueError(f"{name!r} cannot be a class: its crops go into a folder of its name")
    return list(dict.fromkeys((*SUGGESTED, *more)))


def _text(path: Path) -> str:
    """A path as text; a file's name is any bytes."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _by_stem(folder: Path) -> dict[str, Path]:
    """Files of a folder by their names without suffix."""
    files: dict[str, Path] = {}
    for path in list_files([folder]):
        if path == folder:
            raise ValueError(f"{folder}: a folder without images")
        stem = _text(Path(path.stem))
        if stem in files:
            raise ValueError(f"{folder}: {files[stem].name} and {path.name} have the same name")
        files[stem] = path
    return files


def _read(path: Path, bit_depth: int) -> NDArray[np.uint8]:
    """Read the one image of a file, uint8 [h, w]."""
    found = list(islice(read_frames([path], bit_depth=bit_depth), 2))
    name = _text(Path(path.parent.name, path.name))
    if isinstance(found[0], FailedFrame):
        raise MismatchError(f"{name} cannot be read: {found[0].reason}")
    if len(found) > 1:
        raise MismatchError(f"{name} holds several images: write each to a file of its own")
    return found[0].image


def _write_crops(
    out: Path,
    stem: str,
    group: str,
    brightfield: NDArray[np.uint8],
    field: Field,
    pixel_um: float,
    scale: float,
) -> list[_Row]:
    """Write the two crops of each cell and return the cells' rows, without the focus flag."""
    boxes = [one.cell for one in field.cells]
    bright = crop_cells(brightfield, boxes, size_px=CROP_PX, scale=scale)
    dark = crop_cells(_visible(field.fluorescence), boxes, size_px=CROP_PX, scale=scale)
    rows = []
    for k, (one, *images) in enumerate(zip(field.cells, bright, dark, strict=True)):
        for folder, image in zip((CROPS, NUCLEI), images, strict=True):
            # encoded in memory, so that a full disk raises
            with naming(out / folder / f"{stem}_{k:04d}.png") as path:
                path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
        rows.append({**_row(one, pixel_um, scale), "path": f"{CROPS}/{stem}_{k:04d}.png", "group": group})
    return rows


def _visible(fluorescence: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Stretch a frame for the eye, so that faint lobes and what lies in bright ones both show."""
    low, high = (float(level) for level in np.percentile(fluorescence, (50, 99.95)))
    part = np.clip((np.arange(256) - low) / max(high - low, 16), 0, 1)
    return np.take((255 * part**GAMMA).astype(np.uint8), fluorescence)


def _row(one: LabelledCell, pixel_um: float, scale: float) -> _Row:
    cell, nucleus = one.cell, one.nucleus
    measured: dict[str, float] = {"cell_um": cell_diameter_um(cell, pixel_um), "sharpness": one.sharpness}
    if nucleus is not None:
        measured |= {"nucleus_um2" if k == "area_um2" else k: v for k, v in asdict(nucleus).items()}
    return {
        **dict.fromkeys(COLUMNS, ""),
        "suggestion": one.suggestion.label,
        "reason": one.suggestion.reason,
        "xmin": str(cell.x),
        "ymin": str(cell.y),
        "xmax": str(cell.x + cell.width),
        "ymax": str(cell.y + cell.height),
        "pixel_um": f"{pixel_um * scale:g}",
        "touching": str(int(cell.touching)),
        "border": str(int(cell.border)),
        **{name: f"{value:.4g}" for name, value in measured.items()},
    }
