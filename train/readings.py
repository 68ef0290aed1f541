"""Several readings of one cell: its label, and those in the columns reader1, reader2 and so on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TypeVar

from edge.base import label_problem
from train.table import READER, Box, LabelledCrop

LABEL = "label"
"""Column of the first reading."""

Read = TypeVar("Read", Box, LabelledCrop)


def reader_columns(columns: Iterable[str]) -> list[str]:
    """Return the columns of further readers, by their number."""
    found = {name for name in columns if READER.fullmatch(name)}
    return sorted(found, key=lambda name: int(name.removeprefix("reader")))


def readings(row: Read) -> dict[str, str]:
    """Return what each reader calls a cell, by column, the label first; an empty field is no reading."""
    further = {name: row.others[name].strip() for name in reader_columns(row.others)}
    return {LABEL: row.label} | {name: text for name, text in further.items() if text}


def majority(read: Iterable[str]) -> str | None:
    """Return the label that more readers give than any other; None if two lead."""
    (first, most), *others = Counter(read).most_common(2)
    return None if others and others[0][1] == most else first


def renamed(row: Read, names: Mapping[str, str]) -> Read:
    """Return a row with its label and further readings renamed; raises ValueError if one names no class."""
    own = {name: names.get(text, text) for name, text in readings(row).items()}
    for name, text in own.items():
        if problem := label_problem(text):
            raise ValueError(problem if name == LABEL else f"{name}: {problem}")
    return replace(row, label=own.pop(LABEL), others={**row.others, **own})
