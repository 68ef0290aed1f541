"""Marks of attempts to resume a session: one that is killed leaves its mark, and is not repeated for ever.

A content that takes all memory, or hours, raises nothing: the kernel or a watchdog ends the process, and a
service would start it again.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from edge.base import read_input, write_atomically
from edge.session.files import DamagedSessionError, file_mode, mark_of

MOST_CUTS = 3
"""Attempts that a restart of the device may end: power cuts, or a device that hangs."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MOST_BYTES = 1000


def mark_attempt(path: Path) -> None:
    """Leave the mark of an attempt, on the disk; the caller holds the session's lock.

    Raises
    ------
    DamagedSessionError
        If an attempt was killed since the device started, or the last few ended with it.
    """
    mark, boot = mark_of(path), _boot_id()
    try:
        before = read_input(mark, _MOST_BYTES).decode("utf-8", "replace").split()
    except FileNotFoundError:
        before = []
    if boot in before or len(before) >= MOST_CUTS:
        many = len(before) > 1
        ended = (
            f"the last {len(before)} attempts to resume it were"
            if many
            else "the last attempt to resume it was"
        )
        raise DamagedSessionError(
            f"{path}: {ended} killed before a new frame was counted, for memory or because nothing happened;"
            " leuko sessions resume tries it again"
        )
    write_atomically(mark, "".join(f"{one}\n" for one in (*before, boot)).encode())
    mark.chmod(file_mode(path.parent))


def unmark_attempt(path: Path) -> None:
    """Remove the mark: a new frame was counted, or the attempt ended by itself."""
    with suppress(OSError):  # the disk fails: the session says so itself
        mark_of(path).unlink()


def _boot_id() -> str:
    """Return what is the same until the device restarts."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # another system: each attempt counts as one that a restart ended
        return "unknown"
