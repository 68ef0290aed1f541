"""Marks of attempts to resume a session: one that is killed leaves its mark, and is not repeated for ever.

A content that takes all memory, or hours, raises nothing: the kernel or a watchdog ends the process, and a
service would start it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from edge.base import read_input, write_atomically
from edge.session.files import DamagedSessionError, file_mode, mark_of

MOST_CUTS = 3
"""Attempts that a restart of the device may end: power cuts, or a device that hangs."""

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_MOST_BYTES = 1000


class Attempt:
    """An attempt to resume a session, with its mark on the disk; the caller holds the session's lock.

    Raises
    ------
    DamagedSessionError
        If an attempt was killed since the device started, or the last few ended with it.
    """

    def __init__(self, path: Path) -> None:
        self._mark, self._mode, boot = mark_of(path), file_mode(path.parent), _boot_id()
        try:
            before = read_input(self._mark, _MOST_BYTES).decode("utf-8", "replace").split()
        except FileNotFoundError:
            before = []
        if boot in before or len(before) >= MOST_CUTS:
            many = len(before) > 1
            ended = f"{len(before)} attempts to resume it were" if many else "attempt to resume it was"
            raise DamagedSessionError(
                f"{path}: the last {ended} killed before a new frame was counted, for memory or because"
                " nothing happened; leuko sessions resume tries it again"
            )
        self._before, self._with_this = before, [*before, boot]
        self._write(self._with_this)

    def pause(self) -> None:
        """Take the mark back while a camera is waited for: what ends that is not the session's fault."""
        with suppress(OSError):  # the disk fails: the session says so itself
            self._write(self._before)

    def proceed(self) -> None:
        """Leave the mark again."""
        with suppress(OSError):
            self._write(self._with_this)

    def over(self) -> None:
        """Remove the mark: a new frame was counted, or the attempt ended by itself."""
        with suppress(OSError):
            self._mark.unlink()

    def _write(self, boots: Sequence[str]) -> None:
        if boots:
            write_atomically(self._mark, "".join(f"{one}\n" for one in boots).encode())
            self._mark.chmod(self._mode)
        else:
            self._mark.unlink(missing_ok=True)


def _boot_id() -> str:
    """Return what is the same until the device restarts."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:  # another system: each attempt counts as one that a restart ended
        return "unknown"
