"""What goes wrong with a session's file, in one line for the operator."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_TELLING = {
    sqlite3.SQLITE_IOERR_SHMSIZE: "the disk is full; what was counted before is kept",
    sqlite3.SQLITE_FULL: "the disk is full; what was counted before is kept",
    sqlite3.SQLITE_READONLY: "the disk, or the file, is read-only",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: is its folder writable?",
    sqlite3.SQLITE_BUSY: "another process is using it",
    sqlite3.SQLITE_NOTADB: "not a session: no SQLite database",
    sqlite3.SQLITE_CORRUPT: "damaged: not everything in it can be read",
}


class SessionError(Exception):
    """A session that cannot be read or written; the message is one line."""


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn what SQLite and the operating system refuse into a `SessionError` that names the file."""
    try:
        yield
    except sqlite3.Error as error:
        raise SessionError(f"{path}: {_words(error)}") from error
    except OSError as error:
        raise SessionError(f"{error.filename or path}: {(error.strerror or str(error)).lower()}") from error


def _words(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # of Python's module itself: text in the file that is none
        return " ".join(str(error).split())
    if told := _TELLING.get(code) or _TELLING.get(code & 0xFF):
        return told
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        return f"the disk failed ({error.sqlite_errorname}); what was counted before is kept"
    return " ".join(str(error).split())
