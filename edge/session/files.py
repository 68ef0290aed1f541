"""Sessions' files: beginning one, going on with one, and reading one whatever disk it is on.

SQLite with a write-ahead log and ``synchronous=FULL``: what was acknowledged is on the disk. With ``NORMAL``
the log survives a killed process, but not a power cut.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import ExitStack, closing, suppress
from dataclasses import fields
from pathlib import Path

from edge.session import chain, lock, names
from edge.session.errors import SessionError, disk_errors
from edge.session.record import Header
from edge.session.store import Session, StoredSession
from edge.session.tables import APPLICATION_ID, SCHEMA, TABLES, one

CHECKPOINT_PAGES = 1000
"""Log pages, of 4 KiB, after which a commit moves them into the database and the log begins anew. If the disk
refuses that, nothing is lost: the log keeps them, and the next commit tries again."""

BUSY_S = 1.0
"""Longest wait for another connection: a service has two seconds to end."""

_TRIES = 20
"""Ids that `create` tries where other processes begin sessions in the same second."""


def create_session(header: Header, folder: Path | None = None) -> Session:
    """Begin a session: its file, with the header in it, is on the disk when this returns.

    Parameters
    ----------
    header : what it says of itself
    folder : where; made if it does not exist. By default `names.sessions_folder`

    Raises
    ------
    ValueError
        If the header holds what JSON cannot.
    SessionError
        If it cannot be written.
    """
    folder = names.sessions_folder() if folder is None else folder
    said = {field.name: getattr(header, field.name) for field in fields(header)}
    said |= {"parameters": dict(header.parameters), "plan": dict(header.plan)}
    said["started"] = header.started.isoformat()
    with disk_errors(folder):
        _make_folder(folder)
        _tidy(folder)
        for _ in range(_TRIES):
            session_id = names.new_id(header.started, folder)
            path = names.path_of(session_id, folder)
            with ExitStack() as stack:
                # else somebody begins one in the same second: then the next id is another
                if stack.enter_context(lock.held(path)) and not path.exists():
                    _write_new(path, chain.canonical(said | {"id": session_id}))
                    return _writing(path, stack)
    raise SessionError(f"{folder}: other processes keep beginning sessions here")


def open_session(path: Path) -> Session:
    """Open an unfinished session, to go on with it.

    Raises
    ------
    SessionError
        If it is finished, another process writes it, it cannot be written, or it is no session.
    """
    with disk_errors(path), ExitStack() as stack:
        _must_exist(path)
        if not stack.enter_context(lock.held(path)):
            raise SessionError(f"{path}: another process is writing it")
        with read_session(path) as stored:
            if stored.finished is not None:
                raise SessionError(f"{path}: finished; nothing can be added")
        return _writing(path, stack)


def read_session(path: Path) -> StoredSession:
    """Open a session for reading, also on a read-only disk and while another process writes it.

    Raises
    ------
    SessionError
        If it is no session, of a newer kind, or cannot be read.
    """
    with disk_errors(path), ExitStack() as stack:
        _must_exist(path)
        try:
            connection = _connect(path, "mode=ro")
        except sqlite3.OperationalError:
            if lock.locked(path):
                raise
            # SQLite may not make its shared memory beside the file. Nobody writes, so it can do without: with
            # the log where there is one ("immutable" would pass over it), else as a file that does not change
            log = Path(f"{path}-wal")
            if log.exists() and log.stat().st_size:
                connection = _connect(path, "mode=ro&vfs=unix-none", "PRAGMA locking_mode=EXCLUSIVE")
            else:
                connection = _connect(path, "mode=ro&immutable=1")
        stack.enter_context(closing(connection))
        session = StoredSession(path, connection)
        stack.pop_all()
        return session


def _writing(path: Path, stack: ExitStack) -> Session:
    """Open a file for writing; the session takes over the stack, with the lock, to undo it at its end."""
    connection = stack.enter_context(closing(_connect(path, "mode=rw")))
    for pragma in ("synchronous=FULL", "foreign_keys=ON", f"wal_autocheckpoint={CHECKPOINT_PAGES}"):
        connection.execute(f"PRAGMA {pragma}")
    if one(connection, "PRAGMA journal_mode=WAL") != ("wal",):
        raise SessionError(f"{path}: no write-ahead log is possible here; sessions need a local disk")
    connection.execute(f"PRAGMA user_version={SCHEMA}")  # writes, so that a disk that refuses is noticed now
    return Session(path, connection, stack)


def _connect(path: Path, options: str, *first: str) -> sqlite3.Connection:
    """Open a database and make sure that it is a session of a kind that is known here."""
    uri = f"{path.absolute().as_uri()}?{options}"
    with ExitStack() as stack:
        connection = stack.enter_context(
            closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S))
        )
        for pragma in (*first, "PRAGMA trusted_schema=OFF"):
            connection.execute(pragma)
        if one(connection, "PRAGMA application_id") != (APPLICATION_ID,):
            raise SessionError(f"{path}: not a session: a database of another program")
        (schema,) = one(connection, "PRAGMA user_version")
        if schema != SCHEMA:
            raise SessionError(
                f"{path}: written by another version of leuko (tables {schema}, this one knows {SCHEMA}):"
                " update leuko"
            )
        stack.pop_all()
        return connection


def _write_new(path: Path, content: str) -> None:
    """Write the file of a session without frames; it appears under its name whole, or not at all."""
    with tempfile.TemporaryDirectory(prefix=".new-", dir=path.parent) as folder:
        made = Path(folder) / path.name
        with closing(sqlite3.connect(made, isolation_level=None)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA journal_mode=OFF")  # if this does not end well, nobody sees the file
            connection.execute("BEGIN")
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={SCHEMA}")
            for table in TABLES:
                connection.execute(table)
            connection.execute("INSERT INTO header VALUES (0, ?, ?)", (content, chain.header_hash(content)))
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode=WAL")  # stays so in the file
        made.rename(path)
        _sync(path.parent)


def _tidy(folder: Path) -> None:
    """Make single files of finished sessions that a power cut, a reader or a full disk left with a log."""
    for log in folder.glob(f"*{names.SUFFIX}-wal"):
        path = log.with_name(log.name.removesuffix("-wal"))
        # none of this is needed to read them, nor to begin another one
        with suppress(SessionError, sqlite3.Error, OSError):
            with read_session(path) as stored:
                sealed = stored.finished is not None
            if sealed:
                with closing(_connect(path, "mode=rw")) as connection:
                    connection.execute("PRAGMA journal_mode=DELETE")


def _make_folder(folder: Path) -> None:
    """Make a folder and those that it lies in, to stay."""
    if not folder.is_dir():
        _make_folder(folder.parent)
        folder.mkdir(exist_ok=True)
        _sync(folder.parent)


def _sync(folder: Path) -> None:
    """Put a folder's entries on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _must_exist(path: Path) -> None:
    if not path.is_file():
        raise SessionError(f"{path}: {'not a file' if path.exists() else 'no such session'}")
