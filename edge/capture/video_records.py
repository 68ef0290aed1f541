"""What the program that decodes a video writes for the process that started it."""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import NamedTuple

RECORD = struct.Struct("<BqdIIQ")
"""Kind, number of the frame, its time in ms, width, height, and how many bytes follow."""


class Kind(IntEnum):
    """What a record holds.

    OPENED: width and height; as its number how many frames the file declares. GREY: a frame, uint8 [h, w].
    DAMAGED: why a frame is lost. END: as its number how many frames were found, as its width whether the file
    is damaged at its end.
    """

    OPENED, GREY, DAMAGED, END = range(4)


class Record(NamedTuple):
    """A `RECORD`, and its bytes."""

    kind: Kind
    number: int
    time_ms: float = 0.0
    width: int = 0
    height: int = 0
    content: bytes | memoryview = b""
