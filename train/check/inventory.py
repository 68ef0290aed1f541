"""Open every image of a set once, keep what later questions need, and check files, classes and images."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import StatedPixel, quantity, read_input
from edge.capture import MAX_MEGAPIXELS, ImageFileError, contradiction, files_pixels, read_pages
from train.check.duplicates import THUMBNAIL_PX, pixel_digest
from train.check.findings import Finding, Result, Status
from train.data import MOST_UNREADABLE, common_pixel_um, list_data
from train.images import CROP_PX, MOST_BYTES, read_grey, sample_bits, square
from train.table import LabelledCrop

SMALLEST_PX = 16
"""An image with a shorter side can hardly show a cell."""

SIDE_RATIO = 4.0
"""Nor can one whose side differs by more than this from the set's median: a scrap, or a whole frame."""

CLASS_SIDE_RATIO = 1.2
"""Classes whose images differ in side by more than this also differ in sharpness once rescaled."""


@dataclass(frozen=True, eq=False)
class Crop:
    """What is kept of one crop; its pixels are not, so that memory stays small for any set.

    Attributes
    ----------
    group : str
        The crop's own name if none is given.
    width_px, height_px, bits, pages : int
        Of the image as stored; only the first of several pages is read.
    listed_um : float or None
        Side of the file's pixel by the list.
    stated : StatedPixel or None
        The file's pixel by its own header.
    pixel_digest, thumbnail : bytes, uint8 [`THUMBNAIL_PX`, `THUMBNAIL_PX`]
        See `train.check.duplicates.find_pairs`.
    brightness : float
        Median grey level.
    focus : float
        Standard deviation of the Laplacian (Pech-Pacheco et al., ICPR 2000) over the mean grey level, which
        makes it independent of the lamp.
    """

    name: str
    label: str
    group: str
    file: Path
    width_px: int
    height_px: int
    bits: int
    pages: int
    listed_um: float | None
    stated: StatedPixel | None
    file_digest: bytes
    pixel_digest: bytes
    thumbnail: NDArray[np.uint8]
    brightness: float
    focus: float

    @property
    def side_px(self) -> int:
        """Short side of the image as stored."""
        return min(self.width_px, self.height_px)


@dataclass(frozen=True, eq=False)
class Inventory:
    """A set of crops, as far as it can be read.

    Attributes
    ----------
    problems : tuple of str
        What is wrong with the list of files.
    unreadable : tuple of (str, str)
        Name and reason of each file that cannot be read.
    pixel_um : float or None
        Pixel of the crops at `CROP_PX`; None if the set does not give it, or not consistently.
    """

    path: Path
    crops: tuple[Crop, ...]
    problems: tuple[str, ...]
    unreadable: tuple[tuple[str, str], ...]
    grouped: bool
    pixel_um: float | None

    def counts(self) -> dict[str, int]:
        """Return the number of crops per label, labels sorted."""
        return dict(sorted(Counter(crop.label for crop in self.crops).items()))

    def named_by_path(self) -> Inventory:
        """Return the inventory with every crop named by its whole path: two sets may hold an ``a/1.png``."""
        return replace(
            self,
            crops=tuple(replace(crop, name=str(crop.file)) for crop in self.crops),
            unreadable=tuple((str(self.path / name), reason) for name, reason in self.unreadable),
            problems=tuple(f"{self.path}: {problem}" for problem in self.problems),
        )


def take_inventory(path: Path, on_image: Callable[[int], None] = lambda total: None) -> Inventory:
    """Open every image of a set, see `train.data.read_data`; list what cannot be read instead of raising.

    `on_image` is called after each image with the number of images.
    """
    listing = list_data(path)
    crops: list[Crop] = []
    read: list[LabelledCrop] = []
    unreadable: list[tuple[str, str]] = []
    problems = list(listing.problems)
    for row in listing.rows:
        try:
            crops.append(_open(row, listing.root / row.path))
            read.append(row)
        except ValueError as error:
            unreadable.append((row.path, str(error)))
            if len(unreadable) == MOST_UNREADABLE:
                problems.append(
                    f"{MOST_UNREADABLE:,} of its images cannot be read: the others were not opened"
                )
                break
        on_image(len(listing.rows))
    pixel_um = None
    try:
        pixel_um = common_pixel_um(read, [crop.side_px for crop in crops], CROP_PX)
    except ValueError as error:
        problems.append(str(error))
    grouped = any(row.group for row in read)
    return Inventory(path, tuple(crops), tuple(problems), tuple(unreadable), grouped, pixel_um)


def _open(row: LabelledCrop, file: Path) -> Crop:
    image = read_grey(file)
    stored = read_input(file, MOST_BYTES)
    crop = square(image, CROP_PX)
    edges = cv2.Laplacian(crop, cv2.CV_32F)
    height_px, width_px = image.shape
    return Crop(
        *(row.path, row.label, row.group or row.path, file, width_px, height_px),
        bits=sample_bits(stored),
        pages=_page_count(stored),
        listed_um=row.pixel_um,
        stated=next(iter(files_pixels([file])), None),
        file_digest=hashlib.sha256(stored).digest(),
        pixel_digest=pixel_digest(image),
        thumbnail=square(crop, THUMBNAIL_PX),
        brightness=float(np.median(crop)),
        focus=float(edges.std() / max(1.0, float(crop.mean()))),
    )


def _page_count(file: bytes) -> int:
    """Return the number of images in a file up to the first that is damaged."""
    pages = 0
    with suppress(ImageFileError):
        for _ in read_pages(io.BytesIO(file), max_megapixels=MAX_MEGAPIXELS):
            pages += 1
    return pages


