"""A session that is being written: one transaction per frame, on the disk before the next frame is counted.

SQLite with a write-ahead log and ``synchronous=FULL``: what was acknowledged is on the disk. With ``NORMAL``
the log survives a killed process, but not a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from edge.session.attempts import Attempt
from edge.session.files import (
    DamagedSessionError,
    SessionError,
    close_folder,
    disk_errors,
    lock_held,
    make_folder,
    must_exist,
    write_new,
)
from edge.session.names import SUFFIX, new_id, path_of, sessions_folder
from edge.session.opening import Database, connect
from edge.session.record import FrameRecord, Header
from edge.session.store import StoredSession, read_session
from edge.session.tables import (
    INSERT_CELL,
    INSERT_FRAME,
    TABLES,
    canonical,
    finish_hash,
    frame_hash,
    header_text,
    one,
    to_rows,
)

CHECKPOINT_PAGES = 1000
"""Log pages, of 4 KiB, after which a commit moves them into the database and the log starts again. If the
disk refuses that, nothing is lost: the log keeps them, and the next commit tries again."""

_TRIES = 20
"""Ids that `create_session` tries where other processes begin sessions in the same second."""


class Session(StoredSession):
    """A session that is being written, by one process alone.

    A context manager: leaving it without `finish` leaves a session that `open_session` resumes. After an
    error in writing nothing more is written; what was added before stays readable.
    """

    def __init__(
        self, path: Path, connection: Database, undo: ExitStack, attempt: Attempt | None = None
    ) -> None:
        super().__init__(path, connection)
        self.attempt = attempt
        self._failed, self._sound = False, True  # it is new, or was verified
        with self._reading():
            self._index, self._hash = self._last()
        self._count = self.count_frames()
        self._undo = undo.pop_all()

    @property
    def last_index(self) -> int:
        """Index of the last record; -1 before the first."""
        return self._index

    def add(self, record: FrameRecord) -> None:
        """Store a frame's record with its cells: complete on the disk when this returns, or not at all.

        Raises
        ------
        ValueError
            If its index is not above the last one's, a number is not finite, or a cell has more or fewer
            probabilities than the bundle has labels. The session can still be written.
        TypeError
            If settings, quality or breaches hold what JSON cannot. The session can still be written.
        SessionError
            If the disk refuses it. Nothing more is written.
        """
        if record.index <= self._index:
            raise ValueError(f"record {record.index} cannot follow record {self._index}")
        labels = len(self.header.labels)
        if any(len(cell.probabilities) != labels for cell in record.cells):
            raise ValueError(f"record {record.index}: a cell does not have {labels} probabilities")
        frame, cells = to_rows(record)
        digest = frame_hash(self._hash, frame, cells)
        with self._transaction():
            self._db.execute(INSERT_FRAME, (*frame, digest))
            self._db.executemany(INSERT_CELL, ((record.index, *cell) for cell in cells))
            if record.tracker_state is not None:
                self._db.execute("INSERT OR REPLACE INTO tracker VALUES (0, ?)", (record.tracker_state,))
        self._index, self._hash, self._count = record.index, digest, self._count + 1
        if self.attempt:
            self.attempt.over()
            self.attempt = None

    def finish(self, reason: str, result: Mapping[str, Any] | None = None) -> str:
        """Seal the session with a reason in words and the final count, and close it as a single file.

        Returns the seal. If the disk refuses it, the session is as unfinished as before.
        """
        ended = {"reason": reason, "ended": datetime.now(UTC).isoformat(), "result": result}
        content = canonical(ended | {"frames": self._count, "last_hash": self._hash.hex()})
        seal = finish_hash(self._hash, content)
        with self._transaction():
            self._db.execute("INSERT INTO finish VALUES (0, ?, ?)", (content, seal))
        # sealed: a reader that is still there, or a full disk, only keeps the log from being taken in
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA journal_mode=DELETE")
        self.close()
        return seal.hex()

    def close(self) -> None:
        """Release the file and the lock; an unfinished session can be resumed."""
        self._undo.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._failed:
            raise SessionError(f"{self.path}: nothing more is written after an error")
        self._db.renew()
        with disk_errors(self.path):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            # also when interrupted: no half of a frame may stay open
            except BaseException:
                self._failed = True
                with suppress(sqlite3.Error):  # SQLite may have rolled back already
                    self._db.execute("ROLLBACK")
                raise


def create_session(header: Header, folder: Path | None = None) -> Session:
    """Begin a session: its file, with the header in it, is on the disk when this returns.

    The folder is made if it does not exist; by default it is `edge.session.names.sessions_folder`.
    """
    folder = sessions_folder() if folder is None else folder
    with disk_errors(folder, "set LEUKO_HOME to a folder that can be written"):
        make_folder(folder)
        close_folder(folder)
        _tidy(folder)
        for _ in range(_TRIES):
            session_id = new_id(header.started, folder)
            path = path_of(session_id, folder)
            with ExitStack() as stack:
                # if another process begins one in the same second, the next id is another
                if stack.enter_context(lock_held(path)) and not path.exists():
                    write_new(path, header_text(header, session_id))
                    connection = stack.enter_context(closing(connect(path, "mode=rw")))
                    return _to_write(path, connection, stack)
    raise SessionError(f"{folder}: other processes keep beginning sessions here")


def open_session(path: Path, *, unattended: bool = False) -> Session:
    """Open an unfinished session of this release that no other process writes, to resume it.

    One that `StoredSession.verify` finds a problem in raises a `DamagedSessionError`: nothing is added to it.

    Parameters
    ----------
    unattended : bool
        A service resumes it. If that is killed before a new frame is added, this raises a
        `DamagedSessionError` the next time, see `edge.session.attempts`.
    """
    with disk_errors(path), ExitStack() as stack:
        must_exist(path)
        if not stack.enter_context(lock_held(path)):
            raise SessionError(f"{path}: another process is writing it")
        attempt = Attempt(path) if unattended else None
        if attempt:
            stack.callback(attempt.over)
        # verified by the connection that writes: at this name another file may lie by now
        connection = stack.enter_context(closing(connect(path, "mode=rw")))
        stored = StoredSession(path, connection)
        if stored.finished is not None:
            raise SessionError(f"{path}: finished; nothing can be added")
        if not stored.writable:
            raise SessionError(
                f"{path}: an earlier release of leuko wrote it: it can be shown, verified and exported,"
                " but not resumed; count again"
            )
        if problems := stored.verify():
            more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
            raise DamagedSessionError(f"{path}: damaged: {problems[0]}{more}")
        return _to_write(path, connection, stack, attempt)


def _to_write(path: Path, connection: Database, stack: ExitStack, attempt: Attempt | None = None) -> Session:
    """Prepare a file for writing; the session takes over the stack, which holds lock and connection."""
    for pragma in ("synchronous=FULL", "foreign_keys=ON", f"wal_autocheckpoint={CHECKPOINT_PAGES}"):
        connection.execute(f"PRAGMA {pragma}")
    if one(connection, "PRAGMA journal_mode=WAL") != ("wal",):
        raise SessionError(f"{path}: no write-ahead log is possible here; sessions need a local disk")
    connection.execute(f"PRAGMA user_version={TABLES.version}")  # writes: a disk that refuses is noticed now
    return Session(path, connection, stack, attempt)


def _tidy(folder: Path) -> None:
    """Make single files of finished sessions that a power cut, a reader or a full disk left with a log."""
    for log in folder.glob(f"*{SUFFIX}-wal"):
        path = log.with_name(log.name.removesuffix("-wal"))
        # neither reading them nor beginning another one depends on this
        with suppress(SessionError, sqlite3.Error, OSError):
            with read_session(path) as stored:
                sealed = stored.finished is not None
            if sealed:
                with closing(connect(path, "mode=rw")) as connection:
                    connection.execute("PRAGMA journal_mode=DELETE")
