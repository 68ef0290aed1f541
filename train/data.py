"""Labelled crops on disk: class folders or a CSV table, and the leak-free split."""

from __future__ import annotations

import csv
import hashlib
import math
import posixpath
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Frame
from edge.capture import read_frames
from edge.find import SCALE_TOLERANCE

CELLS_CSV = "cells.csv"
"""Table (path,label,group) that speaks for the folder it lies in."""

BACKGROUNDS = "backgrounds"
"""Folder beside the table, or among the class folders, of crops that hold no cell."""

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled single-cell crops.

    Attributes
    ----------
    crops : uint8 [n, size, size], grey
    truth : int64 [n], indices into `labels`
    labels : class names in the order of a network's outputs
    names : file of each crop, relative to the folder or table it was read from
    groups : what a crop must not be parted from (its frame or patient); its own name where nothing is known
    pixel_um : side of a pixel of `crops` in the specimen, or None where the data does not say
    backgrounds : uint8 [m, size, size], crops without a cell that training may lay others over; m may be 0
    """

    crops: NDArray[np.uint8]
    truth: NDArray[np.int64]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    pixel_um: float | None = None
    backgrounds: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1, 1), np.uint8))

    @property
    def sha256(self) -> str:
        """SHA-256 over labels, truth, groups, pixels and backgrounds, in order."""
        digest = hashlib.sha256("\0".join((*self.labels, "", *self.groups)).encode())
        digest.update(self.truth.astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(self.crops).data)
        digest.update(np.ascontiguousarray(self.backgrounds).tobytes())
        return digest.hexdigest()

    def counts(self) -> dict[str, int]:
        """Crops a label, in label order."""
        found = np.bincount(self.truth, minlength=len(self.labels))
        return {label: int(n) for label, n in zip(self.labels, found, strict=True)}

    def take(self, indices: NDArray[np.int64]) -> Dataset:
        """Return the crops of these indices, in this order."""
        return replace(
            self,
            crops=self.crops[indices],
            truth=self.truth[indices],
            names=tuple(self.names[i] for i in indices),
            groups=tuple(self.groups[i] for i in indices),
        )


@dataclass(frozen=True)
class Row:
    """One crop as a listing names it.

    Attributes
    ----------
    name : its file, relative to the listing's folder
    label : its class
    group : what it must not be parted from; empty where nothing is known
    pixel_um : side of a pixel of the file, or None where the listing does not say
    """

    name: str
    label: str
    group: str
    pixel_um: float | None = None


@dataclass(frozen=True)
class Listing:
    """What a folder of class folders, or a CSV, names before any image is opened.

    Attributes
    ----------
    root : folder that the rows' files are relative to
    rows : the crops, in order
    problems : what keeps the set from being read whole, a line each
    """

    root: Path
    rows: tuple[Row, ...]
    problems: tuple[str, ...]


def list_data(path: str | Path) -> Listing:
    """List labelled crops and everything that is wrong with the list itself; images stay unopened.

    Parameters
    ----------
    path
        See `read_data`.

    Raises
    ------
    ValueError
        If `path` is a table that cannot be read as one.
    OSError
        If `path` cannot be read.
    """
    path = Path(path)
    table = path / CELLS_CSV if path.is_dir() else path
    rows, problems = _table(table) if table.is_file() else _folders(path)
    if not rows and not problems:
        problems = ["no images found"]
    return Listing(table.parent, tuple(rows), tuple(problems))


def read_data(path: str | Path, labels: Sequence[str] | None = None, size_px: int = 200) -> Dataset:
    """Read labelled crops as grey squares.

    An image of another size is rescaled so that its short side is `size_px`, then cut to its central square.

    Parameters
    ----------
    path
        A CSV with the columns ``path,label`` and optionally ``group`` and ``pixel_um``, its paths relative to
        it; or a folder of class folders, read through its ``cells.csv`` where it has one. ``pixel_um`` is of
        the files as they are; the set's follows the rescaling.
    labels
        Class names in the wanted order; classes without a crop are allowed then. By default the labels found,
        sorted.
    size_px
        Side of the crops, px.

    Raises
    ------
    ValueError
        On a missing column, a file listed twice, an unknown or unprintable label, an empty class, unreadable
        images or ones of 16 bits of which no more than 12 are in use, pixel sizes that differ once the
        images are rescaled, or no images at all.
    OSError
        If `path` cannot be read.
    """
    listing = list_data(path)
    if listing.problems:
        raise ValueError(f"{path}: {_first_of(listing.problems, 1)}")
    rows = listing.rows
    found = tuple(sorted({row.label for row in rows}))
    order = found if labels is None else tuple(labels)
    unknown = [label for label in found if label not in order]
    if unknown:
        raise ValueError(f"{path}: unknown label {', '.join(unknown)}; known are {', '.join(order)}")

    crops = np.empty((len(rows), size_px, size_px), np.uint8)
    unreadable = []
    short_sides: list[int] = []
    for row, crop in zip(rows, crops, strict=True):
        image = read_grey(listing.root / row.name)
        if isinstance(image, str):
            unreadable.append(f"{row.name} ({image})")
        else:
            crop[:] = square(image, size_px)
            short_sides.append(min(image.shape))
    if unreadable:
        raise ValueError(f"{path}: cannot read {_first_of(unreadable, 3)}")
    try:
        pixel_um = common_pixel_um(rows, short_sides, size_px)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None

    return Dataset(
        crops=crops,
        truth=np.array([order.index(row.label) for row in rows], np.int64),
        labels=order,
        names=tuple(row.name for row in rows),
        groups=tuple(row.group or row.name for row in rows),
        pixel_um=pixel_um,
        backgrounds=_backgrounds(listing.root / BACKGROUNDS, size_px),
    )


def _backgrounds(folder: Path, size_px: int) -> NDArray[np.uint8]:
    """Read the crops of a folder that may be absent: uint8 [m, size_px, size_px]."""
    files = sorted(p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    crops = np.empty((len(files), size_px, size_px), np.uint8)
    for file, crop in zip(files, crops, strict=True):
        image = read_grey(file)
        if isinstance(image, str):
            raise ValueError(f"{file}: {image}")
        crop[:] = square(image, size_px)
    return crops


def common_pixel_um(rows: Sequence[Row], short_sides_px: Sequence[int], size_px: int) -> float | None:
    """Give the one pixel size that crops have after their rescaling, or None where the rows do not say.

    Photographs without a known scale may be of any size; crops whose scale is known must keep it, since the
    device cuts cells out at one scale.

    Raises
    ------
    ValueError
        If only some rows say, or pixel sizes would differ by more than `edge.find.crops.SCALE_TOLERANCE`.
    """
    told = [row.pixel_um is not None for row in rows]
    if not any(told):
        return None
    if not all(told):
        raise ValueError(
            f"{rows[told.index(False)].name} has no pixel_um, others have: fill it in or drop it"
        )
    after = [(row.pixel_um or 0.0) * side / size_px for row, side in zip(rows, short_sides_px, strict=True)]
    low, high = min(after), max(after)
    if high > low * (1 + SCALE_TOLERANCE):
        raise ValueError(
            f"read at {size_px} px, crops have pixels of {low:.4g} to {high:.4g} µm: "
            "cut all crops to one side in µm"
        )
    return float(np.median(after))


def _first_of(lines: Sequence[str], shown: int) -> str:
    more = len(lines) - shown
    return ", ".join(lines[:shown]) + (f" and {more} more" if more > 0 else "")


def _table(path: Path) -> tuple[list[Row], list[str]]:
    """Rows of a CSV, and what is wrong with the others."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or ()
            missing = [name for name in ("path", "label") if name not in columns]
            if missing and ";" in "".join(columns):  # as spreadsheets write it where the comma is decimal
                raise ValueError(f"{path} uses ';' instead of ',': save it with commas between the columns")
            if missing:
                raise ValueError(
                    f"{path}: column {', '.join(missing)} is missing; needed are path,label,group"
                )
            records = [(reader.line_num, record) for record in reader]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a CSV file in UTF-8: save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}: not a CSV file ({error})") from error
    rows: list[Row] = []
    problems: list[str] = []
    lines: dict[str, int] = {}  # file → the line that names it
    for line, record in records:
        name, label, group, told = (record.get(key) or "" for key in ("path", "label", "group", "pixel_um"))
        pixel_um = _positive(told)
        first = lines.setdefault(posixpath.normpath(name), line)
        if not name or not label:
            problems.append(f"line {line} lacks a path or a label")
        elif odd := next((text for text in (name, label, group) if _is_odd(text)), None):
            problems.append(f"line {line}: {odd!r} has characters or outer blanks that no name should have")
        elif first != line:
            problems.append(f"line {line}: {name} is listed already in line {first}")
        elif told and pixel_um is None:
            problems.append(f"line {line}: pixel_um {told!r} is not a positive number")
        else:
            rows.append(Row(name, label, group, pixel_um))
    return rows, problems


