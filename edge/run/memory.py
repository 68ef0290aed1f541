"""How much memory a frame takes: how large it may be, and how many are worked on at a time."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from edge.base import FailedFrame, Frame, board
from edge.capture import MAX_MEGAPIXELS, Encoded
from edge.count import CountedFrame
from edge.find import working_factor

PROGRAM_BYTES = 110e6
"""What a count takes without any frame."""

USED_SHARE = 0.8
"""Share of the board's memory that a count may take."""

THREAD_BYTES = 245e6
"""What frames in flight may take per thread, on a board that has it."""

DECODED_BYTES, WORK_BYTES = 2.0, 12.0
"""Per pixel of a frame, and of the frame as it is reduced (measured on 49 megapixels)."""

LEAST_MEGAPIXELS = 2.0

SCARCE_BYTES = 520e6
"""Memory of a process below which what is freed goes back to the system at once: that of a Zero 2 W. With
several threads that takes up to half again as much processor time (measured on a virtual machine)."""

_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # of mallopt(3)
_MAPPED_BYTES = 1 << 20


def frame_bytes(pixel_um: float) -> float:
    """Return the memory that a frame takes while its cells are found, in bytes per pixel."""
    return max(10.0, DECODED_BYTES + WORK_BYTES / working_factor(pixel_um) ** 2)


def default_megapixels(pixel_um: float) -> float:
    """Return the size of the largest frame for which there is memory, in megapixels."""
    room = USED_SHARE * board.memory_bytes() - PROGRAM_BYTES
    most = room / frame_bytes(pixel_um) / 1e6
    return float(f"{min(MAX_MEGAPIXELS, max(LEAST_MEGAPIXELS, most)):.2g}")


COUNT_BYTES = 105e6
"""What a count in one thread takes without frames: Python, its libraries, the network and crops for it."""

CROPS_BYTES = 1.3e6
"""Of a frame that is held, at most; those of more cells are cut when they are needed."""

TEXTURE_BYTES = 8.0
"""Per pixel of the frame as it is reduced, while its cells are found."""


def count_bytes(pixels: int, pixel_um: float, threads: int, buffer_frames: int) -> tuple[float, int]:
    """Return the most memory that a count of a camera takes, in bytes, and the frames that it holds.

    `benchmarks.board_memory` compares it with what counts take; the camera's own buffers are not in it.
    """
    held = buffer_frames + 1 + 2 * threads + (threads + 1 if threads > 1 else 1)
    worked_on = threads * TEXTURE_BYTES / working_factor(pixel_um) ** 2
    return COUNT_BYTES + held * CROPS_BYTES + (held + worked_on) * pixels, held


def free_at_once(threads: int) -> None:
    """Let freed frames go back to the system at once, where one thread is asked for or memory is scarce.

    The C library otherwise keeps what it once got: a fifth of a count's memory, for a tenth of its time.
    """
    if threads > 1 and board.memory_bytes() >= SCARCE_BYTES:
        return
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):  # glibc
        library.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)
        library.mallopt(_M_ARENA_MAX, threads)


def weighing(
    pixel_um: float, threads: int, in_flight: int
) -> Callable[[Encoded | Frame | FailedFrame | CountedFrame], int]:
    """Return the function that says for how many of the frames in flight one counts, by its memory.

    The board's memory is read once.
    """
    room = min(threads * THREAD_BYTES, USED_SHARE * board.memory_bytes() - PROGRAM_BYTES)
    share = max(THREAD_BYTES, room) / in_flight

    def places(item: Encoded | Frame | FailedFrame | CountedFrame) -> int:
        if isinstance(item, CountedFrame):
            item = item.frame
        if isinstance(item, FailedFrame):
            return 1
        pixels = item.page.width * item.page.height if isinstance(item, Encoded) else item.image.size
        return round(pixels * frame_bytes(pixel_um) / share)

    return places
