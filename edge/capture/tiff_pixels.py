"""Pixels of a TIFF page: which variants are read, and the samples as grey.

The header decides, before anything is decoded: each variant is read exactly or refused by name. OpenCV's
TIFF reader is not asked for a picture, because it shows a block that it cannot decode as black, ignores the
photometric interpretation above 8 bits, and mixes up planes. It only decompresses LZW, one block at a time.
"""

from __future__ import annotations

import itertools
import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.capture.decode_image import decode_image
from edge.capture.jpeg_file import jpeg_size
from edge.capture.page import MAX_BLOCKS, MAX_LZW_BYTES, MAX_OVERHANG, ImageFileError, check_size

Samples = NDArray[Any]
"""Unsigned samples of 8 or 16 bits."""
Bytes = bytes | bytearray | memoryview
Tags = dict[int, tuple[int, tuple[int, ...]]]
"""Tag -> (TIFF type to write it as, its numbers)."""

WIDTH, HEIGHT, STRIP_OFFSETS, STRIP_COUNTS, TILE_OFFSETS, TILE_COUNTS = 256, 257, 273, 279, 324, 325
BITS, COMPRESSION, PHOTOMETRIC, _FILL_ORDER, SAMPLES, _ROWS_PER_STRIP = 258, 259, 262, 266, 277, 278
PLANAR, _PREDICTOR, _COLOUR_MAP, _TILE_WIDTH, _TILE_HEIGHT = 284, 317, 320, 322, 323
EXTRA_SAMPLES, _SAMPLE_FORMAT, _JPEG_TABLES, _IMAGE_DEPTH = 338, 339, 347, 32997

UNCOMPRESSED, _LZW, _JPEG, _DEFLATE, _PACKBITS = 1, 5, 7, (8, 32946), 32773
_COMPRESSIONS = {UNCOMPRESSED, _LZW, _JPEG, *_DEFLATE, _PACKBITS}
_MIN_IS_WHITE, MIN_IS_BLACK, RGB, _PALETTE, _YCBCR = 0, 1, 2, 3, 6
_PACKED_BITS = (1, 2, 4, 10, 12, 14)
_ALPHA = (1, 2)

# The registered values that no reader here decodes: TIFF 6.0, its supplements, and vendors' own.
_COMPRESSION_NAMES = dict.fromkeys((9, 10, 34661), "JBIG")
_COMPRESSION_NAMES |= dict.fromkeys((22610, 34934), "JPEG XR")
_COMPRESSION_NAMES |= dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000")
_COMPRESSION_NAMES |= dict.fromkeys((34676, 34677), "SGI LogLuv")
_COMPRESSION_NAMES |= dict.fromkeys((34926, 50000), "Zstandard")
_COMPRESSION_NAMES |= dict.fromkeys((34927, 50001), "WebP")
_COMPRESSION_NAMES |= dict.fromkeys((50002, 52546), "JPEG XL")
_COMPRESSION_NAMES |= {
    2: "CCITT RLE",
    3: "CCITT fax 3",
    4: "CCITT fax 4",
    6: "the withdrawn JPEG",
    32766: "NeXT",
}
_COMPRESSION_NAMES |= {32809: "ThunderScan", 33007: "JPEG", 34887: "LERC", 34892: "lossy JPEG", 34925: "LZMA"}
_COMPRESSION_NAMES |= {34933: "PNG"}
_PHOTOMETRIC_NAMES = {0: "MinIsWhite", 1: "MinIsBlack", 2: "RGB", 3: "palette", 4: "transparency mask"}
_PHOTOMETRIC_NAMES |= {5: "CMYK", 6: "YCbCr", 8: "CIE L*a*b*", 9: "ICC L*a*b*", 10: "ITU L*a*b*"}
_PHOTOMETRIC_NAMES |= {32803: "colour filter array", 32844: "LogL", 32845: "LogLuv", 34892: "linear raw"}
_FORMAT_NAMES = {2: "signed integer", 3: "floating-point", 5: "complex integer", 6: "complex"}
_AT_ONCE = 1 << 22
"""Bytes of a block that are decompressed and turned to grey at once: a page may be a single strip."""
_TOO_FEW = "truncated or damaged: a block of the TIFF holds too few pixels"
_NOT_ITS_SIZE = "damaged: a block of the TIFF does not inflate to its size"
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True)
class Layout:
    """How the samples of a supported page are stored."""

    width: int
    height: int
    bits: int
    compression: int
    photometric: int
    samples: int
    separate: bool
    predictor: bool
    block_width: int
    block_height: int
    across: int
    down: int

    @property
    def inflated(self) -> int:
        """Bytes of the page's blocks, decompressed, or its pixels if they are more."""
        rows = self.down * self.block_height * (self.samples if self.separate else 1)
        return max(self.width * self.height, rows * self.across * self.row_bytes)

    @property
    def row_bytes(self) -> int:
        """Bytes of one row of a block."""
        return (self.block_width * (1 if self.separate else self.samples) * self.bits + 7) // 8


