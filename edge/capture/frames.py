"""Frames from files, folders, globs, image stacks and videos."""

from __future__ import annotations

import glob
import hashlib
import os
import stat
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import FailedFrame, Frame, StatedPixel, frame_name, is_frame_file, natural_order
from edge.capture.decode_image import decode_image
from edge.capture.image_file import read_pages, stated_pixels
from edge.capture.mosaic import mosaic
from edge.capture.page import TIFF_SIGNATURES, BadPage, ImageFileError, Page, check_damaged
from edge.capture.planes import PlaneChoice
from edge.capture.video_file import is_video, read_video

MAX_MEGAPIXELS = 50.0
"""Largest declared size of an image that is decoded, in millions of pixels."""

TOO_LARGE = "there is not enough memory for it: pass --threads 1, or save smaller images"

CAMERA_BITS = (10, 12, 14)
"""Bit depths of cameras that store their counts unscaled in 16 bits."""

NOTES = frozenset({".csv", ".db", ".htm", ".html", ".ini", ".json", ".log", ".md", ".pdf", ".toml", ".tsv"})
NOTES |= {".txt", ".xls", ".xlsx", ".xml", ".yaml", ".yml"}
"""Suffixes of what may lie beside frames, and nobody expects to be counted."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A still image, read and checked but not decoded: that is expensive, and any thread can do it."""

    page: Page
    name: str
    index: int
    time_ns: int
    bit_depth: int

    @property
    def sha256(self) -> str:
        """See `Frame`."""
        return hashlib.sha256(self.page.data).hexdigest()

    def decode(self) -> Frame | FailedFrame:
        """Decode to grey."""
        try:
            image = _decode(self.page, self.bit_depth)
        except ImageFileError as error:
            return FailedFrame(self.name, self.index, str(error))
        except MemoryError:
            return FailedFrame(self.name, self.index, TOO_LARGE)
        if raw := mosaic(image):
            return FailedFrame(self.name, self.index, raw)
        likely = _likely_bit_depth(int(image.max()), self.bit_depth) if self.page.bits == 16 else None
        return Frame(
            image,
            self.name,
            self.index,
            self.time_ns,
            sha256=self.sha256,
            likely_bit_depth=likely,
            notes=self.page.notes,
            pixel=self.page.pixel,
        )


def read_frames(
    sources: Sequence[str | Path],
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    bit_depth: int = 16,
    planes: PlaneChoice = PlaneChoice(),
    root: Path = Path(),
) -> Iterator[Frame | FailedFrame]:
    """Read and decode every image of the sources, one at a time; see `read_encoded`."""
    encoded = read_encoded(
        sources, max_megapixels=max_megapixels, bit_depth=bit_depth, planes=planes, root=root
    )
    return (item.decode() if isinstance(item, Encoded) else item for item in encoded)


def read_encoded(
    sources: Sequence[str | Path],
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    bit_depth: int = 16,
    planes: PlaneChoice = PlaneChoice(),
    root: Path = Path(),
) -> Iterator[Encoded | Frame | FailedFrame]:
    """Read every image of the sources, one at a time, in order; yield failures too.

    PNG, JPEG, BMP and TIFF images (8 or 16 bits per sample; grey, colour, palette, with alpha), TIFF stacks
    (one frame per field of view), and AVI, MKV, MP4 and MOV videos are recognised by content. Still images
    are left to `Encoded.decode`; the frames of a video come decoded, by a process of their own.
    Colour becomes grey by ITU-R BT.601. Alpha and orientation marks (EXIF, TIFF, video) are ignored: boxes
    are in the raster as stored. Videos are read at 8 bits.

    Parameters
    ----------
    sources : sequence of str or Path
        Files, folders and globs; see `list_files`.
    max_megapixels : float
        Declared size above which an image is refused before it is decoded.
    bit_depth : int
        Bits in use of a 16-bit sample, 9 to 16. Samples are divided by ``(2**bit_depth - 1) / 255``, rounded
        and saturated. A 12-bit camera that stores its counts unscaled needs 12; this is never guessed from a
        frame, since then equal samples could become unequal greys. TIFF samples packed at fewer bits have
        their own range.
    planes : PlaneChoice
        Channel and focal plane of files with several.
    root : Path
        Folder that relative sources start from; frames keep their relative names.

    Raises
    ------
    ValueError
        If `bit_depth` or `max_megapixels` is out of range; no file's content raises.
    """
    if not 9 <= bit_depth <= 16:
        raise ValueError(f"bit depth {bit_depth}: must be 9 to 16")
    if not max_megapixels > 0:
        raise ValueError(f"limit of {max_megapixels} megapixels: must be above 0")
    items = _read_sources(sources, max_megapixels, bit_depth, planes, root)
    return (replace(item, index=index) for index, item in enumerate(items))


