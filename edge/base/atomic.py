"""Files that a power loss leaves old or new, never half."""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

ANOTHER_NAME = "give another name"
REPLACE = f"{ANOTHER_NAME}, or pass --force to replace it"
"""What to do about an output that exists already: in all commands the same."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
"""Nothing that is there already is opened, neither a file nor a link."""


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
    with _replaced(path) as (_, descriptor), os.fdopen(descriptor, "wb", closefd=False) as file:
        yield file


@contextmanager
def replaced_path(path: Path, suffix: str = "") -> Iterator[Path]:
    """Yield the name of an empty file to write, which takes the place of `path` when the block ends.

    Parameters
    ----------
    suffix : str
        End of the yielded name, for a library that chooses the format by it.

    Raises
    ------
    OSError
        See `write_atomically`.
    """
    with _replaced(path, suffix) as (partial, _):
        yield partial
        # the library may have made a file of its own there
        with partial.open("rb") as file:
            os.fsync(file.fileno())


def partial_path(path: Path, suffix: str = "") -> Path:
    """Return a name beside a path for what will take its place, which nobody can predict."""
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.partial{suffix}")


@contextmanager
def _replaced(path: Path, suffix: str = "") -> Iterator[tuple[Path, int]]:
    """Yield a new file, by name and descriptor, that takes the place of `path` when the block ends."""
    # a link is replaced, wherever it leads
    if not path.is_symlink() and path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file: give another name", str(path))
    partial = partial_path(path, suffix)
    try:
        descriptor = os.open(partial, _NEW, 0o666)
        try:
            yield partial, descriptor
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        partial.replace(path)
    except OSError as error:
        if error.filename in (None, str(partial)):  # None on a full disk, for example
            error.filename, error.filename2 = str(path), None
        raise
    finally:
        partial.unlink(missing_ok=True)
