"""A folder that one process writes at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from edge.base.atomic import ANOTHER_NAME


@contextmanager
def sole_writer(out: Path) -> Iterator[None]:
    """Hold a folder, made if it is missing, while the block runs; the kernel frees it with the process.

    A folder that was made and is still empty when the block fails is removed.

    Raises
    ------
    ValueError
        If another process, or another block of this one, holds it.
    OSError
        If it cannot be made.
    """
    missing = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"{out} is being written by another command: wait for its end, or {ANOTHER_NAME}"
            ) from None
        except OSError:
            pass  # a file system without locks, such as some network folders
        try:
            yield
        # also when interrupted: the folder that was made for the command goes with it
        except BaseException:
            if missing:
                with suppress(OSError):
                    out.rmdir()
            raise
    finally:
        os.close(descriptor)
