"""The file of a session on whatever disk it is: its errors, the writer's lock, opening and creating it."""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

from edge.session.tables import APPLICATION_ID, TABLES, VERSIONS, header_hash, one

BUSY_S = 1.0
"""Longest wait for another connection: a service has two seconds to end."""

_LOCK_TRIES = 20
_LOCK_PAUSE_S = 0.01
"""`is_locked` holds the lock for an instant, which must not turn a writer away."""

_REASONS = {
    sqlite3.SQLITE_IOERR_SHMSIZE: "the disk is full; what was counted before is kept",
    sqlite3.SQLITE_FULL: "the disk is full; what was counted before is kept",
    sqlite3.SQLITE_READONLY: "the disk, or the file, is read-only: copy the file elsewhere",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: is its folder writable?",
    sqlite3.SQLITE_BUSY: "another process is using it",
    sqlite3.SQLITE_NOTADB: "not a session: no SQLite database",
    sqlite3.SQLITE_CORRUPT: "damaged: part of it cannot be read",
}

_NOT_WRITABLE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR)


class SessionError(Exception):
    """A session that cannot be read or written; the message is one line."""


@contextmanager
def disk_errors(path: Path, remedy: str = "") -> Iterator[None]:
    """Turn the refusals of SQLite and of the operating system into a `SessionError` that names the file.

    The remedy is what to do where it cannot be written.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise SessionError(f"{path}: {_reason(error)}") from error
    except OSError as error:
        what_to_do = f": {remedy}" if remedy and error.errno in _NOT_WRITABLE else ""
        reason = (error.strerror or str(error)).lower()
        raise SessionError(f"{error.filename or path}: {reason}{what_to_do}") from error


def _reason(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", 0)  # Python's own errors have none, as for invalid text
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
        descriptor = os.open(_lock_file(path), os.O_RDONLY | os.O_CLOEXEC)
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
        descriptor = os.open(name, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # the previous holder may have removed the file that was opened here
            if os.path.samestat(os.fstat(descriptor), name.stat()):
                return descriptor
        os.close(descriptor)
        time.sleep(_LOCK_PAUSE_S)
    return None


def _lock_file(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")


def must_exist(path: Path) -> None:
    """Raise `SessionError` unless there is such a file, and it holds anything."""
    if not path.is_file():
        raise SessionError(f"{path}: {'not a file' if path.exists() else 'no such session'}")
    if not path.stat().st_size:
        raise SessionError(f"{path}: not a session: the file is empty")


def connect(path: Path, options: str, *pragmas: str) -> sqlite3.Connection:
    """Open a database with options of SQLite's URI, and make sure that its tables have a known version."""
    uri = f"{path.absolute().as_uri()}?{options}"
    with ExitStack() as stack:
        connection = stack.enter_context(
            closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S))
        )
        for pragma in (*pragmas, "PRAGMA trusted_schema=OFF"):
            connection.execute(pragma)
        if one(connection, "PRAGMA application_id") != (APPLICATION_ID,):
            raise SessionError(f"{path}: not a session: a database of another program")
        (version,) = one(connection, "PRAGMA user_version")
        if version not in VERSIONS:
            raise SessionError(
                f"{path}: tables of version {version}, and this leuko reads up to {TABLES.version}:"
                " update leuko"
            )
        stack.pop_all()
        return connection


def connect_to_read(path: Path) -> sqlite3.Connection:
    """Open a database for reading, also on a read-only disk and while another process writes it."""
    try:
        return connect(path, "mode=ro")
    except sqlite3.OperationalError:
        if is_locked(path):
            raise
        # SQLite may not make its shared memory beside the file. Nobody writes, so it can do without: with the
        # log where there is one ("immutable" would ignore it), else as a file that does not change
        log = Path(f"{path}-wal")
        if log.exists() and log.stat().st_size:
            return connect(path, "mode=ro&vfs=unix-none", "PRAGMA locking_mode=EXCLUSIVE")
        return connect(path, "mode=ro&immutable=1")


def write_new(path: Path, header: str) -> None:
    """Write the file of a session without frames; it appears under its name complete, or not at all."""
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
        made = Path(folder) / path.name
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
    """Make a folder and its parents, on the disk when this returns."""
    if not folder.is_dir():
        make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Put a folder's entries on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
