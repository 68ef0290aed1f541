"""Still images decoded by OpenCV, and refused where libjpeg complains of a JPEG's data.

Bits that changed inside a JPEG's data leave its markers intact, and libjpeg gives a picture that is partly
grey, or shifted. It says so on descriptor 2 only, in one line per JPEG. Where that is a file that can be
read back, as `edge.cli.options.quiet_libraries` makes it, what arrives during a decoding is looked at.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.capture.page import ImageFileError

REWIND_AT = 1 << 19
"""Bytes after which a log of a fixed size is written from its start again: half its size."""

_DAMAGE = (b"Corrupt JPEG data", b"Premature end of JPEG file", b"Inconsistent progression sequence")
_EXTRANEOUS = re.compile(rb"Corrupt JPEG data: (\d+) extraneous bytes before marker 0x(d\d)")
# Padding that cameras write before the end or a restart marker: a few bytes, or zeros up to the next cache
# line. More, or others, are blocks of a picture that has lost its place.
_MOST_BYTES, _MOST_ZEROS = 4, 64


def decode_image(data: bytes) -> NDArray[Any] | None:
    """Decode a file to grey with OpenCV, at its own depth, in the raster as stored; None if it cannot.

    Raises
    ------
    ImageFileError
        If libjpeg says that the data of a JPEG are damaged.
    """
    if not data.startswith(b"\xff\xd8"):
        return _decode(data)
    with _decoders.together():
        image, words = _listen(data)
    if words is not None and not any(is_damage(line, data) for line in words.splitlines()):
        return image
    # the words may be of a JPEG that another thread decoded
    with _decoders.alone():
        image, words = _listen(data)
    for line in (words or b"").splitlines():
        if is_damage(line, data):
            said = line.decode("ascii", "replace").removeprefix("Corrupt JPEG data: ")
            raise ImageFileError(
                f"damaged inside the JPEG's data ({said}): copy it again, or look at it and, if it is whole, "
                "save it as PNG"
            )
    return image


def is_damage(line: bytes, data: bytes) -> bool:
    """Return whether a line that libjpeg wrote means that the picture of a JPEG is not the one stored."""
    return any(words in line for words in _DAMAGE) and not is_padding(line, data)


def is_padding(line: bytes, data: bytes) -> bool:
    """Return whether a line only speaks of bytes with which a camera pads the data of a JPEG."""
    if not (found := _EXTRANEOUS.search(line)):
        return False
    count, marker = int(found[1]), bytes.fromhex(found[2].decode())
    return count <= _MOST_BYTES or (count <= _MOST_ZEROS and bytes(count) + b"\xff" + marker in data)


class _Decoders:
    """The threads that decode JPEGs: together, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._at_work = self._waiting = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        with self._changed:
            while self._waiting:
                self._changed.wait()
            self._at_work += 1
        try:
            yield
        finally:
            with self._changed:
                self._at_work -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._changed:  # held to the end, so that no thread begins
            self._waiting += 1
            try:
                while self._at_work:
                    self._changed.wait()
                yield
            finally:
                self._waiting -= 1
                self._changed.notify_all()


_decoders = _Decoders()


def _listen(data: bytes) -> tuple[NDArray[Any] | None, bytes | None]:
    """Decode, and return also what arrived on descriptor 2 meanwhile; None if that is unknown."""
    before = _position()
    if before > REWIND_AT and _has_fixed_size():
        before = os.lseek(2, 0, os.SEEK_SET)
    image = _decode(data)
    after = _position()
    if after == before:
        return image, b""
    if after < before:  # another thread rewound it
        return image, None
    with suppress(OSError):  # cannot be read: a person sees it then
        return image, os.pread(2, after - before, before)
    return image, b""


def _position() -> int:
    """Return how many bytes were written to descriptor 2; -1 where that is a terminal or a pipe."""
    try:
        return os.lseek(2, 0, os.SEEK_CUR)
    except OSError:
        return -1


def _has_fixed_size() -> bool:
    with suppress(OSError):  # only files in memory have seals
        return bool(fcntl.fcntl(2, fcntl.F_GET_SEALS) & fcntl.F_SEAL_GROW)
    return False


def _decode(data: bytes) -> NDArray[Any] | None:
    # Grey straight from the decoder: a JPEG's luma plane is BT.601 already, at a third of the time.
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        return cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM:
            raise MemoryError from None
        return None
