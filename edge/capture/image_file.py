"""Still-image files taken apart before a decoder sees them: declared size, structure, checksums.

The decoders that OpenCV brings answer a damaged file in their own ways: some pad it with grey, some print
to the terminal, some allocate what a forged header asks for. So each format is walked here first, in plain
Python on bytes, and a decoder is only given a file that is complete, within the size limit, and stripped of
everything that does not say how its pixels are stored. What no checksum covers cannot be noticed: a flipped
bit among the pixels of a BMP, a JPEG or a TIFF that is not deflated.
"""

from __future__ import annotations

import itertools
import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
BMP_SIGNATURE = b"BM"
TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# No pixel of a supported file takes more than this many bytes, compressed badly or not (16-bit RGBA), and
# nothing around the pixels (profiles, previews) more than the allowance.
_BYTES_A_PIXEL = 8
_ALLOWANCE = 64 << 20


class ImageFileError(ValueError):
    """An image file, or one page of it, that must not reach a decoder; the message says why."""


@dataclass(frozen=True)
class Page:
    """One still image of a file, checked and ready to decode.

    Attributes
    ----------
    number : position among the file's images, from 0; None where it is the only one
    width, height : declared size, px; within the limit
    data : the encoded image, a complete file of its own
    """

    number: int | None
    width: int
    height: int
    data: bytes


@dataclass(frozen=True)
class BadPage:
    """One page of a file whose other pages may still be good."""

    number: int | None
    reason: str


def pages(file: BinaryIO, *, max_megapixels: float) -> Iterator[Page | BadPage]:
    """Walk a PNG, JPEG, BMP or TIFF file and yield each image in it, checked.

    One page is held at a time, whatever the length of a TIFF stack. A TIFF's reduced-resolution
    copies (previews, pyramid levels) are passed over.

    Parameters
    ----------
    file : opened for reading in binary, seekable; told apart by content, not by name
    max_megapixels : the largest declared size accepted, in millions of pixels

    Raises
    ------
    ImageFileError
        The file is none of these, incomplete, damaged, or over the limit.
    OSError
        The file cannot be read.
    """
    signature = file.read(8)
    size = file.seek(0, 2)
    file.seek(0)
    if signature.startswith(TIFF_SIGNATURES):
        yield from _tiff_pages(file, size, max_megapixels)
        return
    if not signature:
        raise ImageFileError("the file is empty")
    if signature.startswith(PNG_SIGNATURE):
        check = _check_png
    elif signature.startswith(JPEG_SIGNATURE):
        check = _check_jpeg
    elif signature.startswith(BMP_SIGNATURE):
        check = _check_bmp
    else:
        raise ImageFileError("not a PNG, JPEG, TIFF or BMP image, nor an AVI, MKV or MP4 video")
    if size > _byte_limit(max_megapixels):
        raise ImageFileError(f"too many bytes ({size}) for an image of at most {max_megapixels:g} megapixels")
    try:
        yield check(file.read(), max_megapixels)
    except (struct.error, IndexError):
        raise ImageFileError("truncated: the file ends inside its header") from None


def check_size(width: int, height: int, max_megapixels: float) -> None:
    """Refuse a declared size of no pixels, or of more than the limit.

    Raises
    ------
    ImageFileError
        With the declared size and the limit.
    """
    if width <= 0 or height <= 0:
        raise ImageFileError(f"damaged: it declares a size of {width} x {height} px")
    if width * height > max_megapixels * 1e6:
        raise ImageFileError(
            f"declares {width} x {height} px, {width * height / 1e6:.1f} megapixels; "
            f"the limit is {max_megapixels:g}"
        )


def _byte_limit(max_megapixels: float) -> float:
    return _BYTES_A_PIXEL * max_megapixels * 1e6 + _ALLOWANCE


def _check_png(data: bytes, max_megapixels: float) -> Page:
    """Verify every chunk's CRC and keep the chunks that hold pixels (PNG specification, section 11.2).

    Without the others the decoder has no profile to complain about and no transparency to apply.
    """
    width = height = 0
    kept = [PNG_SIGNATURE]
    position, kind = len(PNG_SIGNATURE), b""
    while kind != b"IEND":
        if position + 12 > len(data):
            raise ImageFileError("truncated: the PNG ends before its last chunk")
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            raise ImageFileError("truncated: the PNG ends inside a chunk")
        if zlib.crc32(memoryview(data)[position + 4 : end - 4]) != struct.unpack_from(">I", data, end - 4)[0]:
            raise ImageFileError("damaged: a PNG checksum does not match")
        if (kind == b"IHDR") != (len(kept) == 1):
            raise ImageFileError("damaged: the PNG header is not where it belongs")
        if kind == b"IHDR":
            width, height = struct.unpack_from(">II", data, position + 8)
            check_size(width, height, max_megapixels)
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            kept.append(data[position:end])
        position = end
    return Page(None, width, height, b"".join(kept))


