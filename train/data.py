"""Labelled crops on disk: class folders or a CSV table, and the split that keeps groups together."""

from __future__ import annotations

import hashlib
import posixpath
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base import IMAGE_SUFFIXES, alike_labels, board, label_problem, quantity
from edge.find import SCALE_TOLERANCE
from train.images import CROP_PX, read_grey, square
from train.readings import majority, readings, renamed
from train.table import MOST_PROBLEMS, LabelledCrop, scan_table

CELLS_CSV = "cells.csv"
"""Table path,label,group that lists the crops of the folder it lies in."""

BACKGROUNDS = "backgrounds"
"""Folder of crops without a cell, beside the table or among the class folders."""

MOST_UNREADABLE = 1000
"""Images that cannot be read beyond which no other is tried."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Labelled single-cell crops.

    Attributes
    ----------
    crops : uint8 [n, size, size]
        Grey.
    truth : int64 [n]
        Indices into `labels`, which are in the order of a network's outputs; of a crop with several readings,
        the majority's.
    names : tuple of str
        File of each crop, relative to the folder or table that lists it.
    groups : tuple of str
        What must stay in one part of a split (a frame or patient); the crop's own name if unknown.
    pixel_um : float or None
        Side of a pixel of `crops` in the specimen.
    backgrounds : uint8 [m, size, size]
        Crops without a cell, over which training may lay others; m may be 0.
    readings : int64 [n, labels] or None
        How many readers give a crop each label; None if no crop has several readings.
    """

    crops: NDArray[np.uint8]
    truth: NDArray[np.int64]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    pixel_um: float | None = None
    backgrounds: NDArray[np.uint8] = field(default_factory=lambda: np.zeros((0, 1, 1), np.uint8))
    readings: NDArray[np.int64] | None = None

    @property
    def targets(self) -> NDArray[np.float32]:
        """What a network learns, float32 [n, labels]: the shares of the readings, or the one label."""
        if self.readings is None:
            return np.eye(len(self.labels), dtype=np.float32)[self.truth]
        shares: NDArray[np.float32] = np.float32(self.readings) / self.readings.sum(axis=1, keepdims=True)
        return shares.astype(np.float32)

    @property
    def tied(self) -> NDArray[np.bool_]:
        """Crops whose readers settle on no label, bool [n]; their truth is the first reading."""
        if self.readings is None:
            return np.zeros(len(self.truth), bool)
        leading = self.readings == self.readings.max(axis=1, keepdims=True)
        found: NDArray[np.bool_] = leading.sum(axis=1) > 1
        return found

    @property
    def sha256(self) -> str:
        """SHA-256 of labels, groups, truth, pixels, backgrounds and readings."""
        digest = hashlib.sha256("\0".join((*self.labels, "", *self.groups)).encode())
        digest.update(self.truth.astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(self.crops).data)
        digest.update(np.ascontiguousarray(self.backgrounds).tobytes())
        if self.readings is not None:
            digest.update(self.readings.astype("<i8").tobytes())
        return digest.hexdigest()

    def counts(self) -> dict[str, int]:
        """Return the number of crops per label, in label order."""
        found = np.bincount(self.truth, minlength=len(self.labels))
        return {label: int(n) for label, n in zip(self.labels, found, strict=True)}

    def group_members(self) -> list[list[int]]:
        """Return the indices of each group's crops, in the order of the first."""
        members: defaultdict[str, list[int]] = defaultdict(list)
        for index, group in enumerate(self.groups):
            members[group].append(index)
        return list(members.values())

    def take(self, indices: NDArray[np.int64]) -> Dataset:
        """Return the crops of these indices, in this order."""
        return replace(
            self,
            crops=self.crops[indices],
            truth=self.truth[indices],
            names=tuple(self.names[i] for i in indices),
            groups=tuple(self.groups[i] for i in indices),
            readings=None if self.readings is None else self.readings[indices],
        )

    def settled(self) -> Dataset:
        """Return the crops on whose label the readers settle: those that can be scored."""
        return self.take(np.flatnonzero(~self.tied)) if self.tied.any() else self


@dataclass(frozen=True)
class Listing:
    """Crops with files relative to `root`, and the problems of the list, one line each.

    A row's label is the majority's of its readings, and the first reading if two labels lead. `readings` has
    those of each row by column; it is empty if no row has several.
    """

    root: Path
    rows: tuple[LabelledCrop, ...]
    problems: tuple[str, ...]
    readings: tuple[dict[str, str], ...] = ()