def first(tags: Tags, tag: int, default: int) -> int:
    """Return the first number of a tag."""
    return tags[tag][1][0] if tag in tags else default


def block_tags(tags: Tags) -> tuple[int, int]:
    """Return the tags with the offsets and the byte counts of the blocks: tiles or strips."""
    return (TILE_OFFSETS, TILE_COUNTS) if TILE_OFFSETS in tags else (STRIP_OFFSETS, STRIP_COUNTS)


def read_layout(tags: Tags, max_megapixels: float) -> Layout:
    """Return the layout of a page; refuse by name what cannot be read exactly."""
    width, height = first(tags, WIDTH, 0), first(tags, HEIGHT, 0)
    check_size(width, height, max_megapixels)
    compression, samples = first(tags, COMPRESSION, UNCOMPRESSED), first(tags, SAMPLES, 1)
    photometric = first(tags, PHOTOMETRIC, MIN_IS_BLACK if samples < 3 else RGB)
    bits, predictor = first(tags, BITS, 1), first(tags, _PREDICTOR, 1)
    if compression not in _COMPRESSIONS:
        raise _refused(f"{_COMPRESSION_NAMES.get(compression, 'unknown')} compression ({compression})")
    sample_formats = set(tags.get(_SAMPLE_FORMAT, (0, (1,)))[1]) - {1, 4}  # unsigned, undefined
    if sample_formats:
        kind = min(sample_formats)
        raise _refused(f"{bits}-bit {_FORMAT_NAMES.get(kind, 'unknown')} samples (sample format {kind})")
    if len(set(tags.get(BITS, (0, (1,)))[1])) > 1 or bits not in (8, 16, *_PACKED_BITS):
        raise _refused(f"{'/'.join(map(str, tags[BITS][1][:4]))} bits per sample")
    if first(tags, _IMAGE_DEPTH, 1) != 1:
        raise _refused("a volume in one page (image depth tag)")
    _check_samples(tags, photometric, samples, compression, bits)
    if predictor != 1 and compression in (_LZW, *_DEFLATE) and (predictor != 2 or bits not in (8, 16)):
        raise _refused(f"predictor {predictor} at {bits} bits per sample")
    if TILE_OFFSETS in tags:
        block_width, block_height = first(tags, _TILE_WIDTH, 0), first(tags, _TILE_HEIGHT, 0)
        check_size(block_width, block_height, max_megapixels)
    else:
        block_width, block_height = width, min(first(tags, _ROWS_PER_STRIP, height) or height, height)
    across, down = -(-width // block_width), -(-height // block_height)
    separate = first(tags, PLANAR, 1) == 2 and samples > 1
    blocks, places = (len(tags.get(tag, (0, ()))[1]) for tag in reversed(block_tags(tags)))
    if not blocks or blocks != places:
        raise ImageFileError("damaged: the TIFF does not say where its pixels are")
    if blocks > MAX_BLOCKS * (samples if separate else 1):
        raise ImageFileError(f"a TIFF page of more than {MAX_BLOCKS:,} strips or tiles is not supported")
    if across * block_width * down * block_height > width * height + MAX_OVERHANG:
        raise ImageFileError("damaged: the tiles of the TIFF reach far beyond its edges")
    if blocks != across * down * (samples if separate else 1):
        raise ImageFileError("damaged: the TIFF has too few or too many blocks for its size")
    return Layout(
        width=width,
        height=height,
        bits=bits,
        compression=compression,
        photometric=photometric,
        samples=samples,
        separate=separate,
        predictor=predictor == 2 and compression in (_LZW, *_DEFLATE),
        block_width=block_width,
        block_height=block_height,
        across=across,
        down=down,
    )


def _check_samples(tags: Tags, photometric: int, samples: int, compression: int, bits: int) -> None:
    """Refuse photometric interpretations, and samples per pixel, that are not read."""
    name = (
        f"{_PHOTOMETRIC_NAMES.get(photometric, 'unknown')} pixels (photometric interpretation {photometric})"
    )
    colours = {_MIN_IS_WHITE: 1, MIN_IS_BLACK: 1, RGB: 3, _PALETTE: 1, _YCBCR: 3}.get(photometric)
    if colours is None or (photometric == _YCBCR and compression != _JPEG):
        raise _refused(name)
    if compression == _JPEG and (bits != 8 or samples != colours or photometric == _PALETTE):
        raise _refused(f"JPEG-compressed {name} of {samples} samples, {bits} bits")
    if photometric == _PALETTE and (bits > 8 or len(tags.get(_COLOUR_MAP, (0, ()))[1]) != 3 * 2**bits):
        raise _refused(f"{name} of {bits} bits, or with an incomplete palette")
    extra = tags.get(EXTRA_SAMPLES, (0, ()))[1]
    alpha_only = samples - colours == 1 and (photometric == RGB or (len(extra) == 1 and extra[0] in _ALPHA))
    if samples != colours and not alpha_only:
        raise ImageFileError(
            f"a TIFF with {samples} samples per pixel, {name}: if they are channels, save the bright-field "
            "channel alone"
        )


def _refused(what: str) -> ImageFileError:
    return ImageFileError(
        f"a TIFF with {what} is not supported: save it as unsigned 8 or 16-bit grey or RGB, deflate or LZW"
    )


def decode_samples(
    layout: Layout, tags: Tags, order: str, blocks: list[bytes], bit_depth: int
) -> NDArray[np.uint8]:
    """Return the page as uint8 grey [h, w]; `bit_depth` is that of 16-bit samples, see `read_encoded`."""
    planes = layout.samples if layout.separate else 1
    depth = 1 if layout.separate or layout.compression == _JPEG else layout.samples
    reversed_bits = first(tags, _FILL_ORDER, 1) == 2 and layout.compression != _JPEG
    tables = bytes(tags.get(_JPEG_TABLES, (0, ()))[1])
    image = np.empty((layout.height, layout.width), np.uint8)
    places = layout.across * layout.down
    for place in range(places):
        down, across = divmod(place, layout.across)
        y, x = down * layout.block_height, across * layout.block_width
        rows = layout.block_height if TILE_OFFSETS in tags else min(layout.block_height, layout.height - y)
        stored = blocks[place::places]
        if reversed_bits:
            stored = [block.translate(_REVERSED) for block in stored]
        if layout.compression == _JPEG:
            samples: Samples = np.stack([_decode_jpeg(layout, block, tables, rows) for block in stored])
            _fill(image, _grey(layout, tags, samples, bit_depth), y, x)
            continue
        # bits are bytes while they are unpacked
        step = max(1, _AT_ONCE // (layout.row_bytes * planes * (8 if layout.bits in _PACKED_BITS else 1)))
        pieces = (_pieces(layout, block, rows, step) for block in stored)
        # to the end of each block, where its checksum is
        for top, *parts in zip(range(0, rows, step), *pieces, strict=True):
            if y + top >= layout.height:
                continue
            unpacked = [_unpack(layout, data, min(step, rows - top), depth, order) for data in parts]
            samples = np.stack(unpacked)[..., 0] if layout.separate else np.moveaxis(unpacked[0], -1, 0)
            _fill(image, _grey(layout, tags, samples, bit_depth), y + top, x)
    return image


def _fill(image: NDArray[np.uint8], part: NDArray[np.uint8], y: int, x: int) -> None:
    """Put a part of an image in its place; blocks at the right and at the bottom reach over the edge."""
    place = image[y : y + part.shape[0], x : x + part.shape[1]]
    place[:] = part[: place.shape[0], : place.shape[1]]


def _pieces(layout: Layout, block: bytes, rows: int, step: int) -> Iterator[Bytes]:
    """Yield the `rows` rows of a block, decompressed, `step` at a time; a whole one may take much memory."""
    sizes = [min(step, rows - top) * layout.row_bytes for top in range(0, rows, step)]
    if layout.compression in _DEFLATE:
        yield from _inflated(block, sizes, layout.block_height * layout.row_bytes)
    elif layout.compression == _PACKBITS:
        yield from _unpacked_runs(block, sizes)
    else:
        lzw = layout.compression == _LZW
        data = _decode_lzw(block, rows, layout.row_bytes) if lzw else memoryview(block)
        for end, size in zip(itertools.accumulate(sizes), sizes, strict=True):
            if end > len(data):
                raise ImageFileError(_TOO_FEW)
            yield data[end - size : end]


def _inflated(block: bytes, sizes: list[int], whole: int) -> Iterator[bytes]:
    """Inflate a block in pieces; some writers pad the last strip to a `whole` one."""
    inflater = zlib.decompressobj()
    chunks = (block[at : at + _AT_ONCE] for at in range(0, len(block), _AT_ONCE))

    def taken(most: int) -> bytes:
        parts: list[bytes] = []
        while most and not inflater.eof and (stored := inflater.unconsumed_tail or next(chunks, b"")):
            try:
                parts.append(inflater.decompress(stored, most))
            except zlib.error:
                raise ImageFileError("damaged: a checksum of the TIFF does not match") from None
            most -= len(parts[-1])
        return b"".join(parts)

    for size in sizes:
        piece = taken(size)
        if len(piece) < size:
            raise ImageFileError(_TOO_FEW if inflater.eof else _NOT_ITS_SIZE)
        yield piece
    # to the end of the stream, where the Adler-32 checksum is verified
    spare = whole - sum(sizes)
    if len(taken(spare + 1)) > spare or not inflater.eof:
        raise ImageFileError(_NOT_ITS_SIZE)


def _unpacked_runs(block: bytes, sizes: list[int]) -> Iterator[bytearray]:
    """Decode PackBits (TIFF 6.0, section 9) in pieces."""
    held, at = bytearray(), 0
    for size in sizes:
        while len(held) < size and at + 1 < len(block):
            code = block[at]
            if code < 128:
                held += block[at + 1 : at + 2 + code]
                at += 2 + code
            else:
                held += block[at + 1 : at + 2] * (257 - code) if code > 128 else b""
                at += 2 if code > 128 else 1
        if len(held) < size:
            raise ImageFileError(_TOO_FEW)
        following = held[size:]
        del held[size:]
        yield held
        held = following


def _decode_lzw(block: bytes, rows: int, row_bytes: int) -> memoryview:
    """Decompress with OpenCV, as the only strip of a 16-bit picture: at 8 bits it does not report errors."""
    if rows * row_bytes > MAX_LZW_BYTES:
        raise ImageFileError(
            f"an LZW strip or tile of more than {MAX_LZW_BYTES >> 20} MB is not supported: save it in "
            "smaller ones, or with deflate"
        )
    if rows * row_bytes % 2 == 0:
        width = row_bytes if row_bytes % 2 else row_bytes // 2
        return _lzw_picture(block, width, rows * row_bytes // 2 // width, 16)
    # An odd number of bytes is no 16-bit picture: all but its last byte, or last row, is verified as one.
    if row_bytes * rows < 1 << 21:
        if row_bytes * rows > 1:
            _lzw_picture(block, row_bytes * rows // 2, 1, 16)
    else:
        _lzw_picture(block, row_bytes, rows // 2, 16)
    return _lzw_picture(block, row_bytes, rows, 8)


def _lzw_picture(block: bytes, width: int, height: int, bits: int) -> memoryview:
    values = {WIDTH: width, HEIGHT: height, BITS: bits, COMPRESSION: _LZW, PHOTOMETRIC: MIN_IS_BLACK}
    values |= {STRIP_OFFSETS: 8, SAMPLES: 1, _ROWS_PER_STRIP: height, STRIP_COUNTS: len(block)}
    tags: Tags = {tag: (4, (value,)) for tag, value in values.items()}
    image = decode_image(write_tiff("<", [block], tags))
    if image is None or image.shape != (height, width):
        raise ImageFileError("truncated or damaged: an LZW block of the TIFF cannot be decoded")
    return np.ascontiguousarray(image).data.cast("B")


def _decode_jpeg(layout: Layout, block: bytes, tables: bytes, rows: int) -> NDArray[np.uint8]:
    """Decode a JPEG stream, with the page's shared tables, to one plane of grey."""
    # the colour transform stands in the TIFF (ITU-T T.872, 6.5.3: an Adobe segment says it to the decoder)
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0" + bytes([layout.photometric == _YCBCR])
    data = b"\xff\xd8" + adobe + tables[2:-2] + block[2:]
    try:
        width, height = jpeg_size(data, math.inf)
    except (struct.error, IndexError):
        raise ImageFileError("truncated: a JPEG block of the TIFF ends inside its header") from None
    image = (
        decode_image(data) if width == layout.block_width and height in (rows, layout.block_height) else None
    )
    if image is None or image.shape != (height, width):
        raise ImageFileError("damaged: a JPEG block of the TIFF is not of its size, or cannot be decoded")
    return image[:rows].astype(np.uint8, copy=False)


def _unpack(layout: Layout, data: Bytes, rows: int, depth: int, order: str) -> Samples:
    """Return the samples [rows, columns, depth] of a decompressed block."""
    shape = (rows, layout.block_width, depth)
    if layout.bits not in _PACKED_BITS:
        samples = np.frombuffer(data, f"{order}u{layout.bits // 8}").reshape(shape)
        native = samples.dtype.newbyteorder("=")
        if not layout.predictor:
            return samples.astype(native, copy=False)
        # horizontal differences, modulo the sample's range
        return np.cumsum(samples, axis=1, dtype=native)
    bits = np.unpackbits(np.frombuffer(data, np.uint8).reshape(rows, -1), axis=1)
    bits = bits[:, : layout.block_width * depth * layout.bits].reshape(*shape, layout.bits)
    values = bits @ np.array([1 << k for k in reversed(range(layout.bits))], np.uint16)
    return values.astype(np.uint8) if layout.bits <= 8 else values


def _grey(layout: Layout, tags: Tags, planes: Samples, bit_depth: int) -> NDArray[np.uint8]:
    """Return samples [planes, h, w] as grey: BT.601, scaled to 8 bits, white bright."""
    bits = bit_depth if layout.bits == 16 else layout.bits
    if layout.photometric == _PALETTE:
        colours = np.array(tags[_COLOUR_MAP][1], np.uint16).reshape(3, -1)
        # the high byte, as libtiff has it; writers that stored 8 bits never reach 256
        shift = 8 if colours.max() > 255 else 0
        planes, bits = (colours >> shift).astype(np.uint8)[:, planes[0]], 8
    elif bits < 8:
        planes, bits = (planes * (255 // (2**bits - 1))).astype(np.uint8), 8
    if len(planes) >= 3:
        grey = cv2.cvtColor(np.ascontiguousarray(np.moveaxis(planes[:3], 0, -1)), cv2.COLOR_RGB2GRAY)
    else:
        grey = np.ascontiguousarray(planes[0])
    if bits != 8:
        grey = cv2.convertScaleAbs(grey, alpha=255 / (2**bits - 1))
    if layout.photometric == _MIN_IS_WHITE:
        grey = 255 - grey
    return grey.astype(np.uint8, copy=False)


def write_tiff(order: str, blocks: list[bytes], tags: Tags) -> bytes:
    """Return a one-page classic TIFF: header, blocks, directory, long values (TIFF 6.0, section 2)."""
    layouts = {1: "B", 2: "B", 3: "H", 4: "I", 5: "I", 7: "B"}
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
