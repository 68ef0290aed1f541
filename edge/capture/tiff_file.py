"""TIFF files, classic and BigTIFF: each page checked and repacked as a classic TIFF of its own."""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from edge.capture.page import BadPage, ImageFileError, Page, byte_limit, check_size

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# TIFF 6.0 and its supplements: the tags that describe how pixels are stored. Orientation (274) is left out:
# boxes are in the raster as stored.
_PIXEL_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332, 338}
    | {339, 347, 529, 530, 531, 532}
)
_NEW_SUBFILE, _WIDTH, _HEIGHT, _COMPRESSION = 254, 256, 257, 259
_STRIPS, _TILES = (273, 279), (324, 325)  # offsets, byte counts
_OLD_JPEG, _DEFLATE = 6, (8, 32946)
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

_Tags = dict[int, tuple[int, tuple[int, ...]]]  # tag -> (type to write it as, its numbers)


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
    head = file.read(4)
    big = b"+" in head
    tiff = _Tiff(file, size, "<" if head.startswith(b"I") else ">", "Q" if big else "I")
    (directory,) = tiff.numbers(tiff.offset, 8 if big else 4)
    seen: set[int] = set()
    number = 0
    while directory:
        if directory in seen:
            raise ImageFileError("damaged: the TIFF's pages run in a circle")
        seen.add(directory)
        tags, directory = _directory(tiff, directory)
        if _first(tags, _NEW_SUBFILE, 0) & 1:  # a reduced-resolution copy of another page
            continue
        label = None if number == 0 and directory == 0 else number
        try:
            yield _page(tiff, tags, label, max_megapixels)
        except ImageFileError as error:
            yield BadPage(label, str(error))
        number += 1
    if number == 0:
        raise ImageFileError("damaged: the TIFF holds no image")


def _directory(tiff: _Tiff, at: int) -> tuple[_Tags, int]:
    """Return the pixel tags of one image file directory, and the place of the next one (0: none)."""
    count_layout, entry_bytes, inline = ("Q", 20, 8) if tiff.offset == "Q" else ("H", 12, 4)
    (count,) = tiff.numbers(count_layout, at)
    entries = at + struct.calcsize(tiff.order + count_layout)
    end = entries + count * entry_bytes
    (following,) = tiff.numbers(tiff.offset, end)
    tags: _Tags = {}
    for entry in range(entries, end, entry_bytes):
        tag, kind, values = tiff.numbers("HH" + tiff.offset, entry)
        if tag not in _PIXEL_TAGS and tag != _NEW_SUBFILE:
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


def _first(tags: _Tags, tag: int, default: int) -> int:
    return tags[tag][1][0] if tag in tags else default


def _page(tiff: _Tiff, tags: _Tags, number: int | None, max_megapixels: float) -> Page:
    """Return one page as a classic TIFF of its own: pixel data unchanged, pixel tags only."""
    width, height = _first(tags, _WIDTH, 0), _first(tags, _HEIGHT, 0)
    check_size(width, height, max_megapixels)
    compression = _first(tags, _COMPRESSION, 1)
    if compression == _OLD_JPEG:
        raise ImageFileError("a TIFF with the withdrawn JPEG compression 6 is not supported")
    places_tag, counts_tag = _TILES if _TILES[0] in tags else _STRIPS
    places, counts = (tags.get(tag, (0, ()))[1] for tag in (places_tag, counts_tag))
    if not places or len(places) != len(counts):
        raise ImageFileError("damaged: the TIFF does not say where its pixels are")
    if sum(counts) > min(tiff.size, byte_limit(max_megapixels)):
        raise ImageFileError("truncated or damaged: the TIFF points to more data than there is")
    blocks = [tiff.read(place, count) for place, count in zip(places, counts, strict=True)]
    if compression in _DEFLATE:
        for block in blocks:
            _check_deflate(block, byte_limit(max_megapixels))
    starts = tuple(itertools.accumulate(counts[:-1], initial=8))
    kept = {tag: field for tag, field in tags.items() if tag in _PIXEL_TAGS}
    kept[places_tag] = (_LONG, starts)
    return Page(number, width, height, _write_tiff(tiff.order, blocks, kept))


def _check_deflate(block: bytes, limit: float) -> None:
    """Inflate a block to verify its Adler-32 checksum, which the TIFF decoder ignores."""
    inflater = zlib.decompressobj()
    total = 0
    try:
        while not inflater.eof:
            part = inflater.decompress(block, 1 << 20)
            block = inflater.unconsumed_tail
            total += len(part)
            if not part or total > limit:
                raise ImageFileError("damaged: a block of the TIFF does not inflate to its size")
    except zlib.error:
        raise ImageFileError("damaged: a checksum of the TIFF does not match") from None


def _write_tiff(order: str, blocks: list[bytes], tags: _Tags) -> bytes:
    """Return a one-page classic TIFF: header, blocks, directory, long values (TIFF 6.0, section 2)."""
    layouts = {kind: layout for kind, _, layout in _TYPES.values() if layout != "Q"}
    directory_at = 8 + sum(map(len, blocks))
    long_values_at = directory_at + 2 + 12 * len(tags) + 4
    directory, long_values = struct.pack(order + "H", len(tags)), b""
    for tag, (kind, numbers) in sorted(tags.items()):
        value = struct.pack(f"{order}{len(numbers)}{layouts[kind]}", *numbers)
        count = len(numbers) // (2 if kind == 5 else 1)
        if len(value) > 4:
            place = struct.pack(order + "I", long_values_at + len(long_values))
            long_values += value
        else:
            place = value.ljust(4, b"\0")
        directory += struct.pack(order + "HHI", tag, kind, count) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", directory_at)
    return b"".join([head, *blocks, directory, bytes(4), long_values])
