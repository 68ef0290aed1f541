"""Still-image files checked before a decoder sees them: declared size, structure, checksums.

OpenCV's decoders react to a damaged file in different ways: some pad it with grey, some print to the
terminal, some allocate what a forged header asks for. So each format is parsed here first. A decoder only
gets a file that is complete, within the size limit, and stripped of everything that does not describe how its
pixels are stored. Errors that no checksum covers stay: a flipped bit among the pixels of a BMP or of a TIFF
that is not deflated, and in a JPEG those that `edge.capture.decode_image` does not notice.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from edge.base import StatedPixel
from edge.capture.foreign import HEAD_BYTES, format_name
from edge.capture.jpeg_file import jpeg_size
from edge.capture.page import TIFF_SIGNATURES, BadPage, ImageFileError, Page, byte_limit, check_size
from edge.capture.planes import PlaneChoice
from edge.capture.stated_pixel import bmp_pixel, jpeg_pixel, png_pixel

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
JPEG_SIGNATURE = b"\xff\xd8\xff"
BMP_SIGNATURE = b"BM"


def read_pages(
    file: BinaryIO, *, max_megapixels: float, bit_depth: int = 16, planes: PlaneChoice = PlaneChoice()
) -> Iterator[Page | BadPage]:
    """Yield each image of a PNG, JPEG, BMP or TIFF file, recognised by content and checked.

    One page is held at a time, whatever the length of a TIFF stack. Reduced-resolution copies in a TIFF
    (previews, pyramid levels) are skipped. Where its metadata say that pages are channels or focal planes of
    one field, one page stands for the field: by default the sharpest of the bright-field channel.

    Raises
    ------
    ImageFileError
        If the file is none of these, incomplete, damaged, or over the limit.
    OSError
        If the file cannot be read.
    """
    signature = file.read(HEAD_BYTES)
    size = file.seek(0, 2)
    file.seek(0)
    if signature.startswith(TIFF_SIGNATURES):
        from edge.capture.tiff_fields import tiff_pages

        yield from tiff_pages(file, size, max_megapixels, bit_depth, planes)
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
        raise ImageFileError(
            f"{name} is not supported: save its images as PNG or TIFF"
            if (name := format_name(signature))
            else "not a PNG, JPEG, TIFF or BMP image, nor an AVI, MKV or MP4 video: save it as one of these"
        )
    if size > byte_limit(max_megapixels):
        raise ImageFileError(f"too many bytes ({size}) for an image of at most {max_megapixels:g} megapixels")
    try:
        page = check(file.read(), max_megapixels)
    except (struct.error, IndexError):
        raise ImageFileError("truncated: the file ends inside its header") from None
    (pixel,) = stated_pixels(file)
    yield replace(page, pixel=pixel, notes=planes.idle())


def stated_pixels(file: BinaryIO) -> tuple[StatedPixel | None, ...]:
    """Return the pixel of each image of a file, by its header alone; empty if it is no image.

    Raises
    ------
    ImageFileError, struct.error, OSError
        If the file is damaged, or cannot be read.
    """
    file.seek(0)
    signature = file.read(8)
    if signature.startswith(TIFF_SIGNATURES):
        from edge.capture.tiff_fields import tiff_pixels_stated

        size = file.seek(0, 2)
        file.seek(0)
        return tiff_pixels_stated(file, size)
    if signature.startswith(PNG_SIGNATURE):
        return (png_pixel(file),)
    if signature.startswith(JPEG_SIGNATURE):
        return (jpeg_pixel(file),)
    return (bmp_pixel(file),) if signature.startswith(BMP_SIGNATURE) else ()


def _check_png(data: bytes, max_megapixels: float) -> Page:
    """Verify the CRC of every chunk and keep the chunks with pixels (PNG specification, section 11.2).

    Without the others the decoder has no profile to complain about and no transparency to apply.
    """
    width = height = bits = held = 0
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
            width, height, bits = struct.unpack_from(">IIB", data, position + 8)
            check_size(width, height, max_megapixels)
        held += length if kind == b"IDAT" else 0
        if held > _most_png_bytes(width, height):
            raise ImageFileError("damaged: the PNG holds more data than its size takes")
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            kept.append(data[position:end])
        position = end
    return Page(None, width, height, b"".join(kept), bits)


def _most_png_bytes(width: int, height: int) -> int:
    """Return the most bytes that the pixels of a PNG may take: twice those of 16-bit RGBA, not deflated.

    What follows the last row is inflated too, and thrown away.
    """
    return 2 * height * (8 * width + 8) + (1 << 16)


def _check_jpeg(data: bytes, max_megapixels: float) -> Page:
    width, height = jpeg_size(data, max_megapixels)
    return Page(None, width, height, data)


def _check_bmp(data: bytes, max_megapixels: float) -> Page:
    """Read the bitmap header; an uncompressed bitmap must hold all bytes of its size."""
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
