"""The crops of a session as PNG files, in one folder or in one per label, with tables that training reads."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from edge.base import ANOTHER_NAME, csv_writer, partial_path
from edge.report.files import CELL_COLUMNS, cell_values, probability_columns
from edge.session import FrameRecord, SessionError, StoredSession

CROPS, CLASSES = "crops", "classes"
"""Folders of the crops in one, and of the class folders."""

CROPS_CSV, REJECTED_CSV, CLASSES_CSV = "crops.csv", "rejected.csv", "cells.csv"

CROP_COLUMNS = ("path", "label", "group", "pixel_um", "frame_index", "track_id")
"""Of the tables of crops, the first four as training reads them; those of a report's ``cells.csv`` follow,
``label`` left out."""

_NAME = re.compile(r"\d{6,}-\d{4,}\.png|" + "|".join(map(re.escape, (CROPS_CSV, REJECTED_CSV, CLASSES_CSV))))


def check_crops(session: StoredSession) -> None:
    """Raise a `SessionError` if a session has no crops."""
    if not any(cell.crop_png for frame in session.frames(crops=True) for cell in frame.cells):
        raise SessionError(f"{session.id}: no crops were kept: count again with --keep-crops")


def write_crops(session: StoredSession, out: Path, *, by_class: bool) -> list[Path]:
    """Write the crops of a session into `out`, which appears complete or not at all; return the tables.

    They are listed in ``crops.csv``, the rejected ones without a label in ``rejected.csv``. With `by_class`,
    each crop lies in the folder of its label and is listed in ``cells.csv``; rejected ones are left out.
    Names sort in the order of the count.
    """
    header = session.header
    columns = (*CROP_COLUMNS, *_of_cells(CELL_COLUMNS), *probability_columns(header.labels))
    names = (CLASSES_CSV,) if by_class else (CROPS_CSV, REJECTED_CSV)
    with _replaced_folder(out) as folder, ExitStack() as stack:
        tables = []
        for name in names:
            file = stack.enter_context(
                (folder / name).open("w", encoding="utf-8", errors="backslashreplace", newline="")
            )
            tables.append(csv_writer(file))
            tables[-1](columns)
        for frame in session.frames(crops=True):
            for k, cell in enumerate(frame.cells):
                rejected = cell.decision.rejected_by != ""
                if cell.crop_png is None or (by_class and rejected):
                    continue
                name = f"{frame.index:06}-{k:04}.png"
                path = Path(cell.decision.label, name) if by_class else Path(name)
                (folder / path).parent.mkdir(exist_ok=True)
                (folder / path).write_bytes(cell.crop_png)
                tables[-1 if rejected else 0](_row(path.as_posix(), frame, k, header.crop_pixel_um))
    return [out / name for name in names]


def _row(path: str, frame: FrameRecord, k: int, pixel_um: float | None) -> tuple[object, ...]:
    cell = frame.cells[k]
    label = "" if cell.decision.rejected_by else cell.decision.label
    # training takes no control characters, which a file's name may hold
    group = "".join(letter if letter.isprintable() else "?" for letter in frame.name).strip()
    values = cell_values(frame.name, cell.cell, cell.decision, cell.probabilities)
    return (path, label, group, pixel_um, frame.index, cell.track_id, *_of_cells(values))


def _of_cells(values: Sequence[object]) -> tuple[object, ...]:
    """Return the values of a report's columns without ``label``."""
    at = CELL_COLUMNS.index("label")
    return (*values[:at], *values[at + 1 :])


@contextmanager
def _replaced_folder(out: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of `out`, absent or an earlier export, when the block ends."""
    part, old = partial_path(out), partial_path(out, ".old")
    part.mkdir()
    try:
        yield part
        if out.exists():
            for path in out.rglob("*"):
                if not path.is_dir() and not _NAME.fullmatch(path.name):
                    raise OSError(errno.EEXIST, f"no file of an export; {ANOTHER_NAME}", str(path))
            out.rename(old)
        part.rename(out)
    finally:
        if old.exists() and not out.exists():
            old.rename(out)
        shutil.rmtree(part, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