def list_files(sources: Sequence[str | Path], root: Path = Path()) -> list[str]:
    """Return the files of the sources in reading order, each once: text, for there may be 300,000.

    A folder gives its images and videos in natural order (``f2`` before ``f10``), without subfolders, hidden
    files and other suffixes (it may also hold a ``boxes.csv``). A glob gives its matches in natural order,
    each like a source of its own; ``**`` crosses folders. A source that gives nothing (missing, empty,
    unreadable) stays in the list, for `read_frames` to report. Relative sources start from the folder `root`
    and give paths relative to it.
    """
    files: dict[str, str] = {}
    for source in sources:
        for path in _expand_glob(source, root):
            for real, file in _expand_folder(str(path), root):
                files.setdefault(real, file)
    return list(files.values())


def passed_over(sources: Sequence[str | Path], root: Path = Path()) -> Counter[str]:
    """Return by suffix how many files of folders `list_files` leaves out; not hidden ones, nor `NOTES`."""
    left: Counter[str] = Counter()
    paths = (root / path for source in sources for path in _expand_glob(source, root))
    for folder in set(map(os.path.realpath, paths)):
        with suppress(OSError), os.scandir(folder) as entries:  # a file, or a folder that cannot be read
            left.update(
                Path(entry.name).suffix.lower()
                for entry in entries
                if not is_frame_file(entry.name) and not entry.name.startswith(".") and entry.is_file()
            )
    return Counter({suffix: n for suffix, n in left.items() if suffix not in NOTES})


