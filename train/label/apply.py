"""Confirmed labels become class folders with their ``cells.csv``, as `train.data.read_data` reads them."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from train.data import CELLS_CSV
from train.label.suggest import UNSURE
from train.label.write import CROPS, EXCLUDE, LABELLING

FLAGS = ("touching", "border", "out_of_focus")
UNCONFIRMED = "unconfirmed"

_NEEDED = ("path", "label", "suggestion", "group", "pixel_um", *FLAGS)
_Row = dict[str, str]


@dataclass(frozen=True)
class Applied:
    """What became of the rows.

    Attributes
    ----------
    classes : crops a class
    left_out : rows not taken, by why: `UNCONFIRMED`, unsure, exclude, flagged
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
        On a missing column, an unknown label, a path that is no crop of `data`, a crop that is missing or
        comes twice, or when no cell is left.
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
        label = row["label"]
        if not label and accept_suggestions:
            label = row["suggestion"]
        if label not in classes:
            left_out[label or UNCONFIRMED] += 1
        elif unflagged and any(row[name] == "1" for name in FLAGS):
            left_out["flagged"] += 1
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
        (out / row["label"]).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(data / source, out / row["path"])
    first = ("path", "label", "group", "pixel_um")
    header = [*first, *(name for name in taken[0] if name not in first)]
    with (out / CELLS_CSV).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header, lineterminator="\n")
        writer.writeheader()
        writer.writerows(taken)
    found = Counter(row["label"] for row in taken)
    return Applied(
        classes={name: found[name] for name in classes if found[name]},
        left_out=dict(left_out),
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
            reader = csv.DictReader(file, restval="")
            missing = [name for name in _NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(f"{table}: column {', '.join(missing)} is missing")
            rows = list(reader)
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{table}: not a CSV file ({error})") from error
    for line, row in enumerate(rows, start=2):
        if None in row:
            raise ValueError(f"{table}: row {line} has more fields than the header")
        row["label"] = row["label"].strip()
    return [row for row in rows if any(row.values())]


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