def list_data(path: str | Path) -> Listing:
    """List labelled crops as `read_data` does, without opening images.

    Raises
    ------
    ValueError
        If `path` is a file but not a table.
    """
    path = Path(path)
    table = path / CELLS_CSV if path.is_dir() else path
    rows, problems = _listed_in_table(table) if table.is_file() else _listed_in_folders(path)
    if not rows and not problems:
        problems = ["no images found"]
    read = [readings(row) for row in rows]
    problems += alike_labels({label for one in read for label in one.values()})
    if max(map(len, read), default=0) < 2:
        return Listing(table.parent, tuple(rows), tuple(problems))
    rows = [
        replace(row, label=majority(one.values()) or row.label) for row, one in zip(rows, read, strict=True)
    ]
    return Listing(table.parent, tuple(rows), tuple(problems), tuple(read))


def _listed_in_table(path: Path) -> tuple[list[LabelledCrop], list[str]]:
    rows, problems = scan_table(path, LabelledCrop)
    lines: dict[str, int] = {}  # file → the line that lists it first
    scanned = len(problems)
    for line, row in list(rows.items()):
        if len(problems) - scanned == MOST_PROBLEMS:
            del rows[line]
            continue
        try:
            row = rows[line] = renamed(row, {})
        except ValueError as error:
            problems[line] = str(error)
            del rows[line]
            continue
        if "\\" in row.path and not (path.parent / row.path).exists():  # as Windows writes it
            row = rows[line] = replace(row, path=row.path.replace("\\", "/"))
        first = lines.setdefault(posixpath.normpath(row.path), line)
        if first != line:
            problems[line] = f"{row.path} is listed in line {first} already"
            del rows[line]
    found = [f"line {line}: {problem}" for line, problem in sorted(problems.items())]
    if MOST_PROBLEMS in (scanned, len(problems) - scanned):
        found.append(f"{len(problems):,} lines have problems: what follows was not read")
    return list(rows.values()), found


def _listed_in_folders(path: Path) -> tuple[list[LabelledCrop], list[str]]:
    rows: list[LabelledCrop] = []
    problems: list[str] = []
    folders = (p for p in path.iterdir() if p.is_dir() and not p.name.startswith("."))
    for folder in sorted(p for p in folders if p.name != BACKGROUNDS):
        if problem := label_problem(folder.name):
            problems.append(f"class folder: {problem}")
            continue
        files = _images_in(folder)
        if not files:
            problems.append(f"class {folder.name} has no images")
        for file in files:
            try:
                rows.append(LabelledCrop(path=f"{folder.name}/{file.name}", label=folder.name))
            except ValueError as error:
                problems.append(str(error))
    if not rows and (loose := len(_images_in(path))):
        images = quantity(loose, "image lies", "images lie")
        problems.append(f"{images} in the folder itself: put them into one folder per class")
    return rows, problems


def _images_in(folder: Path) -> list[Path]:
    """Return the images in a folder that are not hidden, by name; none if there is no folder."""
    files = (p for p in folder.glob("*") if p.suffix.lower() in IMAGE_SUFFIXES)
    return sorted(p for p in files if not p.name.startswith("."))


def read_data(path: str | Path, labels: Sequence[str] | None = None, size_px: int = CROP_PX) -> Dataset:
    """Read labelled crops as grey squares.

    An image of another size is rescaled so that its short side is `size_px`, then cut to its central square.

    Parameters
    ----------
    path : str or Path
        A CSV with the columns ``path,label`` and optionally ``group``, ``pixel_um`` and further readings
        (``reader1``, ``reader2``, …), its paths relative to it; or a folder of class folders, read through
        its ``cells.csv`` if there is one. ``pixel_um`` is that of the files; the set's follows the rescaling.
    labels : sequence of str, optional
        Class names in the wanted order; classes without crops are then allowed. By default the labels found,
        sorted.

    Raises
    ------
    ValueError
        If the list has a problem, a label is unknown, images are unreadable, or pixel sizes differ after the
        rescaling.
    """
    listing = list_data(path)
    if listing.problems:
        raise ValueError(f"{path}: {_first_of(listing.problems, 1)}")
    rows = listing.rows
    order = tuple(sorted({row.label for row in rows}) if labels is None else labels)
    if unknown := sorted(_read_labels(listing) - {*order}):
        raise ValueError(
            f"{path}: unknown label {', '.join(unknown)}; known are {', '.join(order)}: "
            "leuko crops --rename OLD=NEW gives crops other labels"
        )
    try:
        crops, short_sides = _read_squares(listing.root, [row.path for row in rows], size_px)
        pixel_um = common_pixel_um(rows, short_sides, size_px)
        empty = [f"{BACKGROUNDS}/{file.name}" for file in _images_in(listing.root / BACKGROUNDS)]
        backgrounds, _ = _read_squares(listing.root, empty, size_px)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    return Dataset(
        crops=crops,
        truth=np.array([order.index(row.label) for row in rows], np.int64),
        labels=order,
        names=tuple(row.path for row in rows),
        groups=tuple(row.group or row.path for row in rows),
        pixel_um=pixel_um,
        backgrounds=backgrounds,
        readings=_readings(listing, order),
    )


def _read_labels(listing: Listing) -> set[str]:
    """Return every label that a reader gave."""
    return {row.label for row in listing.rows} | {name for one in listing.readings for name in one.values()}