def files_pixels(
    sources: Sequence[str | Path], root: Path = Path(), *, at_most: int | None = None
) -> Counter[StatedPixel | None]:
    """Return what the files of the sources state of a pixel → their number, by their headers alone.

    None stands for images that state nothing, and videos. Files that cannot be read are left out. Of more
    files than `at_most`, that many are asked, evenly spread.
    """
    stated: Counter[StatedPixel | None] = Counter()
    files = list_files(sources, root)
    for path in files[:: 1 if at_most is None else max(1, -(-len(files) // at_most))]:
        with suppress(OSError, ImageFileError, struct.error):
            if not stat.S_ISREG((root / path).stat().st_mode):
                continue  # opening a pipe would wait
            with (root / path).open("rb") as file:
                stated.update((None,) if is_video(file) else set(stated_pixels(file)))
    return stated


def _expand_glob(source: str | Path, root: Path) -> list[Path]:
    text = os.fspath(source)
    if os.path.lexists(root / text) or not glob.has_magic(text):
        return [Path(text)]
    # absolute patterns too
    matches = [Path(match) for match in glob.glob(text, root_dir=root, recursive=True)]  # noqa: PTH207
    return sorted(matches, key=natural_order) or [Path(text)]


def _expand_folder(path: str, root: Path) -> Iterator[tuple[str, str]]:
    """Yield the files of a folder, or else the path itself, each behind its name without links."""
    real, names, links = os.path.realpath(root / path), list[str](), set[str]()
    # OSError: a file, nothing, or a folder that may not be entered
    with suppress(OSError), os.scandir(root / path) as entries:
        for entry in entries:
            if is_frame_file(entry.name):
                names.append(entry.name)
                if entry.is_symlink():
                    links.add(entry.name)
    if not names:
        yield real, path
    within, beside = "" if path == "." else os.path.join(path, ""), os.path.join(real, "")  # noqa: PTH118
    for name in sorted(names, key=natural_order):
        yield os.path.realpath(beside + name) if name in links else beside + name, within + name


def _read_sources(
    sources: Sequence[str | Path], max_megapixels: float, bit_depth: int, planes: PlaneChoice, root: Path
) -> Iterator[Encoded | Frame | FailedFrame]:
    """Yield every image of the sources with index 0."""
    for path in list_files(sources, root):
        name = frame_name(path)
        try:
            yield from _read_file(root / path, name, max_megapixels, bit_depth, planes)
        except OSError as error:
            yield FailedFrame(name, 0, (error.strerror or str(error)).lower())
        except ImageFileError as error:
            yield FailedFrame(name, 0, str(error))
        except MemoryError:
            yield FailedFrame(name, 0, TOO_LARGE)


def _read_file(
    path: Path, name: str, max_megapixels: float, bit_depth: int, planes: PlaneChoice
) -> Iterator[Encoded | Frame | FailedFrame]:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        inner = [
            one for one in sorted(path.iterdir()) if one.is_dir() and any(map(is_frame_file, one.iterdir()))
        ]
        where = f"; its folders {', '.join(one.name for one in inner[:5])} hold some: give one of these"
        raise ImageFileError(f"a folder without images or videos{where if inner else ''}")
    if not stat.S_ISREG(status.st_mode):
        raise ImageFileError("not a regular file")
    with path.open("rb") as file:
        if is_video(file):
            if bit_depth != 16:
                raise ImageFileError(
                    "a video is read at 8 bits: leave out --bit-depth, or save 16-bit images"
                )
            for item in read_video(path, name, status.st_mtime_ns, max_megapixels):
                if isinstance(item, Frame):
                    raw = mosaic(item.image)
                    yield FailedFrame(item.name, 0, raw) if raw else replace(item, notes=planes.idle())
                else:
                    yield item
            return
        damaged = whole = 0
        for page in read_pages(file, max_megapixels=max_megapixels, bit_depth=bit_depth, planes=planes):
            page_name = name if page.number is None else f"{name}#{page.number}"
            if isinstance(page, BadPage):
                damaged += 1
                check_damaged(damaged, whole, "of its pages")
                yield FailedFrame(page_name, 0, page.reason)
                continue
            whole += 1
            if bit_depth != 16 and page.bits != 16:
                idle = f"--bit-depth {bit_depth} has no effect on files without 16-bit samples: leave it out"
                page = replace(page, notes=(*page.notes, idle))
            yield Encoded(page, page_name, 0, status.st_mtime_ns, bit_depth)


def _likely_bit_depth(brightest: int, bit_depth: int) -> int | None:
    """Return the bits that a camera used, if fewer than a 16-bit image was read with."""
    least = (brightest - 0.5) * (2**bit_depth - 1) / 255  # the sample behind a rounded grey level
    return next((bits for bits in CAMERA_BITS if 2**8 <= least < 2**bits and bits < bit_depth), None)


def _decode(page: Page, bit_depth: int) -> NDArray[np.uint8]:
    """Decode to grey uint8 [h, w]."""
    if page.data.startswith(TIFF_SIGNATURES):
        from edge.capture.tiff_file import decode_tiff

        return decode_tiff(page.data, bit_depth)
    image = decode_image(page.data)
    if image is None or image.shape != (page.height, page.width):
        raise ImageFileError("damaged, or of a kind that cannot be decoded")
    if image.dtype == np.uint16:
        return cv2.convertScaleAbs(image, alpha=255 / (2**bit_depth - 1)).astype(np.uint8, copy=False)
    if image.dtype != np.uint8:
        raise ImageFileError(f"samples of type {image.dtype} are not supported, only 8 and 16 bits")
    return image.astype(np.uint8, copy=False)
