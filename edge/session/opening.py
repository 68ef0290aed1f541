"""Opening a session's file, which anybody may have made: nothing in it runs, and every query ends."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import ExitStack, closing
from pathlib import Path

from edge.session.files import DamagedSessionError, SessionError, is_locked
from edge.session.tables import APPLICATION_ID, TABLES, VERSIONS, one

BUSY_S = 1.0
"""Longest wait for another connection: a service has two seconds to end."""

LIMITS = {
    sqlite3.SQLITE_LIMIT_LENGTH: 64 << 20,  # a header that names half a million files
    sqlite3.SQLITE_LIMIT_SQL_LENGTH: 10_000,
    sqlite3.SQLITE_LIMIT_COLUMN: 50,
    sqlite3.SQLITE_LIMIT_EXPR_DEPTH: 50,
    sqlite3.SQLITE_LIMIT_COMPOUND_SELECT: 3,
    sqlite3.SQLITE_LIMIT_VDBE_OP: 25_000,
    sqlite3.SQLITE_LIMIT_FUNCTION_ARG: 8,
    sqlite3.SQLITE_LIMIT_ATTACHED: 0,
    sqlite3.SQLITE_LIMIT_LIKE_PATTERN_LENGTH: 50,
    sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER: 50,
    sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH: 1,
    sqlite3.SQLITE_LIMIT_WORKER_THREADS: 0,
}

_STEPS, _FEWEST_STEPS, _STEPS_PER_BYTE = 10_000, 10_000_000, 8
"""Steps of SQLite from one look at the budget to the next; those that any query may take, and more for each
byte of the file. A check of all rows takes one or two per byte."""


class Database(sqlite3.Connection):
    """A connection whose queries end: each read may take as many steps as the size of the file explains."""

    path: Path
    _left = _FEWEST_STEPS

    def limit(self, path: Path) -> None:
        """Set all limits, and forbid what a session's tables do not need."""
        self.path = path
        for limit, value in LIMITS.items():
            self.setlimit(limit, value)
        if sys.version_info >= (3, 12):
            self.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
            self.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_TRIGGER, False)
            self.setconfig(sqlite3.SQLITE_DBCONFIG_ENABLE_VIEW, False)
        self.execute("PRAGMA trusted_schema=OFF")
        self.execute("PRAGMA cell_size_check=ON")
        self.set_progress_handler(self._spend, _STEPS)

    def renew(self) -> None:
        """Grant the steps of another read."""
        self._left = _FEWEST_STEPS + _STEPS_PER_BYTE * self.size()

    def size(self) -> int:
        """Return the bytes of the file and of its log."""
        return sum(one.stat().st_size for one in (self.path, Path(f"{self.path}-wal")) if one.exists())

    def _spend(self) -> bool:
        self._left -= _STEPS
        return self._left < 0


def connect(path: Path, options: str, *pragmas: str) -> Database:
    """Open a database with options of SQLite's URI, and make sure that it is a session of a known version.

    Its tables are exactly those that leuko makes: a view, a trigger, a table of another kind or another type
    is refused before a query meets it.
    """
    uri = f"{path.absolute().as_uri()}?{options}"
    with ExitStack() as stack:
        connection = stack.enter_context(
            closing(sqlite3.connect(uri, uri=True, isolation_level=None, timeout=BUSY_S, factory=Database))
        )
        connection.limit(path)
        for pragma in pragmas:
            connection.execute(pragma)
        if one(connection, "PRAGMA application_id") != (APPLICATION_ID,):
            raise SessionError(f"{path}: not a session: a database of another program")
        (version,) = one(connection, "PRAGMA user_version")
        if version not in VERSIONS:
            raise SessionError(
                f"{path}: tables of version {version}, and this leuko reads up to {TABLES.version}:"
                " update leuko"
            )
        (pages,), (page_bytes,) = one(connection, "PRAGMA page_count"), one(connection, "PRAGMA page_size")
        if pages * page_bytes > connection.size():
            raise DamagedSessionError(f"{path}: damaged: it is shorter than it says")
        found = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema LIMIT 10").fetchall()
        if sorted(found, key=str) != VERSIONS[version].schema:
            raise DamagedSessionError(
                f"{path}: damaged: the tables are not those of a session: something was added or changed"
            )
        stack.pop_all()
        return connection


def connect_to_read(path: Path) -> Database:
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
