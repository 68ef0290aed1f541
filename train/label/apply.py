"""Confirmed labels become class folders with their ``cells.csv``, as `train.data.read_data` reads them."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from train.data import CELLS_CSV
from train.label.suggest import NO_NUCLEUS, UNSURE
from train.label.write import CROPS, EXCLUDE, LABELLING, naming

FLAGS = ("touching", "border", "out_of_focus")
UNCONFIRMED, FLAGGED = "unconfirmed", "flagged"

_NEEDED = ("path", "label", "suggestion", "group", "pixel_um", *FLAGS)
_Row = dict[str, str]


@dataclass(frozen=True)
class Applied:
    """What became of the rows.

    Attributes
    ----------
    classes : crops a class
    left_out : rows not taken, by why: `UNCONFIRMED`, unsure, no nucleus, exclude, `FLAGGED`
    flags : crops taken that touch another cell, are cut by the frame's edge, or out of focus
    """

    classes: dict[str, int]
    left_out: dict[str, int]
    flags: dict[str, int]


def apply_labels(
    table: Path,
    out: Path,
    *,
    data: Path | None = None,
    accept_suggestions: bool = False,
    unflagged: bool = False,
) -> Applied:
    """Copy the labelled crops into class folders under `out`, listed in its ``cells.csv``.

    ``cells.csv`` has the columns path, label, group and pixel_um, and after them all others of the table:
    flags and measurements go with the crops.

    Parameters
    ----------
    table
        ``labels.csv`` as the contact sheet saves it.
    out
        An absent or empty folder.
    data
        The folder that ``leuko label`` wrote; by default the one that the table lies in.
    accept_suggestions
        Take the suggestion of a cell that nobody has confirmed, unless it is unsure.
    unflagged
        Leave out cells that touch another one, that the frame's edge cuts or that are out of focus.

    Raises
    ------
    ValueError
        On a missing column or field, a flag or pixel size that is none, an unknown label, a path that is no
        crop of `data`, a crop that is missing or comes twice, or when no cell is left.
    OSError
        If something cannot be read or written.
    """
    data = data or table.parent
    classes = _known_classes(data)
    rows = _read(table)
    _check(rows, table, data, classes)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: take another --out")

    taken: list[_Row] = []
    left_out: Counter[str] = Counter()
    for row in rows:
        label, bare = row["label"], False
        if not label and accept_suggestions:
            label = row["suggestion"]
            bare = label == UNSURE and row.get("reason") == NO_NUCLEUS
        if label not in classes:
            left_out[NO_NUCLEUS if bare else label or UNCONFIRMED] += 1
        elif unflagged and any(row[name] == "1" for name in FLAGS):
            left_out[FLAGGED] += 1
        else:
            taken.append({**row, "label": label})
    if not taken:
        why = ", ".join(f"{n} {name}" for name, n in left_out.items())
        raise ValueError(
            f"{table}: no cell is left ({why or 'it lists none'}): confirm labels in the contact sheet and "
            "save them, or say --accept-suggestions"
        )

    for row in taken:
        source = row["path"]
        row["path"] = f"{row['label']}/{Path(source).name}"
        crop = (data / source).read_bytes()
        (out / row["label"]).mkdir(parents=True, exist_ok=True)
        with naming(out / row["path"]) as path:
            path.write_bytes(crop)
    first = ("path", "label", "group", "pixel_um")
    header = [*first, *(name for name in taken[0] if name not in first)]
    with naming(out / CELLS_CSV) as path, path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(taken)
    found = Counter(row["label"] for row in taken)
    return Applied(
        classes={name: found[name] for name in classes if found[name]},
        left_out={
            why: left_out[why] for why in (UNCONFIRMED, UNSURE, NO_NUCLEUS, EXCLUDE, FLAGGED) if left_out[why]
        },
        flags={name: sum(row[name] == "1" for row in taken) for name in FLAGS},
    )


def _known_classes(data: Path) -> list[str]:
    """Classes that were offered, from ``labelling.json``."""
    path = data / LABELLING
    if not path.is_file():
        raise ValueError(
            f"{data} is no folder that leuko label wrote (no {LABELLING}): name the one with "
            "the crops by --data"
        )
    try:
        classes = json.loads(path.read_text(encoding="utf-8"))["classes"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: damaged; run leuko label again") from error
    return [str(name) for name in classes]


def _read(table: Path) -> list[_Row]:
    """Rows of ``labels.csv``, without those that are empty."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            missing = [name for name in _NEEDED if name not in columns]
            if missing and ";" in "".join(columns):  # as spreadsheets write it where the comma is decimal
                raise ValueError(f"{table} uses ';' instead of ',': save it with commas between the columns")
            if missing:
                raise ValueError(f"{table}: column {', '.join(missing)} is missing")
            found = [(reader.line_num, row) for row in reader if any(row.values())]
    except UnicodeDecodeError as error:
        raise ValueError(f"{table} is not a CSV file in UTF-8: save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{table}: not a CSV file ({error})") from error
    for line, row in found:
        if wrong := _what_is_wrong(row):
            raise ValueError(f"{table}: row {line} {wrong}")
    return [{**row, "label": row["label"].strip()} for _, row in found]


def _what_is_wrong(row: dict[str | None, str | None]) -> str | None:
    """Say what no row of the table can have, or None."""
    if None in row:
        return "has more fields than the header"
    if None in row.values():
        return "has fewer fields than the header"
    for name in FLAGS:
        if row[name] not in ("0", "1"):
            return f"has {name} {row[name]!r}: it must be 0 or 1"
    try:
        right = 0 < float(row["pixel_um"] or "") < math.inf
    except ValueError:
        right = False
    return None if right else f"has pixel_um {row['pixel_um']!r}: it must be a positive number"


def _check(rows: list[_Row], table: Path, data: Path, classes: list[str]) -> None:
    """Refuse a table that does not fit the folder, before anything is written."""
    known = (*classes, UNSURE, EXCLUDE, "")
    seen: set[str] = set()
    for row in rows:
        name = row["path"]
        for label in (row["label"], row["suggestion"]):
            if label not in known:
                raise ValueError(
                    f"{table}: {name}: unknown label {label!r}; known are {', '.join(filter(None, known))}"
                )
        parts = Path(name).parts
        if len(parts) != 2 or parts[0] != CROPS or parts[1] in ("", ".", ".."):
            raise ValueError(f"{table}: {name!r} is no crop of {data}")
        if not (data / name).is_file() or (data / name).is_symlink():
            raise ValueError(f"{table}: {name} is not in {data}: name the folder with the crops by --data")
        if name in seen:
            raise ValueError(f"{table}: {name} comes twice")
        seen.add(name)
