"""TIFF files, classic and BigTIFF: each page checked and repacked as a classic TIFF of its own."""

from __future__ import annotations

import io
import itertools
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.capture.page import BadPage, ImageFileError, Page, byte_limit
from edge.capture.tiff_axes import Plane, Stack, read_stack
from edge.capture.tiff_pixels import (
    COMPRESSION,
    PHOTOMETRIC,
    PLANAR,
    RGB,
    SAMPLES,
    UNCOMPRESSED,
    Tags,
    block_tags,
    decode_samples,
    first,
    read_layout,
    write_tiff,
)

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# TIFF 6.0 and its supplements: the tags that describe how pixels are stored. Orientation (274) is left out:
# boxes are in the raster as stored.
_PIXEL_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332, 338}
    | {339, 347, 529, 530, 531, 532}
)
_NEW_SUBFILE, _OLD_SUBFILE, _IMAGE_DEPTH = 254, 255, 32997
_DESCRIPTION, _METAMORPH, _LSM = 270, 33629, 34412
_OTHER_TAGS = frozenset({_NEW_SUBFILE, _OLD_SUBFILE, _IMAGE_DEPTH})
_REDUCED, _MASK = 1, 4  # bits of the new subfile type
_MAX_TEXT = 1 << 24
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


def tiff_pages(file: BinaryIO, size: int, max_megapixels: float, bit_depth: int) -> Iterator[Page | BadPage]:
    """Yield one page per field of view, in either byte order; see `image_file.read_pages`."""
    tiff, directory = _open(file, size)
    stack = _stack(tiff, directory) if directory else Stack()
    pages = _pages(tiff, directory)
    if len(stack.planes) > 1 or len(stack.channels) > 1:
        yield from _fields(tiff, [tags for tags, _ in pages], stack, max_megapixels, bit_depth)
        return
    number = -1
    for number, (tags, last) in enumerate(pages):
        yield _checked_page(tiff, tags, None if number == 0 and last else number, max_megapixels)
    if number < 0:
        raise ImageFileError("damaged: the TIFF holds no image")


def _pages(tiff: _Tiff, directory: int) -> Iterator[tuple[Tags, bool]]:
    """Yield the tags of each picture along the chain of directories, and whether the chain ends there."""
    seen: set[int] = set()
    while directory:
        if directory in seen:
            raise ImageFileError("damaged: the TIFF's pages run in a circle")
        seen.add(directory)
        tags, directory = _directory(tiff, directory)
        # not a preview, a pyramid level or a mask of another page
        if not first(tags, _NEW_SUBFILE, 0) & (_REDUCED | _MASK) and first(tags, _OLD_SUBFILE, 1) != 2:
            yield tags, directory == 0


def _checked_page(tiff: _Tiff, tags: Tags, number: int | None, max_megapixels: float) -> Page | BadPage:
    try:
        return _page(tiff, tags, number, max_megapixels)
    except ImageFileError as error:
        return BadPage(number, str(error))


def _fields(
    tiff: _Tiff, pages: list[Tags], stack: Stack, max_megapixels: float, bit_depth: int
) -> Iterator[Page | BadPage]:
    """Yield one page per field: of its channels the bright-field one, of its focal planes the sharpest."""
    channels = stack.select_channels()
    declared = 1 + max(plane.page for plane in stack.planes)
    if len(pages) == 1:
        pages = _planes_after(tiff, pages[0], declared)
    fields: dict[tuple[int, int], dict[int, dict[int, Plane]]] = {}
    for plane in stack.planes:
        if plane.page < len(pages) and plane.channel in channels:
            fields.setdefault(plane.field, {}).setdefault(plane.focus, {})[plane.channel] = plane
    for planes in fields.values():
        best, sharpest = None, -1.0
        for colours in planes.values():
            if len(colours) < len(channels):
                continue  # reported as missing below
            number = min(plane.page for plane in colours.values())
            try:
                tags = _merge_colours([pages[colours[channel].page] for channel in channels])
                page = _page(tiff, tags, number, max_megapixels)
                sharpness = _sharpness(page, bit_depth) if len(planes) > 1 else 0.0
            except ImageFileError as error:
                yield BadPage(number, str(error))
                continue
            if sharpness > sharpest:
                best, sharpest = page, sharpness
        if best:
            yield best
    if not fields:
        names = ", ".join(sorted({stack.channels[plane.channel] for plane in stack.planes}))
        yield BadPage(None, f"holds the channels {names} of a field, not the bright-field one")
    described = {plane.page for plane in stack.planes}
    for number in sorted(set(range(len(pages))) - described):
        yield BadPage(number, "a page that the metadata of the TIFF do not describe")
    if declared > len(pages):
        yield BadPage(
            None,
            f"{declared - len(pages)} of its {declared} planes were not read: the file is truncated, or they "
            "are stored in a way that is not supported; save it as a TIFF with one page per plane",
        )


