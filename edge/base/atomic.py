"""Files that a power loss leaves old or new, never half."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

ANOTHER_NAME = "give another name"
REPLACE = f"{ANOTHER_NAME}, or pass --force to replace it"
"""What to do about an output that exists already: in all commands the same."""


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file so that a power loss leaves the old one or the new one.

    Raises
    ------
    OSError
        If it cannot be written, or the name is that of a device, a pipe or a folder, which a file must not
        replace. The old file is then untouched.
    """
    with replaced_atomically(path) as file:
        file.write(data)


@contextmanager
def replaced_atomically(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write, which takes the place of `path` when the block ends; see `write_atomically`."""
    with replaced_path(path) as partial, partial.open("wb") as file:
        yield file


@contextmanager
def replaced_path(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yield the name of a file to write, which takes the place of `path` when the block ends.

    Parameters
    ----------
    suffix : str
        End of the yielded name, for a library that chooses the format by it.

    Raises
    ------
    OSError
        See `write_atomically`.
    """
    # a link is replaced, wherever it leads
    if not path.is_symlink() and path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file: give another name", str(path))
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial{suffix}")
    try:
        yield partial
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        if error.filename in (None, str(partial)):  # None on a full disk, for example
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        partial.unlink(missing_ok=True)
