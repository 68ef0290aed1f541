"""Empty frames of an AVI: in this format a chunk without bytes says that the frame before is shown again."""

from __future__ import annotations

import os
import struct
from pathlib import Path

_ENTRY = struct.Struct("<4sIII")
_VIDEO = (b"dc", b"db")
MOST_BYTES = 64 << 20
"""Largest index that is read: of four million frames."""


def empty_frames(path: Path) -> list[int]:
    """Return the numbers, from 0, of the frames that the index of an AVI lists without bytes.

    None for a file that is no AVI, or has no index.
    """
    with path.open("rb") as file:
        end = os.fstat(file.fileno()).st_size
        head = file.read(12)
        if head[:4] != b"RIFF" or head[8:] != b"AVI ":
            return []
        place = 12
        while place + 8 <= end:
            file.seek(place)
            kind, length = struct.unpack("<4sI", file.read(8))
            if kind == b"idx1":
                index = file.read(min(length, MOST_BYTES))
                entries = _ENTRY.iter_unpack(index[: len(index) // _ENTRY.size * _ENTRY.size])
                sizes = [size for name, _, _, size in entries if name[2:] in _VIDEO]
                return [number for number, size in enumerate(sizes) if not size]
            place += 8 + length + length % 2
    return []
