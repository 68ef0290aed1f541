"""Names of the formats that are not read, so that a refusal says what a file is."""

from __future__ import annotations

HEAD_BYTES = 132
"""Bytes of a file's beginning that `format_name` needs."""

_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (0, b"GIF8", "a GIF image"),
    (0, b"\0\0\0\x0cjP", "a JPEG 2000 image"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000 image"),
    (0, b"\0\0\0\x0cJXL", "a JPEG XL image"),
    (0, b"\xff\x0a", "a JPEG XL image"),
    (0, b"II\xbc\x01", "a JPEG XR image"),
    (8, b"WEBP", "a WebP image"),
    (4, b"ftypavif", "an AVIF image"),
    (4, b"ftypheic", "a HEIF image"),
    (4, b"ftypmif1", "a HEIF image"),
    (0, b"v/1\x01", "an OpenEXR image"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"gimp xcf", "a GIMP file"),
    (0, b"DDS ", "a DDS image"),
    (0, b"SDPX", "a DPX image"),
    (0, b"XPDS", "a DPX image"),
    (0, b"\x01\xda", "an SGI image"),
    (0, b"\x59\xa6\x6a\x95", "a Sun raster image"),
    (0, b"\0\0\x01\0", "an icon"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"ZISRAWFILE", "a Zeiss CZI file"),
    (0, b"\xda\xce\xbe\x0a", "a Nikon ND2 file"),
    (0, b"\x70\0\0\0", "a Leica LIF file"),
    (0, b"\xd0\xcf\x11\xe0", "an OLE file, such as Olympus OIB or Zeiss ZVI"),
    (0, b"\x89HDF", "an HDF5 file"),
    (128, b"DICM", "a DICOM file"),
    (0, b"%PDF", "a PDF file"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip archive"),
    *((0, b"P%d" % number, "a netpbm image") for number in range(1, 8)),
)
"""Place of a signature, the signature, and what has it there."""


def format_name(head: bytes) -> str:
    """Return what a file is, with its article, by its first `HEAD_BYTES` bytes; empty if unknown."""
    return next((name for at, bytes_, name in _SIGNATURES if head.startswith(bytes_, at)), "")
