"""One still image of a file, and the limits of what a file may make us read, inflate and remember.

A file of 1 MB must cost about 1 MB of work. Every limit is stated here, far beyond what cameras and programs
write, and every reader keeps to it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edge.base import StatedPixel

MAX_READING = 4
"""Bytes read of a file, as a multiple of its size: more means that its pages, strips or tables overlap."""

MAX_INFLATION = 200
"""Bytes of a file's pages, or pixels if they are more, per byte of it, beyond the first page: a camera's have
ten, black ones 1,000."""

MAX_VIDEO_INFLATION = 4000
"""Pixels of a video's frames per byte of it: lossy video of a scene at rest reaches a quarter of that."""

MAX_DECODER_BYTES = 400 << 20
"""Memory of the process that decodes a video, beyond what it begins with."""

MAX_BLOCKS = 1 << 16
"""Strips or tiles of a page: 16 megapixels in tiles of 16 px."""

MAX_LZW_BYTES = 96 << 20
"""Bytes of a strip or tile with LZW, which is decompressed whole: 16 megapixels of 16-bit RGB."""

MAX_OVERHANG = 1 << 24
"""Pixels of tiles beyond the edges of their page."""

MAX_SCANS = 100
"""Scans of a JPEG: each makes the decoder pass over the whole picture. Progressive files have 6 to 15."""

MAX_SCANNED = 1_000_000_000
"""Pixels of all scans of a JPEG together, where it has more than a progressive file of 50 megapixels."""

MAX_PLANES = 100_000
"""Planes that the metadata of a file may declare."""

MAX_IMAGES = 4096
"""Images, each with channels and planes of its own, that OME-XML may declare."""

MAX_DAMAGED = 1000
"""Pages or frames that cannot be read, beyond `MAX_DAMAGED_RATIO` for each that can be: each is listed, and
takes a byte or two of the file."""

MAX_DAMAGED_RATIO = 10

MAX_NAMED = 8
"""Channels and sizes that a sentence names."""

# No pixel of a supported file takes more bytes than this, however badly compressed (16-bit RGBA), and
# nothing around the pixels (profiles, previews) more than the allowance.
_BYTES_PER_PIXEL = 8
_ALLOWANCE = 64 << 20


TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""The first bytes of a TIFF or BigTIFF file. What reads these files is imported for them alone: it takes
15 ms of the half second in which a count starts."""


class ImageFileError(ValueError):
    """An image file, or one page of it, that must not reach a decoder; the message says why."""


@dataclass(frozen=True)
class Page:
    """One still image as a complete file of its own, checked and ready to decode.

    `number` is its position among the images of its file, from 0; None if it is the only one. `bits` is the
    size of a sample, exact only where it is 16. For `notes` and `pixel` see `edge.base.Frame`.
    """

    number: int | None
    width: int
    height: int
    data: bytes
    bits: int = 8
    notes: tuple[str, ...] = ()
    pixel: StatedPixel | None = None


@dataclass(frozen=True)
class BadPage:
    """One page of a file whose other pages may still be good."""

    number: int | None
    reason: str


def check_size(width: int, height: int, max_megapixels: float) -> None:
    """Raise an ImageFileError for a declared size of no pixels, or of more than the limit."""
    if width <= 0 or height <= 0:
        raise ImageFileError(f"damaged: it declares a size of {width} x {height} px")
    if width * height > max_megapixels * 1e6:
        raise ImageFileError(
            f"declares {width} x {height} px, {width * height / 1e6:.1f} megapixels; "
            f"the limit is {max_megapixels:g} (leuko count --max-megapixels raises it)"
        )


def byte_limit(max_megapixels: float) -> float:
    """Return the most bytes that an image of this size may take."""
    return _BYTES_PER_PIXEL * max_megapixels * 1e6 + _ALLOWANCE


def check_damaged(damaged: int, whole: int, what: str) -> None:
    """Raise an ImageFileError if far more pages or frames of a file were damaged than whole."""
    if damaged > MAX_DAMAGED + MAX_DAMAGED_RATIO * whole:
        raise ImageFileError(
            f"{damaged:,} {what} cannot be read and {whole:,} can: reading ends here; copy the file again"
        )
