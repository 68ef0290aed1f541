"""``leuko data agreement``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import click

from edge.base import shown
from edge.cli.errors import one_line_errors
from edge.cli.options import force_option, json_option, quiet_libraries, require_free
from edge.cli.output import echo
from edge.cli.tables import new_table, plain, print_table
from train.agreement import Agreement, agreement
from train.cli.options import EXISTING, FOLDER, parse_rename
from train.data import list_data
from train.readings import readings, renamed
from train.report.agreement import (
    AGREEMENT_FILES,
    PAIR_HEADER,
    agreement_object,
    matrices,
    pair_words,
    summary_lines,
    write_agreement,
)
from train.table import Box, MissingColumnError, read_table

Cells = tuple[list[dict[str, str]], list[str], list[Path | str]]
"""Readings, group, and crop or name of each cell."""


@click.command("agreement")
@click.argument("data", type=EXISTING)
@click.option(
    "--rename",
    callback=parse_rename,
    help="Class names for labels, for example WBC=leukocyte,RBC=erythrocyte.",
)
@click.option("--out", type=FOLDER, help="Folder for agreement.html and differences.csv.")
@force_option
@json_option
def agreement_command(
    data: Path, rename: Mapping[str, str], out: Path | None, force: bool, as_json: bool
) -> None:
    """Compare the readings of several people: columns label, reader1, reader2 and so on of DATA.

    DATA is a set of crops, as for `leuko train`, or a CSV of boxes, as for `leuko crops`. Prints Cohen's and
    Fleiss' kappa and each pair's confusion matrix. With --out, a page shows the crops on which they differ.
    """
    if out is not None:
        require_free(force, *(out / name for name in AGREEMENT_FILES))
    with one_line_errors(ValueError), quiet_libraries():
        read, groups, files = _read(data, rename)
        try:
            _require_common_labels(read)
            found = agreement(read, groups)
        except ValueError as error:
            raise ValueError(f"{data}: {error}") from None
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            write_agreement(out, str(data), found, read, files)
    if as_json:
        echo(json.dumps(agreement_object(found)))
    else:
        _print(found)
    if out is not None:
        pictures = (
            "" if any(isinstance(one, Path) for one in files) else " (without pictures: these are boxes)"
        )
        echo(f"written to {out}: {', '.join(AGREEMENT_FILES)}{pictures}", err=True)


def _require_common_labels(read: Sequence[Mapping[str, str]]) -> None:
    """Refuse readers who name all classes differently: that they never agree would say nothing of them."""
    used: dict[str, set[str]] = {}
    for one in read:
        for reader, label in one.items():
            used.setdefault(reader, set()).add(label)
    for (first, these), (second, those) in combinations(used.items(), 2):
        if min(len(these), len(those)) > 1 and not these & those:
            raise ValueError(
                f"{first} and {second} have no label in common, such as {shown(min(these))} and "
                f"{shown(min(those))}: pass --rename, so that one class has one name"
            )


def _read(path: Path, names: Mapping[str, str]) -> Cells:
    """Read a set of crops, else a table of boxes."""
    try:
        listing = list_data(path)
    except ValueError as error:
        try:
            boxes = read_table(path, Box)
        except (MissingColumnError, OSError):
            raise error from None
        rows = [_renamed(path, f", line {line}", box, names) for line, box in boxes.items()]
        places = [f"{box.frame} {box.x},{box.y}" for box in rows]
        return [readings(box) for box in rows], [box.frame for box in rows], list(places)
    if listing.problems:
        raise ValueError(f"{path}: {listing.problems[0]}")
    read = [
        {name: names.get(text, text) for name, text in one.items()}
        for one in listing.readings or map(readings, listing.rows)
    ]
    return (
        read,
        [row.group or row.path for row in listing.rows],
        [listing.root / row.path for row in listing.rows],
    )


def _renamed(path: Path, place: str, box: Box, names: Mapping[str, str]) -> Box:
    try:
        return renamed(box, names)
    except ValueError as error:
        raise ValueError(f"{path}{place}: {error}") from None


def _print(found: Agreement) -> None:
    for line in summary_lines(found):
        echo(line)
    echo("")
    table = new_table(*PAIR_HEADER)
    for pair in found.pairs:
        table.add_row(*map(plain, pair_words(pair)))
    print_table(table)
    pairs, others = matrices(found)
    for pair in pairs:
        echo("")
        matrix = new_table(f"{pair.first} ↓ {pair.second} →", *map(plain, found.labels))
        for label, row in zip(found.labels, pair.confusion.tolist(), strict=True):
            matrix.add_row(plain(label), *map(str, row))
        print_table(matrix)
    if others:
        echo("", others)
