"""Every image of a set opened once, and what later questions need to know of it."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.capture import MAX_MEGAPIXELS
from edge.capture import image_file as imagefile
from train.check.duplicates import pixel_digest, thumbnail
from train.check.findings import Finding, Result, Status, count
from train.data import common_pixel_um, list_data, read_grey, sample_bits, square

CROP_PX = 200
"""Side at which crops are compared and measured, px (the paper's)."""

SMALLEST_PX = 16
"""An image of a shorter side can hardly show a cell."""

ODD_SIZE_RATIO = 4.0
"""Nor one whose side differs by more than this from the set's median: a scrap, or a whole frame."""

SIZE_RATIO = 1.2
"""Classes whose images differ in side by more than this differ in sharpness too, once rescaled."""


@dataclass(frozen=True, eq=False)
class Cell:
    """What is kept of one crop; its pixels are not, so that memory stays small for any set.

    Attributes
    ----------
    name, label, group : see `train.data.Row`; a group of its own where none is known
    file : where it lies
    width_px, height_px, bits : of the image as it is stored
    pages : images in the file, of which the first one counts
    file_digest : SHA-256 of the file's bytes
    pixel_digest, thumbnail : see `train.check.duplicates`
    brightness : median grey level, 0 to 255, of the crop
    focus : standard deviation of the crop's Laplacian (Pech-Pacheco et al., ICPR 2000) by its mean grey, to
        be free of the lamp's brightness
    """

    name: str
    label: str
    group: str
    file: Path
    width_px: int
    height_px: int
    bits: int
    pages: int
    file_digest: bytes
    pixel_digest: bytes
    thumbnail: NDArray[np.uint8]
    brightness: float
    focus: float


@dataclass(frozen=True, eq=False)
class Inventory:
    """A set of crops, as far as it can be read.

    Attributes
    ----------
    path : folder or table
    cells : what can be read
    problems : what is wrong with the list of files
    unreadable : name and reason of each file that cannot be read
    grouped : whether the set names groups
    pixel_um : of the crops at `CROP_PX`; None where the set does not say, or not consistently
    """

    path: Path
    cells: tuple[Cell, ...]
    problems: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    grouped: bool
    pixel_um: float | None

    def counts(self) -> dict[str, int]:
        """Crops a label, labels sorted."""
        return dict(sorted(Counter(cell.label for cell in self.cells).items()))


def take_inventory(path: str | Path, on_image: Callable[[int], None] = lambda total: None) -> Inventory:
    """Open every image of a set; what cannot be read is listed, not raised.

    Parameters
    ----------
    path
        See `train.data.read_data`.
    on_image
        Called with the number of images after each.

    Raises
    ------
    ValueError, OSError
        If `path` is neither a folder nor a table that can be read.
    """
    listing = list_data(path)
    cells: list[Cell] = []
    unreadable: list[tuple[str, str]] = []
    read = []
    for row in listing.rows:
        file = listing.root / row.name
        image = read_grey(file)
        if isinstance(image, str):
            unreadable.append((row.name, image))
        else:
            cells.append(_cell(row.name, row.label, row.group or row.name, file, image))
            read.append(row)
        on_image(len(listing.rows))
    problems = list(listing.problems)
    pixel_um = None
    try:
        sides = [min(cell.width_px, cell.height_px) for cell in cells]
        pixel_um = common_pixel_um(read, sides, CROP_PX)
    except ValueError as error:
        problems.append(str(error))
    return Inventory(
        path=Path(path),
        cells=tuple(cells),
        problems=tuple(problems),
        unreadable=tuple(unreadable),
        grouped=any(row.group for row in read),
        pixel_um=pixel_um,
    )


def _cell(name: str, label: str, group: str, file: Path, image: NDArray[np.uint8]) -> Cell:
    stored = file.read_bytes()
    crop = square(image, CROP_PX)
    edges = cv2.Laplacian(crop, cv2.CV_32F)
    return Cell(
        name=name,
        label=label,
        group=group,
        file=file,
        width_px=image.shape[1],
        height_px=image.shape[0],
        bits=sample_bits(stored),
        pages=_page_count(stored),
        file_digest=hashlib.sha256(stored).digest(),
        pixel_digest=pixel_digest(image),
        thumbnail=thumbnail(crop),
        brightness=float(np.median(crop)),
        focus=float(edges.std() / max(1.0, float(crop.mean()))),
    )


def _page_count(file: bytes) -> int:
    """Count the images in a file up to the first that is damaged."""
    pages = 0
    with suppress(imagefile.ImageFileError):
        for _ in imagefile.pages(io.BytesIO(file), max_megapixels=MAX_MEGAPIXELS):
            pages += 1
    return pages


def check_files(inventory: Inventory) -> Result:
    """Answer whether every file is there, named once and readable."""
    findings = [Finding(problem, status=Status.ERROR) for problem in inventory.problems]
    findings += [
        Finding(f"cannot be read: {reason}", name, status=Status.ERROR)
        for name, reason in inventory.unreadable
    ]
    answer = f"{len(inventory.cells):,} read"
    if inventory.unreadable:
        answer += f", {len(inventory.unreadable):,} unreadable"
    if inventory.problems:
        answer += f", {count(len(inventory.problems), 'problem')} with the list"
    return Result("files", answer, tuple(findings))


def check_classes(inventory: Inventory, *, trained_on: bool, split: bool) -> Result:
    """Answer whether there is something to tell apart, and enough of each class to split the set."""
    counts = inventory.counts()
    findings = []
    if trained_on and len(counts) < 2:
        message = "fewer than two classes: there is nothing to tell apart"
        findings.append(Finding(message, ", ".join(counts), status=Status.ERROR))
    for label, n in counts.items():
        groups = {cell.group for cell in inventory.cells if cell.label == label}
        if split and n == 1:
            findings.append(Finding("a single image, which cannot be split", label, status=Status.ERROR))
        elif split and inventory.grouped and len(groups) == 1:
            message = f"all {n} images are of one group: a split cannot validate this class"
            findings.append(Finding(message, label, other=groups.pop()))
    answer = ", ".join(f"{label} {n:,}" for label, n in counts.items())
    return Result("classes", answer or "none", tuple(findings))


def check_images(inventory: Inventory) -> Result:
    """Answer of what sizes and depths the images are, and whether these give a class away."""
    cells = inventory.cells
    sizes = Counter((cell.width_px, cell.height_px) for cell in cells).most_common()
    depths = sorted(Counter(cell.bits for cell in cells).items())
    answer = ", ".join(f"{width}×{height} px {n:,}" for (width, height), n in sizes[:3])
    if len(sizes) > 3:
        answer += f" and {count(len(sizes) - 3, 'more size')}"
    answer += "; " + ", ".join(f"{bits} bits {n:,}" for bits, n in depths)
    if inventory.pixel_um is not None:
        answer += f"; {inventory.pixel_um:.4g} µm a pixel at {CROP_PX} px"
    findings = [Finding(f"{width}×{height} px", value=n, status=Status.OK) for (width, height), n in sizes]
    if len(depths) > 1:
        findings.append(Finding(f"images of {' and '.join(f'{bits}' for bits, _ in depths)} bits are mixed"))
    usual_px = _median_side_px(cells) if cells else 0.0
    for cell in cells:
        side_px = min(cell.width_px, cell.height_px)
        ratio = max(side_px / usual_px, usual_px / side_px)
        if side_px < SMALLEST_PX or ratio > ODD_SIZE_RATIO:
            size = f"{cell.width_px}×{cell.height_px} px"
            message = f"{size} where a side of {usual_px:.0f} px is usual: no single cell?"
            findings.append(Finding(message, cell.name, value=side_px))
        if cell.thumbnail.min() == cell.thumbnail.max():
            message = f"all one grey ({cell.brightness:.0f}): there is no cell to see"
            findings.append(Finding(message, cell.name, value=cell.brightness))
        if cell.pages > 1:
            message = f"only the first of {cell.pages:,} pages is read: save each as a file of its own"
            findings.append(Finding(message, cell.name, value=cell.pages))
    for label in inventory.counts():
        inside = [cell for cell in cells if cell.label == label]
        outside = [cell for cell in cells if cell.label != label]
        if not outside:
            continue
        ratio = _median_side_px(inside) / _median_side_px(outside)
        if max(ratio, 1 / ratio) > SIZE_RATIO:
            message = f"images are {ratio:.2f} times as large as the others': rescaled, their sharpness tells"
            findings.append(Finding(message, label, value=round(ratio, 3)))
        if not {cell.bits for cell in inside} & {cell.bits for cell in outside}:
            findings.append(Finding(f"the only class of {inside[0].bits} bits: the camera may tell", label))
    return Result("images", answer if cells else "none", tuple(findings))


def _median_side_px(cells: Sequence[Cell]) -> float:
    return float(np.median([min(cell.width_px, cell.height_px) for cell in cells]))