def check_files(inventory: Inventory) -> Result:
    """Check that every file exists, is listed once and can be read."""
    found = [(problem, "") for problem in inventory.problems]
    found += [(f"cannot be read: {reason}", name) for name, reason in inventory.unreadable]
    findings = [Finding(message, name, status=Status.ERROR) for message, name in found]
    answer = f"{len(inventory.crops):,} read"
    if inventory.unreadable:
        answer += f", {len(inventory.unreadable):,} unreadable"
    if inventory.problems:
        answer += f", {quantity(len(inventory.problems), 'problem')} with the list"
    return Result("files", answer, tuple(findings))


def check_classes(inventory: Inventory, *, trained_on: bool, split: bool) -> Result:
    """Check that there are two classes or more, each with enough crops to split the set."""
    counts = inventory.counts()
    findings = []
    if trained_on and len(counts) < 2:
        message = "fewer than two classes: there is nothing to tell apart"
        findings.append(Finding(message, ", ".join(counts), status=Status.ERROR))
    for label, n in counts.items() if split else ():
        groups = {crop.group for crop in inventory.crops if crop.label == label}
        if n == 1:
            findings.append(Finding("a single image, which cannot be split", label, status=Status.ERROR))
        elif inventory.grouped and len(groups) == 1:
            message = f"all {n} images are of one group: a split cannot validate this class"
            findings.append(Finding(message, label, other=groups.pop()))
    answer = ", ".join(f"{label} {n:,}" for label, n in counts.items())
    return Result("classes", answer or "none", tuple(findings))


def check_images(inventory: Inventory) -> Result:
    """Check sizes and depths of the images, and whether these give a class away."""
    crops = inventory.crops
    if not crops:
        return Result("images", "none")
    sizes = Counter((crop.width_px, crop.height_px) for crop in crops).most_common()
    depths = sorted(Counter(crop.bits for crop in crops).items())
    answer = ", ".join(f"{width}×{height} px {n:,}" for (width, height), n in sizes[:3])
    if len(sizes) > 3:
        answer += f" and {quantity(len(sizes) - 3, 'more size')}"
    answer += "; " + ", ".join(f"{bits} bits {n:,}" for bits, n in depths)
    if inventory.pixel_um is not None:
        answer += f"; {inventory.pixel_um:.4g} µm per pixel at {CROP_PX} px"
    findings = [Finding(f"{width}×{height} px", value=n, status=Status.OK) for (width, height), n in sizes]
    if len(depths) > 1:
        findings.append(Finding(f"images of {' and '.join(str(bits) for bits, _ in depths)} bits are mixed"))
    findings += _other_pixels(crops)
    median_px = _median_side_px(crops)
    findings += [finding for crop in crops for finding in _doubtful(crop, median_px)]
    findings += [finding for label in inventory.counts() for finding in _given_away(crops, label)]
    return Result("images", answer, tuple(findings))


def _other_pixels(crops: Sequence[Crop]) -> Iterator[Finding]:
    """Yield what files state of their pixel that the list does not, or that contradicts it."""
    silent = Counter(crop.stated for crop in crops if crop.stated and crop.listed_um is None)
    for pixel, n in silent.items():
        message = f"the files state a pixel of {pixel}: write it into the column pixel_um of the list"
        yield Finding(message, value=n)
    for listed_um in sorted({crop.listed_um for crop in crops if crop.listed_um is not None}):
        stated = Counter(crop.stated for crop in crops if crop.listed_um == listed_um)
        remedy = "correct the column, or the files"
        if message := contradiction(stated, listed_um, "from the column pixel_um", remedy):
            yield Finding(message, value=stated.total())


def _doubtful(crop: Crop, median_px: float) -> Iterator[Finding]:
    """Yield why one image may not be a crop of a single cell."""
    ratio = max(crop.side_px / median_px, median_px / crop.side_px)
    if crop.side_px < SMALLEST_PX or ratio > SIDE_RATIO:
        size = f"{crop.width_px}×{crop.height_px} px"
        message = f"{size} where the median side is {median_px:.0f} px: not a single cell?"
        yield Finding(message, crop.name, value=crop.side_px)
    if crop.thumbnail.min() == crop.thumbnail.max():
        message = f"all one grey level ({crop.brightness:.0f}): it shows no cell"
        yield Finding(message, crop.name, value=crop.brightness)
    if crop.pages > 1:
        message = f"only the first of {crop.pages:,} pages is read: save each as a file of its own"
        yield Finding(message, crop.name, value=crop.pages)


def _given_away(crops: Sequence[Crop], label: str) -> Iterator[Finding]:
    """Yield what tells a class from the others before a network sees its cells."""
    inside = [crop for crop in crops if crop.label == label]
    outside = [crop for crop in crops if crop.label != label]
    if not outside:
        return
    ratio = _median_side_px(inside) / _median_side_px(outside)
    if max(ratio, 1 / ratio) > CLASS_SIDE_RATIO:
        message = f"images are {ratio:.2f} times as large as the others': rescaled, they differ in sharpness"
        yield Finding(message, label, value=round(ratio, 3))
    if not {crop.bits for crop in inside} & {crop.bits for crop in outside}:
        yield Finding(f"the only class of {inside[0].bits} bits: the camera may give it away", label)


def _median_side_px(crops: Sequence[Crop]) -> float:
    return float(np.median([crop.side_px for crop in crops]))
