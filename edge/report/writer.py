"""A count's folder, filled while frames are counted; memory does not grow with their number."""

from __future__ import annotations

import hashlib
import re
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

from edge.base import write_atomically
from edge.classify import REJECTED
from edge.count import CountedFrame, CountResult
from edge.model import Manifest
from edge.report.annotated import annotate
from edge.report.files import write_cells, write_cells_header, write_summary
from edge.report.page import GALLERY_CELLS, PAGE_FRAMES, page
from edge.report.shell import Picture, encode_jpeg

THUMBNAIL_PX = 800
"""Longest side of an annotated frame on the page."""

_ANNOTATED_NAME = re.compile(r"\d{5,}-[\w.-]*\.jpg", re.ASCII)


class _Sample:
    """The pictures with the smallest keys (bottom-k sampling); no others are made."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._kept: list[tuple[str, int, Picture]] = []  # key, position in the count, by key

    def offer(self, key: str, position: int, make: Callable[[], Picture]) -> None:
        """Take a picture if its key is among the smallest."""
        if len(self._kept) < self._size or (key, position) < self._kept[-1][:2]:
            insort(self._kept, (key, position, make()), key=lambda item: item[:2])
            del self._kept[self._size :]

    def in_order(self) -> list[Picture]:
        """Return the pictures in the order of the count."""
        return [picture for _, _, picture in sorted(self._kept, key=lambda item: item[1])]


class ReportWriter:
    """Writes cells and annotated frames one by one, the summary and the page at the end.

    The folder holds ``cells.csv``, ``annotated/``, ``summary.json`` and ``report.html``. With `replace`,
    those of an earlier count are replaced; its summary and page go first, so that an interrupted count never
    looks finished. A context manager: however it ends, the cells up to then are in ``cells.csv``, unless the
    disk refused: then nothing remains in the way of the next attempt, and nothing more is taken.

    The page shows a fixed number of cells per label and of frames: those whose content has the smallest
    hashes, a random sample that is the same on every machine and in any order.

    With `each_once`, cells have track ids.

    Raises
    ------
    ValueError
        If the folder holds a count and `replace` is not set.
    OSError
        If the folder cannot be written; so do all methods.
    """

    def __init__(
        self, directory: Path, manifest: Manifest, *, replace: bool = False, each_once: bool = False
    ) -> None:
        self._directory = directory
        self._labels = manifest.labels
        self._annotated = directory / "annotated"
        self._annotated.mkdir(parents=True, exist_ok=True)
        if replace:
            (directory / "cells.csv").unlink(missing_ok=True)
        try:  # exclusive: of two counts into one folder, one is refused
            self._csv = (directory / "cells.csv").open("x", encoding="utf-8", newline="")
        except FileExistsError:
            raise ValueError(
                f"{directory} already holds a count: choose another --out, or pass --force to replace it"
            ) from None
        self._clear()
        self._galleries = {label: _Sample(GALLERY_CELLS) for label in (*manifest.labels, REJECTED)}
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
            write_cells(self._csv, counted)
            frame = counted.frame
            stem = re.sub(r"[^\w.-]+", "-", frame.name.rsplit("/", 1)[-1], flags=re.ASCII)[-100:]
            file = f"{frame.index:05d}-{stem}.jpg"
            (self._annotated / file).write_bytes(drawn)
            self._frames.offer(counted.sha256, frame.index, lambda: self._thumbnail(counted, file))
            for k, (cell, decision) in enumerate(zip(counted.cells, counted.decisions, strict=True)):
                box = f"{cell.x} {cell.y} {cell.width} {cell.height}"
                key = hashlib.sha256(f"{counted.sha256} {box}".encode()).hexdigest()
                sample = self._galleries[decision.label]
                sample.offer(key, self._cells + k, lambda k=k: _cell(counted, k))  # type: ignore[misc]
            self._cells += len(counted.cells)

    def finish(self, result: CountResult) -> Path:
        """Write the page and, last, the summary; return the page's path."""
        with self._disk():
            self._csv.close()
            galleries = {label: sample.in_order() for label, sample in self._galleries.items()}
            path = self._directory / "report.html"
            html = page(result, galleries, self._frames.in_order())
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


def _cell(counted: CountedFrame, k: int) -> Picture:
    cell, decision = counted.cells[k], counted.decisions[k]
    caption = f"{counted.probabilities[k].max():.2f}"
    if decision.rejected_by:
        caption = f"{decision.likeliest}? {caption}, {decision.rejected_by.replace('_', ' ')}"
    origin = f"{counted.frame.name}, x {cell.x}, y {cell.y}"
    return Picture(encode_jpeg(counted.crops[k], quality=80), caption, origin)
