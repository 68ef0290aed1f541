"""TIFF files, classic and BigTIFF: each page checked and repacked as a classic TIFF of its own."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge.capture.page import BadPage, ImageFileError, Page, byte_limit
from edge.capture.tiff_pixels import Tags, block_tags, decode_samples, first, read_layout, write_tiff

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# TIFF 6.0 and its supplements: the tags that describe how pixels are stored. Orientation (274) is left out:
# boxes are in the raster as stored.
_PIXEL_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332, 338}
    | {339, 347, 529, 530, 531, 532}
)
_NEW_SUBFILE, _OLD_SUBFILE, _IMAGE_DEPTH = 254, 255, 32997
_OTHER_TAGS = frozenset({_NEW_SUBFILE, _OLD_SUBFILE, _IMAGE_DEPTH})
_REDUCED, _MASK = 1, 4  # bits of the new subfile type
_MAX_VALUES = 1 << 20  # in one tag: more than a 100-megapixel image in strips of one row or 16 px tiles
# Field type -> (classic type to write it as, numbers per value, layout of a number); text is numbers too.
_LONG = 4
_TYPES = {
    1: (1, 1, "B"),
    2: (2, 1, "B"),
    3: (3, 1, "H"),
    4: (4, 1, "I"),
    5: (5, 2, "I"),
    7: (7, 1, "B"),
    13: (4, 1, "I"),
    16: (4, 1, "Q"),
    18: (4, 1, "Q"),
}


@dataclass(frozen=True)
class _Tiff:
    """An open TIFF, its byte order, and the layout of an offset: 4 bytes, or the 8 of BigTIFF."""

    file: BinaryIO
    size: int
    order: str
    offset: str

    def numbers(self, layout: str, at: int) -> tuple[int, ...]:
        """Return the numbers at a byte offset."""
        return struct.unpack(self.order + layout, self.read(at, struct.calcsize(self.order + layout)))

    def read(self, at: int, count: int) -> bytes:
        """Return the bytes at a byte offset; if the file ends before, it is truncated."""
        if at + count > self.size:
            raise ImageFileError("truncated: the TIFF ends before the data it points to")
        self.file.seek(at)
        return self.file.read(count)


def tiff_pages(file: BinaryIO, size: int, max_megapixels: float) -> Iterator[Page | BadPage]:
    """Yield the pages along the chain of directories, in either byte order; see `image_file.read_pages`."""
    tiff, directory = _open(file, size)
    seen: set[int] = set()
    number = 0
    while directory:
        if directory in seen:
            raise ImageFileError("damaged: the TIFF's pages run in a circle")
        seen.add(directory)
        tags, directory = _directory(tiff, directory)
        # a preview, a pyramid level or a mask of another page
        if first(tags, _NEW_SUBFILE, 0) & (_REDUCED | _MASK) or first(tags, _OLD_SUBFILE, 1) == 2:
            continue
        label = None if number == 0 and directory == 0 else number
        try:
            yield _page(tiff, tags, label, max_megapixels)
        except ImageFileError as error:
            yield BadPage(label, str(error))
        number += 1
    if number == 0:
        raise ImageFileError("damaged: the TIFF holds no image")


def decode_tiff(data: bytes, bit_depth: int) -> NDArray[np.uint8]:
    """Return the pixels of a page that `tiff_pages` gave, as grey [h, w]."""
    tiff, directory = _open(io.BytesIO(data), len(data))
    tags, _ = _directory(tiff, directory)
    # the page's size was checked before
    return decode_samples(read_layout(tags, np.inf), tags, tiff.order, _blocks(tiff, tags), bit_depth)


def _open(file: BinaryIO, size: int) -> tuple[_Tiff, int]:
    """Return the TIFF and the place of its first directory."""
    head = file.read(4)
    big = b"+" in head
    tiff = _Tiff(file, size, "<" if head.startswith(b"I") else ">", "Q" if big else "I")
    (directory,) = tiff.numbers(tiff.offset, 8 if big else 4)
    return tiff, directory


def _directory(tiff: _Tiff, at: int) -> tuple[Tags, int]:
    """Return the pixel tags of one image file directory, and the place of the next one (0: none)."""
    count_layout, entry_bytes, inline = ("Q", 20, 8) if tiff.offset == "Q" else ("H", 12, 4)
    (count,) = tiff.numbers(count_layout, at)
    entries = at + struct.calcsize(tiff.order + count_layout)
    end = entries + count * entry_bytes
    (following,) = tiff.numbers(tiff.offset, end)
    tags: Tags = {}
    for entry in range(entries, end, entry_bytes):
        tag, kind, values = tiff.numbers("HH" + tiff.offset, entry)
        if tag not in _PIXEL_TAGS and tag not in _OTHER_TAGS:
            continue
        if kind not in _TYPES or not 0 < values <= _MAX_VALUES:
            raise ImageFileError(f"damaged: tag {tag} of the TIFF cannot be read")
        written_as, each, number = _TYPES[kind]
        layout = f"{each * values}{number}"
        place = entry + entry_bytes - inline
        if struct.calcsize(tiff.order + layout) > inline:
            (place,) = tiff.numbers(tiff.offset, place)
        tags[tag] = (written_as, tiff.numbers(layout, place))
    return tags, following


def _page(tiff: _Tiff, tags: Tags, number: int | None, max_megapixels: float) -> Page:
    """Return one page as a classic TIFF of its own: pixel data unchanged, pixel tags only."""
    layout = read_layout(tags, max_megapixels)
    places_tag, counts_tag = block_tags(tags)
    counts = tags[counts_tag][1]
    if sum(counts) > min(tiff.size, byte_limit(max_megapixels)):
        raise ImageFileError("truncated or damaged: the TIFF points to more data than there is")
    blocks = _blocks(tiff, tags)
    kept = {tag: field for tag, field in tags.items() if tag in _PIXEL_TAGS}
    kept[places_tag] = (_LONG, tuple(itertools.accumulate(counts[:-1], initial=8)))
    return Page(number, layout.width, layout.height, write_tiff(tiff.order, blocks, kept))


def _blocks(tiff: _Tiff, tags: Tags) -> list[bytes]:
    places, counts = (tags.get(tag, (0, ()))[1] for tag in block_tags(tags))
    if len(places) != len(counts):
        raise ImageFileError("damaged: the TIFF does not say where its pixels are")
    return [tiff.read(place, count) for place, count in zip(places, counts, strict=True)]
