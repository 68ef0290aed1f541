"""Confirmed labels become class folders with their ``cells.csv``, as `train.data.read_data` reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from edge.base import labels_problem, read_input
from train.data import CELLS_CSV
from train.images import MOST_BYTES, require_empty, write_file
from train.label.suggest import NO_NUCLEUS, UNSURE
from train.label.write import CROPS, EXCLUDE, FLAGS, LABELLING, LABELS_CSV, cells_digest, count_flags
from train.run_config import LARGEST_JSON_BYTES, json_object
from train.table import LabelledCrop, SuggestedLabel, read_table, write_table

UNCONFIRMED, FLAGGED = "unconfirmed", "flagged"


@dataclass(frozen=True)
class Applied:
    """Crops per class, cells left out per reason, and crops per flag."""

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

    ``cells.csv`` has the columns of `LabelledCrop`, then all others of the table.

    Parameters
    ----------
    table : Path
        ``labels.csv`` as the contact sheet saves it.
    data : Path, optional
        The folder that ``leuko label`` wrote; by default the one that holds the table.
    accept_suggestions : bool
        Take the suggestion for a cell that nobody confirmed, unless it is unsure.
    unflagged : bool
        Leave out cells with a flag.

    Raises
    ------
    ValueError
        If the table is not valid, its crops are not those of `data`, or no cell is left.
    """
    data = data or table.parent
    classes, digest = _known(data)
    rows = [
        replace(row, label=row.label.strip())
        for row in read_table(table, SuggestedLabel, whole=True).values()
    ]
    _check(rows, table, data, classes)
    if digest is None:  # of an earlier version of leuko
        digest = cells_digest(read_table(data / LABELS_CSV, SuggestedLabel).values())
    if cells_digest(rows) != digest:
        raise ValueError(
            f"{table} lists other cells than {data}: pass the folder that its contact sheet is of as --data, "
            f"and leave every row in it ({EXCLUDE} leaves a cell out)"
        )
    require_empty(out)
    taken, left_out = _choose(rows, classes, accept_suggestions=accept_suggestions, unflagged=unflagged)
    if not taken:
        reasons = ", ".join(f"{n} {name}" for name, n in left_out.items())
        raise ValueError(
            f"{table}: no cell is left ({reasons or 'it lists none'}): confirm labels in the contact sheet "
            "and save them, or pass --accept-suggestions"
        )
    crops = [_listed(row) for row in taken]
    for row, crop in zip(taken, crops, strict=True):
        write_file(out / crop.path, read_input(data / row.path, MOST_BYTES))
    write_table(out / CELLS_CSV, LabelledCrop, crops)
    counts = Counter(row.label for row in taken)
    reasons_in_order = (UNCONFIRMED, UNSURE, NO_NUCLEUS, EXCLUDE, FLAGGED)
    return Applied(
        classes={name: counts[name] for name in classes if counts[name]},
        left_out={reason: left_out[reason] for reason in reasons_in_order if left_out[reason]},
        flags=count_flags(taken),
    )


def _known(data: Path) -> tuple[list[str], str | None]:
    """Return the classes that were offered, and the digest of the cells, from ``labelling.json``."""
    path = data / LABELLING
    if not path.is_file():
        raise ValueError(
            f"{data} was not written by leuko label (no {LABELLING}): pass the folder of the crops as --data"
        )
    try:
        known = json_object(read_input(path, LARGEST_JSON_BYTES))
        classes, digest = known.get("classes"), known.get("cells")
        if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
            raise ValueError("classes are no list of names")
        if problem := labels_problem(classes):
            raise ValueError(problem)
        if not isinstance(digest, str | None):
            raise ValueError("cells is no digest")
    except ValueError as error:
        raise ValueError(f"{path}: damaged ({error}); run leuko label again") from error
    return classes, digest


def _check(rows: Sequence[SuggestedLabel], table: Path, data: Path, classes: Sequence[str]) -> None:
    """Refuse a table that does not fit the folder, before anything is written."""
    known = (*classes, UNSURE, EXCLUDE, "")
    listed: set[str] = set()
    for row in rows:
        name = row.path
        if unknown := [label for label in (row.label, row.suggestion) if label not in known]:
            labels = ", ".join(filter(None, known))
            raise ValueError(f"{table}: {name}: unknown label {unknown[0]!r}; known are {labels}")
        parts = Path(name).parts
        if len(parts) != 2 or parts[0] != CROPS or parts[1] in ("", ".", ".."):
            raise ValueError(f"{table}: {name!r} is not a crop of {data}")
        if not (data / name).is_file() or (data / name).is_symlink():
            raise ValueError(f"{table}: {name} is not in {data}: pass the folder of the crops as --data")
        if name in listed:
            raise ValueError(f"{table}: {name} comes twice")
        listed.add(name)


def _choose(
    rows: Sequence[SuggestedLabel], classes: Sequence[str], *, accept_suggestions: bool, unflagged: bool
) -> tuple[list[SuggestedLabel], Counter[str]]:
    """Return the cells to take, each with its class, and the number of the others per reason."""
    taken: list[SuggestedLabel] = []
    left_out: Counter[str] = Counter()
    for row in rows:
        suggested = accept_suggestions and not row.label
        label = row.suggestion if suggested else row.label
        if suggested and label == UNSURE and row.reason == NO_NUCLEUS:
            label = NO_NUCLEUS
        if label not in classes:
            left_out[label or UNCONFIRMED] += 1
        elif unflagged and any(getattr(row, name) for name in FLAGS):
            left_out[FLAGGED] += 1
        else:
            taken.append(replace(row, label=label))
    return taken, left_out


def _listed(row: SuggestedLabel) -> LabelledCrop:
    """Return the row of a crop in its class folder."""
    path = f"{row.label}/{Path(row.path).name}"
    others = {name: text for name, text in row.cells().items() if name not in LabelledCrop.columns()}
    return LabelledCrop(path=path, label=row.label, group=row.group, pixel_um=row.pixel_um, others=others)
