"""What a disk refuses is one line that names the file, and a remedy only where the remedy helps."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from edge.session.files import DamagedSessionError, SessionError, disk_errors

PATH = Path("sessions/one.db")


def sqlite_error(code: int, name: str, words: str) -> sqlite3.Error:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    return error


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.EACCES, os.strerror(errno.EACCES)), "permission denied: name another"),
        (OSError(errno.EROFS, os.strerror(errno.EROFS)), "read-only file system: name another"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "no space left on device"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), "input/output error"),
        (
            sqlite_error(sqlite3.SQLITE_IOERR_WRITE, "SQLITE_IOERR_WRITE", "disk I/O error"),
            "the disk failed (SQLITE_IOERR_WRITE); what was counted before is kept",
        ),
        (sqlite_error(sqlite3.SQLITE_ERROR, "SQLITE_ERROR", "no such\ntable"), "no such table"),
    ],
)
def test_a_refusal_is_one_line(error: Exception, said: str) -> None:
    with pytest.raises(SessionError) as raised, disk_errors(PATH, "name another"):
        raise error
    assert str(raised.value) == f"{PATH}: {said}"
    assert not isinstance(raised.value, DamagedSessionError)


def test_without_a_remedy_none_is_named() -> None:
    with pytest.raises(SessionError) as raised, disk_errors(PATH):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))
    assert str(raised.value) == f"{PATH}: permission denied"


def test_damage_is_told_from_a_refusal() -> None:
    with pytest.raises(DamagedSessionError, match="damaged: part of it cannot be read"), disk_errors(PATH):
        raise sqlite_error(sqlite3.SQLITE_CORRUPT, "SQLITE_CORRUPT", "malformed")
