"""Write ``agreement.html`` and ``differences.csv``: how far readers agree, and where they differ."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import starmap
from pathlib import Path
from typing import Any

from edge.base import quantity, write_atomically
from edge.report import Picture, encode_jpeg, gallery, page_shell, paragraph, section, table
from train.agreement import Agreement, Pair
from train.images import CROP_PX, read_grey, square
from train.metrics import LEAST_GROUPS, Interval
from train.readings import majority
from train.report.words import UNDEFINED, percent, score_words
from train.table import table_text

AGREEMENT_FILES = ("agreement.html", "differences.csv")

SHOWN = 2000
"""Cells with a picture on the page; all are in ``differences.csv``."""

MATRIX_FIELDS = 20_000
"""Fields of confusion matrices that are shown; --json has all."""

METHODS = (
    "Cohen's kappa compares two readers, Fleiss' all of them: 1 is full agreement, 0 what chance would give. "
    "Intervals (95 %) are those of the bootstrap over whole groups (frames, patients). There are none with "
    "fewer than 20 groups, nor where readers never differ. The majority's label is the one that more readers "
    "give than any other."
)


def agreement_object(found: Agreement) -> dict[str, Any]:
    """Return the agreement as JSON has it."""
    return {
        "labels": list(found.labels),
        "readers": list(found.readers),
        "cells": found.cells,
        "read_once": found.single,
        "groups": found.groups,
        "unanimous": found.unanimous,
        "tied": found.tied,
        "majority": dict(found.counts),
        "fleiss_kappa": found.fleiss,
        "fleiss_interval": found.fleiss_interval,
        "pairs": [
            {
                "readers": [pair.first, pair.second],
                "cells": pair.cells,
                "agreed": pair.agreed if pair.cells else None,
                "agreed_interval": pair.agreed_interval,
                "cohen_kappa": pair.kappa,
                "cohen_interval": pair.kappa_interval,
                "confusion": pair.confusion.tolist(),
            }
            for pair in found.pairs
        ],
    }


def summary_lines(found: Agreement) -> Iterator[str]:
    """Yield the agreement of all readers in sentences."""
    most = found.cells - found.unanimous - found.tied
    yield (
        f"{quantity(found.cells, 'cell')} with several readings: all readers agree on {found.unanimous:,} "
        f"({percent(found.unanimous / found.cells)}), most on {most:,}; on {found.tied:,} no label leads"
    )
    if found.single:
        yield f"{quantity(found.single, 'cell')} with a single reading left out"
    yield f"Fleiss' kappa {kappa_words(found.fleiss, found.fleiss_interval)}"
    if found.groups < LEAST_GROUPS:
        yield (
            f"the cells are of {quantity(found.groups, 'group')}, and how groups differ shows from "
            f"{LEAST_GROUPS} on: there are no intervals"
        )


def kappa_words(kappa: float | None, interval: Interval | None) -> str:
    """Return a kappa with its interval; without one label that differs it is undefined."""
    return UNDEFINED if kappa is None else score_words(kappa, interval)


def pair_words(pair: Pair) -> tuple[str, ...]:
    """Return the fields of a pair's row: readers, cells, agreed, kappa."""
    agreed = score_words(pair.agreed, pair.agreed_interval) if pair.cells else UNDEFINED
    return (
        f"{pair.first}, {pair.second}",
        f"{pair.cells:,}",
        agreed,
        kappa_words(pair.kappa, pair.kappa_interval),
    )


def matrices(found: Agreement) -> tuple[Sequence[Pair], str]:
    """Return the pairs whose confusion matrices are shown, and a sentence on the others, or none."""
    with_cells = [pair for pair in found.pairs if pair.cells]
    shown = with_cells[: max(1, MATRIX_FIELDS // len(found.labels) ** 2)]
    left = len(with_cells) - len(shown)
    return shown, f"the confusion matrices of {quantity(left, 'more pair')} are in --json" if left else ""


PAIR_HEADER = ("Readers", "Cells", "Agree", "Cohen's kappa")


def write_agreement(
    out: Path, data: str, found: Agreement, read: Sequence[Mapping[str, str]], files: Sequence[Path | str]
) -> None:
    """Write both files.

    Parameters
    ----------
    read : sequence of mappings
        The readings of every cell by reader.
    files : sequence of Path or str
        Crop of every cell; a str names a cell without one.
    """
    write_atomically(out / "differences.csv", _differences(found, read, files).encode())
    write_atomically(out / "agreement.html", _page(data, found, read, files).encode())


def _differences(found: Agreement, read: Sequence[Mapping[str, str]], files: Sequence[Path | str]) -> str:
    rows = [
        (files[k], *(read[k].get(name, "") for name in found.readers), majority(read[k].values()) or "")
        for k in found.differing
    ]
    return table_text(("cell", *found.readers, "majority"), rows)


def _page(data: str, found: Agreement, read: Sequence[Mapping[str, str]], files: Sequence[Path | str]) -> str:
    lines = "".join(paragraph(f"{line[0].upper()}{line[1:]}.") for line in summary_lines(found))
    sections = [("Agreement", lines + table(PAIR_HEADER, map(pair_words, found.pairs)))]
    shown, others = matrices(found)
    for pair in shown:
        rows = zip(found.labels, pair.confusion.tolist(), strict=True)
        body = table((f"{pair.first} ↓ {pair.second} →", *found.labels), [(one, *row) for one, row in rows])
        sections.append((f"{pair.first} and {pair.second}", body))
    if others:
        sections.append(("Other pairs", paragraph(f"{others[0].upper()}{others[1:]}.")))
    sections.append(("Cells on which they differ", _pictures(found, read, files)))
    sections.append(("How it was measured", paragraph(METHODS)))
    return page_shell(f"{percent(found.unanimous / found.cells)} unanimous", data, starmap(section, sections))


def _pictures(found: Agreement, read: Sequence[Mapping[str, str]], files: Sequence[Path | str]) -> str:
    """Show the cells by what each reader calls them, the commonest difference first."""
    if not found.differing:
        return paragraph("None.")
    alike: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for k in found.differing:
        alike[tuple(read[k].get(name, UNDEFINED) for name in found.readers)].append(k)
    body, left = paragraph(f"What {', '.join(found.readers)} call them, in this order.", small=True), SHOWN
    for labels, cells in sorted(alike.items(), key=lambda item: (-len(item[1]), item[0])):
        body += paragraph(f"{' · '.join(labels)}: {quantity(len(cells), 'cell')}")
        shown = [path for path in (files[k] for k in cells) if isinstance(path, Path)][:left]
        left -= len(shown)
        body += gallery([_picture(path) for path in shown], kind="gallery large") if shown else ""
    if left <= 0:
        body += paragraph(f"The first {SHOWN:,} are shown; all are in differences.csv.", small=True)
    return body


def _picture(path: Path) -> Picture:
    return Picture(encode_jpeg(square(read_grey(path), CROP_PX), quality=85), path.stem, str(path))
