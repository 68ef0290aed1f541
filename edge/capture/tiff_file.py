"""TIFF files, classic and BigTIFF: each page checked and repacked as a classic TIFF of its own."""

from __future__ import annotations

import io
import itertools
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from edge.capture.page import (
    MAX_BLOCKS,
    MAX_INFLATION,
    MAX_READING,
    ImageFileError,
    Page,
    byte_limit,
)
from edge.capture.tiff_pixels import (
    COMPRESSION,
    UNCOMPRESSED,
    Tags,
    block_tags,
    decode_samples,
    first,
    read_layout,
    write_tiff,
)

# TIFF 6.0 and its supplements: the tags that describe how pixels are stored. Orientation (274) is left out:
# boxes are in the raster as stored.
_PIXEL_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332, 338}
    | {339, 347, 529, 530, 531, 532}
)
_NEW_SUBFILE, _OLD_SUBFILE, _IMAGE_DEPTH = 254, 255, 32997
_OTHER_TAGS = frozenset({_NEW_SUBFILE, _OLD_SUBFILE, _IMAGE_DEPTH})
_REDUCED, _MASK = 1, 4  # bits of the new subfile type
_MAX_VALUES = 4 * MAX_BLOCKS  # in one tag: of the blocks of four separate samples
_INFLATION_ALLOWANCE = 1 << 24  # bytes, or pixels: small files are cheap
_READING_ALLOWANCE = 1 << 16  # bytes: the first directory of a small file is read several times
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
class Tiff:
    """An open TIFF, its byte order, and the layout of an offset: 4 bytes, or the 8 of BigTIFF."""

    file: BinaryIO
    size: int
    order: str
    offset: str
    spent: Counter[str] = field(default_factory=Counter)

    def numbers(self, layout: str, at: int) -> tuple[int, ...]:
        """Return the numbers at a byte offset."""
        return struct.unpack(self.order + layout, self.read(at, struct.calcsize(self.order + layout)))

    def read(self, at: int, count: int) -> bytes:
        """Return the bytes at a byte offset; if the file ends before, it is truncated.

        What overlaps is read again for each page that points to it, which is bounded for the whole file.
        """
        if at + count > self.size:
            raise ImageFileError("truncated: the TIFF ends before the data it points to")
        self.spent["bytes"] += count
        if self.spent["bytes"] > MAX_READING * self.size + _READING_ALLOWANCE:
            raise ImageFileError("damaged: the pages of the TIFF share their data, or its tables overlap")
        self.file.seek(at)
        return self.file.read(count)


def picture_tags(tiff: Tiff, directory: int) -> Iterator[tuple[Tags, bool]]:
    """Yield the tags of each picture along the chain of directories, and whether the chain ends there."""
    seen: set[int] = set()
    while directory:
        if directory in seen:
            raise ImageFileError("damaged: the TIFF's pages run in a circle")
        seen.add(directory)
        tags, directory = directory_at(tiff, directory)
        # not a preview, a pyramid level or a mask of another page
        if not first(tags, _NEW_SUBFILE, 0) & (_REDUCED | _MASK) and first(tags, _OLD_SUBFILE, 1) != 2:
            yield tags, directory == 0


@dataclass(frozen=True)
class PlanesAfter:
    """Pages that lie `step` bytes apart, each made when it is asked for."""

    first: Tags
    held: int = 1
    step: int = 0

    def __len__(self) -> int:
        return self.held

    def __getitem__(self, number: int) -> Tags:
        if not number:
            return self.first
        tag, _ = block_tags(self.first)
        places = tuple(place + number * self.step for place in self.first[tag][1])
        return self.first | {tag: (_LONG, places)}


