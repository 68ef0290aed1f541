"""Labelled crops on disk: class folders or a CSV table, and the leak-free split."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.frames import Frame, read_frames

CELLS_CSV = "cells.csv"
"""Table (path,label,group) that speaks for the folder it lies in."""

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
    pixel_um : side of a crop's pixel in the specimen, or None where the data does not say
    """

    crops: NDArray[np.uint8]
    truth: NDArray[np.int64]
    labels: tuple[str, ...]
    names: tuple[str, ...]
    groups: tuple[str, ...]
    pixel_um: float | None = None

    @property
    def sha256(self) -> str:
        """SHA-256 over labels, truth, groups and pixels, in order."""
        digest = hashlib.sha256("\0".join((*self.labels, "", *self.groups)).encode())
        digest.update(self.truth.astype("<i8").tobytes())
        digest.update(np.ascontiguousarray(self.crops).data)
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


def read_data(path: str | Path, labels: Sequence[str] | None = None, size_px: int = 200) -> Dataset:
    """Read labelled crops as grey squares.

    An image of another size is rescaled so that its short side is `size_px`, then cut to its central square.

    Parameters
    ----------
    path
        A CSV with the columns ``path,label`` and optionally ``group`` and ``pixel_um``, its paths relative to
        it; or a folder of class folders, read through its ``cells.csv`` where it has one.
    labels
        Class names in the wanted order; classes without a crop are allowed then. By default the labels found,
        sorted.
    size_px
        Side of the crops, px.

    Raises
    ------
    ValueError
        On a missing column, an unknown label, an empty class, unreadable images, or no images at all.
    OSError
        If `path` cannot be read.
    """
    path = Path(path)
    table = path / CELLS_CSV if path.is_dir() else path
    root = table.parent
    rows = _table(table) if table.is_file() else _folders(path)
    if not rows:
        raise ValueError(f"{path}: no images found")

    found = tuple(sorted({label for _, label, _ in rows}))
    order = found if labels is None else tuple(labels)
    unknown = [label for label in found if label not in order]
    if unknown:
        raise ValueError(f"{path}: unknown label {', '.join(unknown)}; known are {', '.join(order)}")

    crops = np.empty((len(rows), size_px, size_px), np.uint8)
    unreadable = []
    for i, (name, _, _) in enumerate(rows):
        image = _read_grey(root / name)
        if image is None:
            unreadable.append(name)
        else:
            crops[i] = _square(image, size_px)
    if unreadable:
        more = f" and {len(unreadable) - 3} more" if len(unreadable) > 3 else ""
        raise ValueError(f"{path}: cannot read {', '.join(unreadable[:3])}{more}")

    return Dataset(
        crops=crops,
        truth=np.array([order.index(label) for _, label, _ in rows], np.int64),
        labels=order,
        names=tuple(name for name, _, _ in rows),
        groups=tuple(group or name for name, _, group in rows),
        pixel_um=_pixel_um(table) if table.is_file() else None,
    )


def _pixel_um(table: Path) -> float | None:
    """The one value of a table's column ``pixel_um``, or None without the column."""
    with table.open(newline="", encoding="utf-8-sig") as file:
        values = {row.get("pixel_um") for row in csv.DictReader(file)} - {None, ""}
    if not values:
        return None
    try:
        (pixel_um,) = (float(value) for value in values if value)
    except ValueError:
        raise ValueError(
            f"{table}: pixel_um must be one number for all crops, not {len(values)} values"
        ) from None
    return pixel_um


def _table(path: Path) -> list[tuple[str, str, str]]:
    """Rows (path, label, group) of a CSV; an absent group is empty."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in ("path", "label") if name not in (reader.fieldnames or ())]
            if missing:
                raise ValueError(
                    f"{path}: column {', '.join(missing)} is missing; needed are path,label,group"
                )
            rows = [(row["path"] or "", row["label"] or "", row.get("group") or "") for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path}: not a CSV file ({error})") from error
    incomplete = [line for line, (name, label, _) in enumerate(rows, start=2) if not name or not label]
    if incomplete:
        raise ValueError(f"{path}: line {incomplete[0]} lacks a path or a label")
    return rows


def _folders(path: Path) -> list[tuple[str, str, str]]:
    """Rows (path, label, no group) of a folder of class folders."""
    rows = []
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and not p.name.startswith(".")):
        names = sorted(p.name for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
        if not names:
            raise ValueError(f"{path}: class {folder.name} has no images")
        rows += [(f"{folder.name}/{name}", folder.name, "") for name in names]
    return rows


def _read_grey(path: Path) -> NDArray[np.uint8] | None:
    """Return uint8 [h, w], or None for what is no readable image."""
    frame = next(read_frames([path], max_megapixels=16))
    return frame.image if isinstance(frame, Frame) else None


def _square(image: NDArray[np.uint8], size_px: int) -> NDArray[np.uint8]:
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
        If a part would be empty, or a class would be without training crops.
    """
    members: defaultdict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(dataset.groups):
        members[group].append(index)
    size = np.bincount(dataset.truth, minlength=len(dataset.labels))
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