# ITU-T T.81, table B.1: the frame headers (SOF), and what else may follow a scan of a progressive file.
_JPEG_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SOS, _JPEG_EOI = 0xDA, 0xD9
_JPEG_AFTER_SCAN = frozenset({0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xD9, 0xFE, *range(0xE0, 0xF0)})
# Inside a scan 0xFF is followed by 0 (a stuffed byte), by more 0xFF, or by a restart marker.
_JPEG_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _check_jpeg(data: bytes, max_megapixels: float) -> Page:
    """Walk the markers from the start to the end-of-image marker (ITU-T T.81, annex B).

    A decoder pads a scan that ends early with grey, so a file without its end is refused here.
    """
    width = height = 0
    position, marker, scanned = 2, 0, False
    while True:
        while data[position] == 0xFF:
            marker = data[(position := position + 1)]
        position += 1
        if marker == _JPEG_EOI:
            break
        if marker < 0xC0:
            raise ImageFileError("damaged: a JPEG marker is missing")
        (length,) = struct.unpack_from(">H", data, position)
        if marker in _JPEG_SOF:
            height, width = struct.unpack_from(">HH", data, position + 3)
            check_size(width, height, max_megapixels)
        position += length
        if marker == _JPEG_SOS:
            scanned = True
            end = _JPEG_SCAN_END.search(data, position)
            if end is None:
                raise ImageFileError("truncated: the JPEG ends before its end marker")
            position = end.start()
            if data[position + 1] not in _JPEG_AFTER_SCAN:
                raise ImageFileError("damaged: a marker inside the JPEG's data that cannot be there")
        marker = 0
    if not (width and scanned):
        raise ImageFileError("damaged: the JPEG holds no picture")
    return Page(None, width, height, data)


def _check_bmp(data: bytes, max_megapixels: float) -> Page:
    """Read the bitmap header; an uncompressed bitmap must hold as many bytes as its size needs."""
    (pixels_at, header) = struct.unpack_from("<II", data, 10)
    compression = 0
    if header == 12:  # BITMAPCOREHEADER
        width, height, _, bits = struct.unpack_from("<HHHH", data, 18)
    else:
        width, height, _, bits, compression = struct.unpack_from("<iiHHI", data, 18)
    height = abs(height)  # negative: stored from the top down
    check_size(width, height, max_megapixels)
    row_bytes = (width * bits + 31) // 32 * 4
    if compression in (0, 3) and pixels_at + row_bytes * height > len(data):
        raise ImageFileError("truncated: the BMP ends before its last row")
    return Page(None, width, height, data)


