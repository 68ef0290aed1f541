"""A count's folder, filled while frames are counted; memory does not grow with their number."""

from __future__ import annotations

import hashlib
import re
from bisect import insort
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from operator import itemgetter
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from edge.base import REPLACE, sole_writer, write_atomically
from edge.classify import REJECTED
from edge.count import CountedFrame, CountResult
from edge.model import Manifest
from edge.report.annotated import annotate
from edge.report.files import write_cells, write_cells_header, write_summary
from edge.report.page import GALLERY_CELLS, LEAST_SURE_CELLS, PAGE_FRAMES, page
from edge.report.shell import Picture, encode_jpeg

THUMBNAIL_PX = 800
"""Longest side of an annotated frame on the page."""

SHOWN_PROBABILITY = 0.005
"""Least probability of a second label that stands under a cell: smaller ones are 0.00 there."""

_ANNOTATED_NAME = re.compile(r"\d{5,}-[\w.-]*\.jpg", re.ASCII)


class _Sample:
    """The pictures with the smallest keys (bottom-k sampling); no others are made.

    Attributes
    ----------
    kept : list of (key, int, Picture)
        The smallest key first; the number is the position in the count.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.kept: list[tuple[Any, int, Picture]] = []

    def offer(self, key: Any, position: int, make: Callable[[], Picture]) -> None:
        """Take a picture if its key is among the smallest."""
        if len(self.kept) < self._size or (key, position) < self.kept[-1][:2]:
            insort(self.kept, (key, position, make()), key=lambda item: item[:2])
            del self.kept[self._size :]


class _Gallery:
    """Cells of one label: those whose label is least sure, and some of the others at random."""

    def __init__(self) -> None:
        self._least_sure, self._random = _Sample(LEAST_SURE_CELLS), _Sample(GALLERY_CELLS)

    def offer(self, counted: CountedFrame, k: int, labels: Sequence[str], position: int) -> None:
        """Take a cell of a frame, if it is among the least sure ones or happens to be drawn."""
        cell, probability = counted.cells[k], float(counted.probabilities[k].max())
        box = f"{cell.x} {cell.y} {cell.width} {cell.height}"
        key = hashlib.sha256(f"{counted.sha256} {box}".encode()).hexdigest()
        self._least_sure.offer(probability, position, lambda: _cell(counted, k, labels))
        self._random.offer((key, probability), position, lambda: _cell(counted, k, labels))

    def pictures(self) -> list[Picture]:
        """Return the pictures, the least sure first."""
        chosen = {position: (sure, picture) for sure, position, picture in self._least_sure.kept}
        for (_, sure), position, picture in self._random.kept:
            if len(chosen) < GALLERY_CELLS:
                chosen.setdefault(position, (sure, picture))
        order = sorted(chosen, key=lambda position: (chosen[position][0], position))
        return [chosen[position][1] for position in order]


class ReportWriter:
    """Writes cells and annotated frames one by one, the summary and the page at the end.

    The folder holds ``cells.csv``, ``annotated/``, ``summary.json`` and ``report.html``. With `replace`,
    those of an earlier count are replaced; its summary and page go first, so that an interrupted count never
    looks finished. A context manager: however it ends, the cells up to then are in ``cells.csv``, unless the
    disk refused: then nothing remains in the way of the next attempt, and nothing more is taken.

    The page shows a fixed number of cells per label and of frames: half of the cells are the least sure ones,
    the others and the frames those whose content has the smallest hashes, a random sample that is the same on
    every machine and in any order.

    With `each_once`, cells have track ids.

    Raises
    ------
    ValueError
        If the folder holds a count and `replace` is not set, another count is being written there, or its
        ``annotated`` is a link.
    OSError
        If the folder cannot be written; so do all methods.
    """

    def __init__(
        self,
        directory: Path,
        manifest: Manifest,
        *,
        replace: bool = False,
        each_once: bool = False,
        pixel_um: float | None = None,
    ) -> None:
        self._directory = directory
        self._labels, self._pixel_um = manifest.labels, pixel_um
        self._annotated = directory / "annotated"
        with ExitStack() as held:
            # of two counts into one folder, the second is refused
            held.enter_context(sole_writer(directory))
            if self._annotated.is_symlink():  # what is cleared and written there would be somewhere else
                raise ValueError(f"{self._annotated} is a link: remove it, or name another folder")
            self._annotated.mkdir(exist_ok=True)
            if replace:
                (directory / "cells.csv").unlink(missing_ok=True)
            try:  # exclusive: also where a file system has no locks
                self._csv = (directory / "cells.csv").open("x", encoding="utf-8", newline="")
            except FileExistsError:
                raise ValueError(f"{directory} holds a count; {REPLACE}") from None
            self._clear()
            self._held = held.pop_all()
        self._galleries = {label: _Gallery() for label in (*manifest.labels, REJECTED)}
        self._frames = _Sample(PAGE_FRAMES)
        self._cells = 0
        self._written = False
        write_cells_header(self._csv, manifest.labels, each_once=each_once)

    def __enter__(self) -> ReportWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._written:
            self._discard()
        with suppress(OSError):  # a full disk refuses again
            self._csv.close()
        self._held.close()

    def _discard(self) -> None:
        """Leave nothing in the way of the next attempt, or of a session on the same full disk."""
        with suppress(OSError):  # closes the file all the same
            self._csv.close()
        with suppress(OSError):  # a disk that has become read-only
            self._clear()
            (self._directory / "cells.csv").unlink(missing_ok=True)
            self._annotated.rmdir()

    def _clear(self) -> None:
        """Remove all but the table of cells."""
        for name in ("summary.json", "report.html"):
            (self._directory / name).unlink(missing_ok=True)
        for path in self._annotated.iterdir():
            if _ANNOTATED_NAME.fullmatch(path.name):
                path.unlink()

    def draw(self, counted: CountedFrame) -> bytes:
        """Draw a frame with its cells, for `add`: the slow part, for any thread."""
        return encode_jpeg(annotate(counted, self._labels), quality=85)

    def add(self, counted: CountedFrame, drawn: bytes) -> None:
        """Write a frame's cells, and the picture from `draw`."""
        with self._disk():
            self._written = True
            write_cells(self._csv, counted, self._pixel_um)
            frame = counted.frame
            stem = re.sub(r"[^\w.-]+", "-", frame.name.rsplit("/", 1)[-1], flags=re.ASCII)[-100:]
            file = f"{frame.index:05d}-{stem}.jpg"
            (self._annotated / file).write_bytes(drawn)
            self._frames.offer(counted.sha256, frame.index, lambda: self._thumbnail(counted, file))
            for k, decision in enumerate(counted.decisions):
                self._galleries[decision.label].offer(counted, k, self._labels, self._cells + k)
            self._cells += len(counted.cells)

    def finish(self, result: CountResult) -> Path:
        """Write the page and, last, the summary; return the page's path."""
        with self._disk():
            self._csv.close()
            galleries = {label: gallery.pictures() for label, gallery in self._galleries.items()}
            frames = [picture for *_, picture in sorted(self._frames.kept, key=itemgetter(1))]
            path = self._directory / "report.html"
            html = page(result, galleries, frames)
            write_atomically(path, html.encode("utf-8", "backslashreplace"))
            write_summary(self._directory / "summary.json", result)
            return path

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Discard a report that the disk refused, and name the folder: a full disk names no file."""
        try:
            yield
        except OSError as error:
            self._discard()
            raise OSError(error.errno, error.strerror, str(self._directory)) from error

    def _thumbnail(self, counted: CountedFrame, file: str) -> Picture:
        name = counted.frame.name
        drawn = annotate(counted, self._labels, THUMBNAIL_PX)
        return Picture(
            encode_jpeg(drawn, quality=75), name.rsplit("/", 1)[-1], origin=name, file=f"annotated/{file}"
        )


def _cell(counted: CountedFrame, k: int, labels: Sequence[str]) -> Picture:
    """Return a cell's picture; its caption says how sure the label is, what else it may be, why rejected."""
    cell, decision, row = counted.cells[k], counted.decisions[k], counted.probabilities[k]
    likeliest, *others = np.argsort(-row, kind="stable")[:2]
    why = decision.rejected_by.replace("_", " ")
    lines = [f"{labels[likeliest]}? {row[likeliest]:.2f}" if why else f"{row[likeliest]:.2f}"]
    lines += [f"{labels[other]} {row[other]:.2f}" for other in others if row[other] >= SHOWN_PROBABILITY]
    origin = f"{counted.frame.name}, x {cell.x}, y {cell.y}"
    return Picture(encode_jpeg(counted.crops[k], quality=80), "\n".join(filter(None, (*lines, why))), origin)