def _folders(path: Path) -> tuple[list[Row], list[str]]:
    """Rows of a folder of class folders, and what is wrong with the others."""
    rows: list[Row] = []
    problems: list[str] = []
    folders = (p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    for folder in sorted(p for p in folders if p.name != BACKGROUNDS):
        names = _images_in(folder)
        if _is_odd(folder.name):
            problems.append(f"class {folder.name!r} has characters or outer blanks that no name should have")
        elif not names:
            problems.append(f"class {folder.name} has no images")
        for name in names:
            if _is_odd(name):
                problems.append(
                    f"{folder.name}: {name!r} has characters or outer blanks that no name should have"
                )
            elif not _is_odd(folder.name):
                rows.append(Row(f"{folder.name}/{name}", folder.name, ""))
    if not rows and (loose := len(_images_in(path))):
        images = "1 image lies" if loose == 1 else f"{loose:,} images lie"
        problems.append(f"{images} in the folder itself: put them into one folder a class")
    return rows, problems


def _images_in(folder: Path) -> list[str]:
    """Names of the images in a folder, sorted; hidden ones are none."""
    files = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(p.name for p in files if not p.name.startswith("."))


def _is_odd(text: str) -> bool:
    """Tell names that no table could hold: control characters, bytes that are no text, outer blanks."""
    return text != text.strip() or any(unicodedata.category(letter) in ("Cc", "Cs") for letter in text)


def _positive(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if 0 < number < math.inf else None


def read_grey(path: Path) -> NDArray[np.uint8] | str:
    """Return the image as uint8 [h, w], or the reason why there is none.

    Samples of 16 bits are divided by 257. Camera counts of 12 bits stored unscaled in 16 would come out
    black that way, and quietly so in a set of mixed depths: they are refused.
    """
    frame = next(read_frames([path], max_megapixels=16))
    if not isinstance(frame, Frame):
        return frame.reason
    darkest_full_scale = (2**12 - 1) / 257
    if frame.image.max() <= math.ceil(darkest_full_scale) and sample_bits(path.read_bytes()) == 16:
        return "16-bit samples of which at most 12 bits are in use: scale them to 16 or save 8 bits"
    return frame.image


def sample_bits(file: bytes) -> int:
    """Bits a sample, 8 or 16, of an image file that can be read."""
    image = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_UNCHANGED)
    return 16 if image is not None and image.dtype == np.uint16 else 8


def square(image: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
    """Rescale so that the short side is `size_px`, then cut the central square."""
    height, width = image.shape
    scale = size_px / min(height, width)
    if scale != 1.0:
        width, height = round(width * scale), round(height * scale)
        method = cv2.INTER_AREA if scale < 1.0 else cv2.INTER_LINEAR
        image = cv2.resize(image, (width, height), interpolation=method).astype(np.uint8, copy=False)
    top, left = (height - size_px) // 2, (width - size_px) // 2
    return image[top : top + size_px, left : left + size_px]


def split(dataset: Dataset, fraction: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Part a dataset into training and validation, before any augmentation, without leaks.

    No group is ever parted. Groups join the validation set in random order while that brings its share of
    every class nearer to `fraction`; where every crop is its own group, that is the usual stratified split.

    Parameters
    ----------
    dataset
        Crops to part; both parts keep their order.
    fraction
        Wanted share of each class in the validation set, 0 to 1 exclusive.
    seed
        Of the random order.

    Raises
    ------
    ValueError
        If a class has a single crop, a part would be empty, or a class would be without training crops.
    """
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(dataset.groups):
        members[group].append(index)
    size = np.bincount(dataset.truth, minlength=len(dataset.labels))
    single = [label for label, n in dataset.counts().items() if n == 1]
    if single:
        raise ValueError(
            f"class {', '.join(single)} has a single image, which cannot be split: add images, "
            "or validate on a set of their own"
        )
    missing = np.full(len(size), fraction)  # share of each class that the validation set still lacks
    chosen: list[int] = []
    names = list(members)
    for position in np.random.default_rng(seed).permutation(len(names)):
        indices = members[names[position]]
        gain = np.bincount(dataset.truth[indices], minlength=len(size)) / np.maximum(size, 1)
        if np.sum((missing - gain) ** 2) < np.sum(missing**2):
            missing = missing - gain
            chosen += indices

    validation = np.zeros(len(dataset.truth), bool)
    validation[chosen] = True
    left = Counter(dataset.truth[~validation].tolist())
    bare = [label for k, label in enumerate(dataset.labels) if size[k] and not left[k]]
    if bare:
        raise ValueError(f"no crops of {', '.join(bare)} are left to train on; give more groups")
    if not chosen:
        raise ValueError(f"no group is small enough to validate on {fraction:.0%} of the crops")
    return dataset.take(np.flatnonzero(~validation)), dataset.take(np.flatnonzero(validation))


def split_sha256(training: Dataset, validation: Dataset | None) -> str:
    """SHA-256 of a split: which file of which label and group is in which part, in order."""
    digest = hashlib.sha256()
    for part, dataset in (("training", training), ("validation", validation)):
        if dataset is not None:
            for name, k, group in zip(dataset.names, dataset.truth, dataset.groups, strict=True):
                digest.update("\0".join((part, name, dataset.labels[k], group, "")).encode())
    return digest.hexdigest()
