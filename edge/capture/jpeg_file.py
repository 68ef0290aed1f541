"""The structure of a JPEG file or stream, followed before a decoder sees it."""

from __future__ import annotations

import re
import struct

from edge.capture.page import MAX_SCANNED, MAX_SCANS, ImageFileError, check_size

# ITU-T T.81, table B.1: the frame headers (SOF), and what else may follow a scan of a progressive file.
_JPEG_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_SOS, _JPEG_EOI = 0xDA, 0xD9
_JPEG_LOSSLESS, _JPEG_LS = 0xC3, 0xF7
_JPEG_AFTER_SCAN = frozenset({0xC4, 0xCC, 0xDA, 0xDB, 0xDC, 0xDD, 0xD9, 0xFE, *range(0xE0, 0xF0)})
# Inside a scan 0xFF is followed by 0 (a stuffed byte), by more 0xFF, or by a restart marker.
_JPEG_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def jpeg_size(data: bytes, max_megapixels: float) -> tuple[int, int]:
    """Follow the markers to the end-of-image marker (ITU-T T.81, annex B), and return width and height.

    A decoder pads a scan that ends early with grey, so a file without its end is refused.

    Raises
    ------
    struct.error, IndexError
        If the file ends inside its header.
    """
    width = height = 0
    position, marker, scans = 2, 0, 0
    while True:
        while data[position] == 0xFF:
            marker = data[(position := position + 1)]
        position += 1
        if marker == _JPEG_EOI:
            break
        if marker < 0xC0:
            raise ImageFileError("damaged: a JPEG marker is missing")
        (length,) = struct.unpack_from(">H", data, position)
        if marker in (_JPEG_LOSSLESS, _JPEG_LS):
            raise ImageFileError("a lossless JPEG is not supported: save it as PNG or TIFF")
        if marker in _JPEG_SOF:
            bits, height, width, components = struct.unpack_from(">BHHB", data, position + 2)
            check_size(width, height, max_megapixels)
            if bits != 8 or components not in (1, 3):
                what = f"a JPEG of {bits} bits and {components} components"
                raise ImageFileError(f"{what} is not supported: save it as 8-bit grey or RGB")
        position += length
        if marker == _JPEG_SOS:
            scans += 1
            most = min(MAX_SCANS, max(MAX_SCANS // 5, MAX_SCANNED // max(1, width * height)))
            if scans > most:
                raise ImageFileError(f"damaged: a JPEG of more than {most} scans")
            end = _JPEG_SCAN_END.search(data, position)
            if end is None:
                raise ImageFileError("truncated: the JPEG ends before its end marker")
            position = end.start()
            if data[position + 1] not in _JPEG_AFTER_SCAN:
                raise ImageFileError("damaged: a marker inside the JPEG's data that cannot be there")
        marker = 0
    if not (width and scans):
        raise ImageFileError("damaged: the JPEG holds no picture")
    return width, height