def _readings(listing: Listing, labels: Sequence[str]) -> NDArray[np.int64] | None:
    """Return how many readers give a crop each label, int64 [n, labels]; None if no crop has several."""
    if not listing.readings:
        return None
    return np.array([[[*one.values()].count(label) for label in labels] for one in listing.readings])


def _read_squares(root: Path, names: Sequence[str], size_px: int) -> tuple[NDArray[np.uint8], list[int]]:
    """Read images as squares uint8 [n, size_px, size_px], and the short sides that they have as files."""
    crops = _room_for(len(names), size_px)
    short_sides: list[int] = []
    unreadable: list[str] = []
    for name, crop in zip(names, crops, strict=True):
        try:
            image = read_grey(root / name)
        except ValueError as error:
            unreadable.append(f"{name} ({error})")
            if len(unreadable) == MOST_UNREADABLE:
                raise ValueError(f"cannot read {_first_of(unreadable, 3)}; the rest was not tried") from None
        else:
            crop[:] = square(image, size_px)
            short_sides.append(min(image.shape))
    if unreadable:
        raise ValueError(f"cannot read {_first_of(unreadable, 3)}")
    return crops, short_sides


def _room_for(count: int, size_px: int) -> NDArray[np.uint8]:
    """Return an array for this many crops; ValueError if they exceed the memory.

    The system gives its memory as it is filled: crops that cannot be read take none.
    """
    there = board.memory_bytes()
    needed = f"{count:,} crops of {size_px} px take {count * size_px**2 / 1e9:.1f} GB of memory"
    if count * size_px**2 <= there:
        with suppress(MemoryError):
            return np.empty((count, size_px, size_px), np.uint8)
    raise ValueError(f"{needed}, and this machine allows {there / 1e9:.1f} GB: list fewer")


def _first_of(lines: Sequence[str], shown: int) -> str:
    more = len(lines) - shown
    return ", ".join(lines[:shown]) + (f" and {more} more" if more > 0 else "")


def common_pixel_um(
    rows: Sequence[LabelledCrop], short_sides_px: Sequence[int], size_px: int
) -> float | None:
    """Return the one pixel size that crops have after their rescaling, or None if the rows do not give any.

    Photographs of unknown scale may have any size; crops of a known scale must keep it, because the device
    cuts cells out at one scale.

    Raises
    ------
    ValueError
        If only some rows give it, or sizes would differ by more than `edge.find.SCALE_TOLERANCE`.
    """
    without = [row.path for row in rows if row.pixel_um is None]
    if len(without) == len(rows):
        return None
    if without:
        raise ValueError(f"{without[0]} has no pixel_um, others have: fill it in or drop the column")
    after = [(row.pixel_um or 0.0) * side / size_px for row, side in zip(rows, short_sides_px, strict=True)]
    low, high = min(after), max(after)
    if high > low * (1 + SCALE_TOLERANCE):
        raise ValueError(
            f"read at {size_px} px, crops have pixels of {low:.4g} to {high:.4g} µm: "
            "cut all crops to one side in µm"
        )
    return float(np.median(after))


def split(dataset: Dataset, fraction: float = 0.2, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Divide a dataset into training and validation before any augmentation; no group is in both.

    Groups join the validation set in random order while that brings its share of every class nearer to
    `fraction`, 0 to 1 exclusive. If every crop is a group of its own, that is a stratified split. Both parts
    keep the order. The validation set lacks crops whose readers settle on no label.

    Raises
    ------
    ValueError
        If a class has a single crop, a part would be empty, or a class would be without training crops.
    """
    size = np.bincount(dataset.truth, minlength=len(dataset.labels))
    if single := [label for label, n in dataset.counts().items() if n == 1]:
        raise ValueError(
            f"class {', '.join(single)} has a single image, which cannot be split: add images, "
            "or validate on another set"
        )
    missing = np.full(len(size), fraction)  # share of each class that the validation set still lacks
    chosen: list[int] = []
    groups = dataset.group_members()
    for position in np.random.default_rng(seed).permutation(len(groups)):
        indices = groups[position]
        gain = np.bincount(dataset.truth[indices], minlength=len(size)) / np.maximum(size, 1)
        if np.sum((missing - gain) ** 2) < np.sum(missing**2):
            missing = missing - gain
            chosen += indices

    validation = np.zeros(len(dataset.truth), bool)
    validation[chosen] = True
    left = Counter(dataset.truth[~validation].tolist())
    if bare := [label for k, label in enumerate(dataset.labels) if size[k] and not left[k]]:
        raise ValueError(f"no crops of {', '.join(bare)} are left to train on; give more groups")
    if not chosen:
        raise ValueError(f"no group is small enough to validate on {fraction:.0%} of the crops")
    return dataset.take(np.flatnonzero(~validation)), dataset.take(np.flatnonzero(validation)).settled()