def planes_after(tiff: Tiff, tags: Tags, planes: int) -> PlanesAfter:
    """Return the pages of a stack with one directory, whose planes follow each other without a gap."""
    places, counts = (tags.get(tag, (0, ()))[1] for tag in block_tags(tags))
    ends = [place + count for place, count in zip(places, counts, strict=False)]
    if first(tags, COMPRESSION, UNCOMPRESSED) != UNCOMPRESSED or len(places) != len(counts):
        return PlanesAfter(tags)
    # without an empty block, so that all planes together have no more blocks than the file has bytes
    if not all(counts) or ends[:-1] != list(places[1:]) or not places:
        return PlanesAfter(tags)
    return PlanesAfter(tags, max(1, min(planes, (tiff.size - places[0]) // sum(counts))), sum(counts))


def decode_tiff(data: bytes, bit_depth: int) -> NDArray[np.uint8]:
    """Return the pixels of a page that `tiff_pages` gave, as grey [h, w]."""
    tiff, directory = open_tiff(io.BytesIO(data), len(data))
    tags, _ = directory_at(tiff, directory)
    # the page's size was checked before
    return decode_samples(read_layout(tags, np.inf), tags, tiff.order, _blocks(tiff, tags), bit_depth)


def open_tiff(file: BinaryIO, size: int) -> tuple[Tiff, int]:
    """Return the TIFF and the place of its first directory."""
    head = file.read(4)
    big = b"+" in head
    tiff = Tiff(file, size, "<" if head.startswith(b"I") else ">", "Q" if big else "I")
    (directory,) = tiff.numbers(tiff.offset, 8 if big else 4)
    return tiff, directory


@dataclass(frozen=True)
class Entry:
    """A tag of a directory: type, number of values, and where a short value stands."""

    kind: int
    values: int
    place: int


def entries_at(tiff: Tiff, at: int) -> tuple[dict[int, Entry], int]:
    """Return the entries of one image file directory, and the place of the next one (0: none)."""
    count_layout, entry_bytes, inline = ("Q", 20, 8) if tiff.offset == "Q" else ("H", 12, 4)
    (count,) = tiff.numbers(count_layout, at)
    start = at + struct.calcsize(tiff.order + count_layout)
    end = start + count * entry_bytes
    (following,) = tiff.numbers(tiff.offset, end)
    entries: dict[int, Entry] = {}
    table = struct.iter_unpack(f"{tiff.order}HH{tiff.offset}{inline}x", tiff.read(start, end - start))
    for place, (tag, kind, values) in zip(range(start, end, entry_bytes), table, strict=True):
        # the first of a repeated tag, as libtiff and tifffile have it: Micro-Manager repeats the description
        entries.setdefault(tag, Entry(kind, values, place + entry_bytes - inline))
    return entries, following


def directory_at(tiff: Tiff, at: int) -> tuple[Tags, int]:
    """Return the pixel tags of one image file directory, and the place of the next one (0: none)."""
    entries, following = entries_at(tiff, at)
    tags: Tags = {}
    for tag in _PIXEL_TAGS | _OTHER_TAGS:
        if tag not in entries:
            continue
        entry = entries[tag]
        if entry.kind not in _TYPES or not 0 < entry.values <= _MAX_VALUES:
            raise ImageFileError(f"damaged: tag {tag} of the TIFF cannot be read")
        written_as, each, number = _TYPES[entry.kind]
        layout = f"{each * entry.values}{number}"
        tags[tag] = (written_as, tiff.numbers(layout, value_at(tiff, entry, layout)))
    return tags, following


def value_at(tiff: Tiff, entry: Entry, layout: str) -> int:
    """Return the place of a value: in the entry itself if it fits, or where that points to."""
    if struct.calcsize(tiff.order + layout) <= struct.calcsize(tiff.order + tiff.offset):
        return entry.place
    return tiff.numbers(tiff.offset, entry.place)[0]


def page_of(tiff: Tiff, tags: Tags, number: int | None, max_megapixels: float) -> Page:
    """Return one page as a classic TIFF of its own: pixel data unchanged, pixel tags only."""
    layout = read_layout(tags, max_megapixels)
    before = tiff.spent["inflated"]
    if before and before + layout.inflated > MAX_INFLATION * tiff.size + _INFLATION_ALLOWANCE:
        raise ImageFileError(
            f"the pages of the TIFF have more than {MAX_INFLATION} bytes of pixels per byte of the file, "
            "unlike a camera's: save this page as a file of its own"
        )
    tiff.spent["inflated"] += layout.inflated
    places_tag, counts_tag = block_tags(tags)
    counts = tags[counts_tag][1]
    if sum(counts) > min(tiff.size, byte_limit(max_megapixels)):
        raise ImageFileError("truncated or damaged: the TIFF points to more data than there is")
    blocks = _blocks(tiff, tags)
    kept = {tag: field for tag, field in tags.items() if tag in _PIXEL_TAGS}
    kept[places_tag] = (_LONG, tuple(itertools.accumulate(counts[:-1], initial=8)))
    return Page(number, layout.width, layout.height, write_tiff(tiff.order, blocks, kept), layout.bits)


def _blocks(tiff: Tiff, tags: Tags) -> list[bytes]:
    places, counts = (tags[tag][1] for tag in block_tags(tags))
    return [tiff.read(place, count) for place, count in zip(places, counts, strict=True)]
