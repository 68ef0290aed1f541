"""Input files: regular and of bounded size, so that no command waits for a pipe or an endless device."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_input(path: Path, most_bytes: int) -> BinaryIO:
    """Open a regular file for reading.

    Raises
    ------
    OSError
        If it cannot be opened, is larger than `most_bytes`, or is a folder, a pipe, a socket or a device,
        which is then not opened: that alone may wait for ever, or have an effect.
    """
    _check(path, path.stat(), most_bytes)
    # another file may have taken the name since: still nothing waits
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        _check(path, os.fstat(descriptor), most_bytes)
        return os.fdopen(descriptor, "rb")
    # also when interrupted: nobody else closes the descriptor
    except BaseException:
        os.close(descriptor)
        raise


def read_input(path: Path, most_bytes: int) -> bytes:
    """Return the content of a regular file.

    Raises
    ------
    OSError
        See `open_input`.
    """
    with open_input(path, most_bytes) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1)
        # a file of /proc has no size, and another may grow
        content += file.read(most_bytes + 1 - len(content)) if len(content) > size else b""
    if len(content) > most_bytes:
        raise _too_large(path, most_bytes)
    return content


def _check(path: Path, found: os.stat_result, most_bytes: int) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "a folder, not a file", str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    if found.st_size > most_bytes:
        raise _too_large(path, most_bytes)


def _too_large(path: Path, most_bytes: int) -> OSError:
    size = f"{most_bytes >> 20} MiB" if most_bytes >= 1 << 20 else f"{most_bytes >> 10} KiB"
    return OSError(errno.EFBIG, f"larger than {size}", str(path))
