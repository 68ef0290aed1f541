"""The file of a session on whatever disk it is: its errors, the writer's lock, and creating it."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from edge.session.tables import APPLICATION_ID, TABLES, header_hash

_LOCK_TRIES = 20
_LOCK_PAUSE_S = 0.01
_LOCK_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe would wait for a writer
"""`is_locked` holds the lock for an instant, which must not turn a writer away."""

_REASONS = {
    sqlite3.SQLITE_IOERR_SHMSIZE: "the disk is full; what was counted before is kept",
    sqlite3.SQLITE_FULL: "the disk is full; what was counted before is kept",
    sqlite3.SQLITE_READONLY: "the disk, or the file, is read-only: copy the file elsewhere",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: is its folder writable?",
    sqlite3.SQLITE_BUSY: "another process is using it",
    sqlite3.SQLITE_NOTADB: "not a session: no SQLite database",
    sqlite3.SQLITE_CORRUPT: "damaged: part of it cannot be read",
    sqlite3.SQLITE_INTERRUPT: "damaged: reading it takes more steps than its size allows",
    sqlite3.SQLITE_TOOBIG: "damaged: it holds a value that is too large",
}

_DAMAGE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_INTERRUPT, sqlite3.SQLITE_TOOBIG}

_BESIDE = ("-wal", "-shm", "-journal", "-lock", "-resuming")
"""Ends of the names of files that may lie beside a session's."""

_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR)


class SessionError(Exception):
    """A session that cannot be read or written; the message is one line."""


class DamagedSessionError(SessionError):
    """A session whose file does not hold what leuko wrote; no later start can read it either."""


@contextmanager
def disk_errors(path: Path, remedy: str = "") -> Iterator[None]:
    """Turn the refusals of SQLite and of the operating system into a `SessionError` that names the file.

    The remedy is what to do where it cannot be written.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)  # Python's own errors have none, as for invalid text
        damage = isinstance(error, sqlite3.OperationalError) if code is None else code & 0xFF in _DAMAGE
        raise (DamagedSessionError if damage else SessionError)(f"{path}: {_reason(error)}") from error
    except UnicodeDecodeError as error:  # SQLite's own message quotes a name in the file
        raise DamagedSessionError(f"{path}: damaged: it holds a name that is no text") from error
    except OSError as error:
        what_to_do = f": {remedy}" if remedy and error.errno in _NOT_WRITABLE else ""
        reason = (error.strerror or str(error)).lower()
        raise SessionError(f"{error.filename or path}: {reason}{what_to_do}") from error


def _reason(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0)
    if known := _REASONS.get(code) or _REASONS.get(code & 0xFF):
        return known
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        return f"the disk failed ({error.sqlite_errorname}); what was counted before is kept"
    return " ".join(str(error).split())


@contextmanager
def lock_held(path: Path) -> Iterator[bool]:
    """Hold a session's lock for writing; False if another writer has it.

    The lock is on a small file beside the database, since closing any descriptor of the database would drop
    the locks that SQLite holds on it for the whole process (POSIX). The kernel drops it with the process.
    """
    descriptor = _take_lock(path)
    try:
        yield descriptor is not None
    finally:
        if descriptor is not None:
            with suppress(OSError):  # a disk that has become read-only keeps the file, which does no harm
                _lock_file(path).unlink()
            os.close(descriptor)


def is_locked(path: Path) -> bool:
    """Return whether a process is writing a session."""
    try:
        descriptor = os.open(_lock_file(path), _LOCK_FLAGS)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _take_lock(path: Path) -> int | None:
    name = _lock_file(path)
    for _ in range(_LOCK_TRIES):
        descriptor = os.open(name, _LOCK_FLAGS | os.O_CREAT, 0o600)
        with suppress(OSError):  # a file of somebody else, which can be locked all the same
            os.fchmod(descriptor, file_mode(path.parent))
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the previous holder may have removed the file that was opened here
            if os.path.samestat(os.fstat(descriptor), name.stat()):
                return descriptor
        os.close(descriptor)
        time.sleep(_LOCK_PAUSE_S)
    return None


def mark_of(path: Path) -> Path:
    """Return the file beside a session that says that it is being resumed, see `edge.session.attempts`."""
    return path.with_name(f"{path.name}-resuming")


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")


def must_exist(path: Path) -> None:
    """Raise `SessionError` unless there is such a file that holds anything, with only files beside it."""
    if not path.is_file():
        raise SessionError(f"{path}: {'not a file' if path.exists() else 'no such session'}")
    if not path.stat().st_size:
        raise SessionError(f"{path}: not a session: the file is empty")
    for end in _BESIDE:
        beside = Path(f"{path}{end}")
        if beside.is_symlink() or (beside.exists() and not beside.is_file()):
            raise SessionError(f"{beside}: not a file: remove it")


def set_aside(path: Path) -> Path:
    """Give a damaged session another name, under which nobody resumes it; return that."""
    with disk_errors(path), lock_held(path) as held:
        if not held:
            raise SessionError(f"{path}: another process is writing it")
        names = (path.with_name(f"{path.stem}.damaged{number or ''}{path.suffix}") for number in range(1000))
        aside = next(name for name in names if not os.path.lexists(name))
        path.rename(aside)
        for end in _BESIDE[:3]:
            with suppress(FileNotFoundError):
                Path(f"{path}{end}").rename(f"{aside}{end}")
        mark_of(path).unlink(missing_ok=True)
        _sync(path.parent)
        return aside


def write_new(path: Path, header: str) -> None:
    """Write the file of a session without frames; it appears under its name complete, or not at all."""
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
        made = Path(folder) / path.name
        made.touch(0o600)
        made.chmod(file_mode(path.parent))  # those beside it get the same from SQLite
        with closing(sqlite3.connect(made, isolation_level=None)) as connection:
            for statement in (
                "PRAGMA synchronous=FULL",
                "PRAGMA journal_mode=OFF",  # if this fails, nobody sees the file
                "BEGIN",
                f"PRAGMA application_id={APPLICATION_ID}",
                f"PRAGMA user_version={TABLES.version}",
                *TABLES.statements,
            ):
                connection.execute(statement)
            connection.execute("INSERT INTO header VALUES (0, ?, ?)", (header, header_hash(header)))
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode=WAL")  # stays so in the file
        made.rename(path)
        _sync(path.parent)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, on the disk when this returns, closed to others: names lie in it.

    The group may read it if it may read the folder above, and that is closed to others.
    """
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(0o700, exist_ok=True)
        folder.chmod(0o750 if _for_the_group(folder.parent) else 0o700)
        _sync(folder.parent)


def close_folder(folder: Path) -> None:
    """Take a folder that an earlier release left open to everybody from others."""
    if folder.stat().st_mode & stat.S_IRWXO:
        with suppress(OSError):  # it is somebody else's
            folder.chmod(0o700)


def file_mode(folder: Path) -> int:
    """Return the mode of the files in a folder of sessions."""
    return 0o640 if _for_the_group(folder) else 0o600


def _for_the_group(folder: Path) -> bool:
    """Return whether a folder was made for a group: open to it, and to nobody else."""
    return folder.stat().st_mode & 0o077 == 0o050


def _sync(folder: Path) -> None:
    """Put a folder's entries on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