# TIFF 6.0 and its supplements: the tags that say how pixels are stored. Orientation (274) is left out on
# purpose, so that boxes are in the raster as stored.
_TIFF_PIXEL_TAGS = frozenset(
    {256, 257, 258, 259, 262, 266, 273, 277, 278, 279, 284, 292, 293, 317, 320, 322, 323, 324, 325, 332, 338}
    | {339, 347, 529, 530, 531, 532}
)
_TIFF_NEW_SUBFILE, _TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_COMPRESSION = 254, 256, 257, 259
_TIFF_STRIPS, _TIFF_TILES = (273, 279), (324, 325)  # offsets, byte counts
_TIFF_OLD_JPEG, _TIFF_DEFLATE = 6, (8, 32946)
_TIFF_MAX_VALUES = 1 << 20  # in one tag: more than a 100-megapixel image in strips of one row or 16 px tiles
# Field type -> (classic type to write it as, numbers a value, layout of a number); bytes and text as numbers.
_TIFF_LONG = 4
_TIFF_TYPES = {
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
        """Read numbers at a byte offset."""
        return struct.unpack(self.order + layout, self.read(at, struct.calcsize(self.order + layout)))

    def read(self, at: int, count: int) -> bytes:
        """Read bytes at a byte offset; past the end of the file, it is truncated."""
        if at + count > self.size:
            raise ImageFileError("truncated: the TIFF ends before the data it points to")
        self.file.seek(at)
        return self.file.read(count)


def _tiff_pages(file: BinaryIO, size: int, max_megapixels: float) -> Iterator[Page | BadPage]:
    """Follow the chain of directories, classic or BigTIFF, either byte order."""
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
        tags, directory = _tiff_directory(tiff, directory)
        if _first(tags, _TIFF_NEW_SUBFILE, 0) & 1:  # a reduced-resolution copy of another page
            continue
        label = None if number == 0 and directory == 0 else number
        try:
            yield _tiff_page(tiff, tags, label, max_megapixels)
        except ImageFileError as error:
            yield BadPage(label, str(error))
        number += 1
    if number == 0:
        raise ImageFileError("damaged: the TIFF holds no image")


def _tiff_directory(tiff: _Tiff, at: int) -> tuple[_Tags, int]:
    """Read one image file directory: its pixel tags, and where the next one is (0: nowhere)."""
    count_layout, entry_bytes, inline = ("Q", 20, 8) if tiff.offset == "Q" else ("H", 12, 4)
    (count,) = tiff.numbers(count_layout, at)
    entries = at + struct.calcsize(tiff.order + count_layout)
    end = entries + count * entry_bytes
    (following,) = tiff.numbers(tiff.offset, end)
    tags: _Tags = {}
    for entry in range(entries, end, entry_bytes):
        tag, kind, values = tiff.numbers("HH" + tiff.offset, entry)
        if tag not in _TIFF_PIXEL_TAGS and tag != _TIFF_NEW_SUBFILE:
            continue
        if kind not in _TIFF_TYPES or not 0 < values <= _TIFF_MAX_VALUES:
            raise ImageFileError(f"damaged: tag {tag} of the TIFF cannot be read")
        written_as, each, number = _TIFF_TYPES[kind]
        layout = f"{each * values}{number}"
        place = entry + entry_bytes - inline
        if struct.calcsize(tiff.order + layout) > inline:
            (place,) = tiff.numbers(tiff.offset, place)
        tags[tag] = (written_as, tiff.numbers(layout, place))
    return tags, following


def _first(tags: _Tags, tag: int, default: int) -> int:
    return tags[tag][1][0] if tag in tags else default


def _tiff_page(tiff: _Tiff, tags: _Tags, number: int | None, max_megapixels: float) -> Page:
    """Repack one page as a classic TIFF of its own: pixel data unchanged, pixel tags only."""
    width, height = _first(tags, _TIFF_WIDTH, 0), _first(tags, _TIFF_HEIGHT, 0)
    check_size(width, height, max_megapixels)
    compression = _first(tags, _TIFF_COMPRESSION, 1)
    if compression == _TIFF_OLD_JPEG:
        raise ImageFileError("a TIFF with the withdrawn JPEG compression 6 is not supported")
    places_tag, counts_tag = _TIFF_TILES if _TIFF_TILES[0] in tags else _TIFF_STRIPS
    places, counts = (tags.get(tag, (0, ()))[1] for tag in (places_tag, counts_tag))
    if not places or len(places) != len(counts):
        raise ImageFileError("damaged: the TIFF does not say where its pixels are")
    if sum(counts) > min(tiff.size, _byte_limit(max_megapixels)):
        raise ImageFileError("truncated or damaged: the TIFF points to more data than there is")
    blocks = [tiff.read(place, count) for place, count in zip(places, counts, strict=True)]
    if compression in _TIFF_DEFLATE:
        for block in blocks:
            _check_deflate(block, _byte_limit(max_megapixels))
    starts = tuple(itertools.accumulate(counts[:-1], initial=8))
    kept = {tag: field for tag, field in tags.items() if tag in _TIFF_PIXEL_TAGS}
    kept[places_tag] = (_TIFF_LONG, starts)
    return Page(number, width, height, _write_tiff(tiff.order, blocks, kept))


def _check_deflate(block: bytes, limit: float) -> None:
    """Inflate a block only for its Adler-32 checksum, which the TIFF decoder ignores."""
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
    """Lay out a one-page classic TIFF: header, blocks, directory, long values (TIFF 6.0, section 2)."""
    layouts = {kind: layout for kind, _, layout in _TIFF_TYPES.values() if layout != "Q"}
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
