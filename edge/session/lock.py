"""One writer a session: an advisory lock on a small file beside it.

It is no lock on the database itself, since closing any descriptor of that file would drop the locks that
SQLite holds there for the whole process (POSIX). The kernel drops this one with the process, however it ends.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_TRIES = 20
_PAUSE_S = 0.01
"""`locked` holds the lock for an instant, which must not turn a writer away."""


@contextmanager
def held(path: Path) -> Iterator[bool]:
    """Hold a session's lock for writing; False if another writer has it.

    Raises
    ------
    OSError
        If the lock's file cannot be made.
    """
    descriptor = _take(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with suppress(OSError):  # a disk that has become read-only keeps it; it stands in nobody's way
                _name(path).unlink()
            os.close(descriptor)


def locked(path: Path) -> bool:
    """Tell whether a writer has a session now."""
    try:
        descriptor = os.open(_name(path), os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take(path: Path) -> int | None:
    name = _name(path)
    for _ in range(_TRIES):
        descriptor = os.open(name, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # whoever had it before may have removed the file that was opened here
            if os.path.samestat(os.fstat(descriptor), name.stat()):
                return descriptor
        os.close(descriptor)
        time.sleep(_PAUSE_S)
    return None


def _name(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")