def _planes_after(tiff: _Tiff, tags: Tags, planes: int) -> list[Tags]:
    """Return the pages of a stack with one directory, whose planes follow each other without a gap."""
    places_tag, counts_tag = block_tags(tags)
    places, counts = (tags.get(tag, (0, ()))[1] for tag in (places_tag, counts_tag))
    size = sum(counts)
    ends = [place + count for place, count in zip(places, counts, strict=False)]
    if first(tags, COMPRESSION, UNCOMPRESSED) != UNCOMPRESSED or size == 0 or len(places) != len(counts):
        return [tags]
    if ends[:-1] != list(places[1:]):
        return [tags]
    held = max(1, min(planes, (tiff.size - places[0]) // size))
    shifted = (tuple(place + plane * size for place in places) for plane in range(held))
    return [tags | {places_tag: (_LONG, there)} for there in shifted]


def _merge_colours(pages: list[Tags]) -> Tags:
    """Return the tags of one page with a separate plane per colour; those of a single page as they are."""
    if len(pages) == 1:
        return pages[0]
    layouts = {read_layout(tags, np.inf) for tags in pages}
    if len(layouts) > 1 or layouts.pop().samples > 1:
        raise ImageFileError("its red, green and blue pages are stored in different ways: save them as RGB")
    merged = pages[0] | {SAMPLES: (_LONG, (3,)), PHOTOMETRIC: (_LONG, (RGB,)), PLANAR: (_LONG, (2,))}
    for tag in block_tags(pages[0]):
        merged[tag] = (_LONG, tuple(number for tags in pages for number in tags[tag][1]))
    return merged


def _sharpness(page: Page, bit_depth: int) -> float:
    """Return the variance of the Laplacian."""
    return float(cv2.Laplacian(decode_tiff(page.data, bit_depth), cv2.CV_16S).var())


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


@dataclass(frozen=True)
class _Entry:
    """A tag of a directory: type, number of values, and where a short value stands."""

    kind: int
    values: int
    place: int


def _entries(tiff: _Tiff, at: int) -> tuple[dict[int, _Entry], int]:
    """Return the entries of one image file directory, and the place of the next one (0: none)."""
    count_layout, entry_bytes, inline = ("Q", 20, 8) if tiff.offset == "Q" else ("H", 12, 4)
    (count,) = tiff.numbers(count_layout, at)
    start = at + struct.calcsize(tiff.order + count_layout)
    end = start + count * entry_bytes
    (following,) = tiff.numbers(tiff.offset, end)
    entries = {}
    for place in range(start, end, entry_bytes):
        tag, kind, values = tiff.numbers("HH" + tiff.offset, place)
        entries[tag] = _Entry(kind, values, place + entry_bytes - inline)
    return entries, following


def _directory(tiff: _Tiff, at: int) -> tuple[Tags, int]:
    """Return the pixel tags of one image file directory, and the place of the next one (0: none)."""
    entries, following = _entries(tiff, at)
    tags: Tags = {}
    for tag in _PIXEL_TAGS | _OTHER_TAGS:
        if tag not in entries:
            continue
        entry = entries[tag]
        if entry.kind not in _TYPES or not 0 < entry.values <= _MAX_VALUES:
            raise ImageFileError(f"damaged: tag {tag} of the TIFF cannot be read")
        written_as, each, number = _TYPES[entry.kind]
        layout = f"{each * entry.values}{number}"
        tags[tag] = (written_as, tiff.numbers(layout, _value_at(tiff, entry, layout)))
    return tags, following


def _value_at(tiff: _Tiff, entry: _Entry, layout: str) -> int:
    """Return the place of a value: in the entry itself if it fits, or where that points to."""
    if struct.calcsize(tiff.order + layout) <= struct.calcsize(tiff.order + tiff.offset):
        return entry.place
    return tiff.numbers(tiff.offset, entry.place)[0]


def _stack(tiff: _Tiff, directory: int) -> Stack:
    """Return what the metadata in the first directory say of the file's pages."""
    entries, _ = _entries(tiff, directory)

    def value(tag: int, bytes_each: int) -> bytes:
        entry = entries.get(tag, _Entry(0, 0, 0))
        size = min(entry.values, _MAX_TEXT) * bytes_each
        place = _value_at(tiff, entry, f"{size}s") if size else 0
        return tiff.read(place, min(size, max(tiff.size - place, 0)))

    metamorph = value(_METAMORPH, 24)
    distances = struct.unpack(f"{tiff.order}{len(metamorph) // 4}I", metamorph[: len(metamorph) // 4 * 4])
    planes = entries[_METAMORPH].values if _METAMORPH in entries else 0
    return read_stack(value(_DESCRIPTION, 1), distances, planes, value(_LSM, 1))


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
    return Page(number, layout.width, layout.height, write_tiff(tiff.order, blocks, kept), layout.bits)


def _blocks(tiff: _Tiff, tags: Tags) -> list[bytes]:
    places, counts = (tags[tag][1] for tag in block_tags(tags))
    return [tiff.read(place, count) for place, count in zip(places, counts, strict=True)]
