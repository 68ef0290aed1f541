"""A count's folder, filled while frames are counted; memory does not grow with their number."""

from __future__ import annotations

import hashlib
import re
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import write_atomically
from edge.classify import REJECTED
from edge.count import CountedFrame, CountResult
from edge.model import Manifest
from edge.report.annotated import annotate
from edge.report.files import write_cells, write_cells_header, write_summary
from edge.report.page import GALLERY_CELLS, PAGE_FRAMES, Picture, page

THUMBNAIL_PX = 800
"""Longest side of an annotated frame on the page."""

_ANNOTATED_NAME = re.compile(r"\d{5,}-[\w.-]*\.jpg", re.ASCII)

_Sample = list[tuple[str, int, Picture]]  # (key, position in the run, picture), by key


class ReportWriter:
    """Writes cells and annotated frames one by one, the summary and the page at the end.

    The folder holds ``cells.csv``, ``annotated/``, ``summary.json`` and ``report.html``. Those of an earlier
    count are replaced if that is asked for; its summary and page go first, so that a count cut short never
    looks finished. A context manager: however it ends, the cells up to then are in ``cells.csv``, unless the
    disk refused: then nothing stays that would be in the way of the next try, and nothing more is taken.

    The page shows a fixed number of cells a label and of frames: those whose content has the smallest hashes,
    a random sample that is the same on every machine and whatever the order.

    Parameters
    ----------
    directory : made if it does not exist
    manifest : of the bundle that counts
    replace : whether an earlier count there gives way
    each_once : cells have track_ids

    Raises
    ------
    ValueError
        If the folder holds a count that is not to be replaced.
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
                f"{directory} already holds a count: take another --out, or --force to replace it"
            ) from None
        self._clear()
        self._galleries: dict[str, _Sample] = {label: [] for label in (*manifest.labels, REJECTED)}
        self._frames: _Sample = []
        self._cells = 0
        self._written = False
        write_cells_header(self._csv, each_once=each_once)

    def __enter__(self) -> ReportWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self._written:
            self._discard()
        with suppress(OSError):  # a full disk refuses once more
            self._csv.close()

    def _discard(self) -> None:
        """Leave nothing that would be in the way of the next try, or of a session on the same full disk."""
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
        """Draw one frame's result, for `add`: the slow part, for any thread."""
        return _jpeg(annotate(counted, self._labels), quality=85)

    def add(self, counted: CountedFrame, drawn: bytes) -> None:
        """Take one frame's result, and the picture that `draw` made of it."""
        with self._disk():
            self._add(counted, drawn)

    def finish(self, run: CountResult) -> Path:
        """Write the page and, last of all, the summary; return the page's path."""
        with self._disk():
            return self._finish(run)

    @contextmanager
    def _disk(self) -> Iterator[None]:
        """Give up a report that the disk refused, and name the folder: a full one names no file."""
        try:
            yield
        except OSError as error:
            self._discard()
            raise OSError(error.errno, error.strerror, str(self._directory)) from error

    def _add(self, counted: CountedFrame, drawn: bytes) -> None:
        self._written = True
        write_cells(self._csv, counted)
        frame = counted.frame
        stem = re.sub(r"[^\w.-]+", "-", frame.name.rsplit("/", 1)[-1], flags=re.ASCII)[-100:]
        file = f"{frame.index:05d}-{stem}.jpg"
        (self._annotated / file).write_bytes(drawn)
        _offer(
            self._frames,
            PAGE_FRAMES,
            counted.sha256,
            frame.index,
            lambda: _thumbnail(counted, self._labels, file),
        )
        for k, (cell, decision) in enumerate(zip(counted.cells, counted.decisions, strict=True)):
            key = hashlib.sha256(f"{counted.sha256} {cell.x} {cell.y} {cell.width} {cell.height}".encode())
            _offer(
                self._galleries[decision.label],
                GALLERY_CELLS,
                key.hexdigest(),
                self._cells + k,
                lambda k=k: _cell_picture(counted, k, self._labels),  # type: ignore[misc]
            )
        self._cells += len(counted.cells)

    def _finish(self, run: CountResult) -> Path:
        self._csv.close()
        galleries = {label: _in_order(sample) for label, sample in self._galleries.items()}
        path = self._directory / "report.html"
        write_atomically(
            path, page(run, galleries, _in_order(self._frames)).encode("utf-8", "backslashreplace")
        )
        write_summary(self._directory / "summary.json", run)
        return path


def _offer(sample: _Sample, size: int, key: str, position: int, make: Callable[[], Picture]) -> None:
    """Keep the pictures of the smallest keys, and make only those (bottom-k sampling)."""
    if len(sample) < size or (key, position) < sample[-1][:2]:
        insort(sample, (key, position, make()), key=lambda item: item[:2])
        del sample[size:]


def _in_order(sample: _Sample) -> list[Picture]:
    return [picture for _, _, picture in sorted(sample, key=lambda item: item[1])]


def _cell_picture(counted: CountedFrame, k: int, labels: tuple[str, ...]) -> Picture:
    row = counted.probabilities[k]
    best = int(row.argmax())
    caption = f"{row[best]:.2f}"
    if reason := counted.decisions[k].rejected_by:
        caption = f"{labels[best]}? {caption}, {reason.replace('_', ' ')}"
    cell = counted.cells[k]
    return Picture(
        _jpeg(counted.crops[k], quality=80), caption, f"{counted.frame.name}, x {cell.x}, y {cell.y}"
    )


def _thumbnail(counted: CountedFrame, labels: tuple[str, ...], file: str) -> Picture:
    name = counted.frame.name
    drawn = annotate(counted, labels, THUMBNAIL_PX)
    return Picture(_jpeg(drawn, quality=75), name.rsplit("/", 1)[-1], name, f"annotated/{file}")


def _jpeg(image: NDArray[np.uint8], quality: int) -> bytes:
    # without chroma subsampling, which would wash out thin coloured lines
    sampling = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality, *sampling])[1].tobytes()
