"""A session's file: an SQLite database to which each frame is added in one transaction.

The only module that knows SQL. Write-ahead log with ``synchronous=FULL``: what `Session.add` was given is on
the disk when it returns. (With ``NORMAL`` a log survives a killed process, but not a power cut.)
"""

from __future__ import annotations

import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from edge.session import chain, lock, names
from edge.session.chain import Row, canonical
from edge.session.names import SessionError
from edge.session.record import CellRecord, Finish, FrameRecord, Header, Totals

APPLICATION_ID = 0x4C455553
"""Marks the file as a session, "LEUS" (SQLite's ``application_id``)."""

SCHEMA = 1
"""Version of the tables (SQLite's ``user_version``)."""

CHECKPOINT_PAGES = 1000
"""Log pages, of 4 KiB, after which a commit moves them into the database and the log begins anew. If the disk
refuses that, nothing is lost: the log keeps them, and the next commit tries again."""

BUSY_S = 1.0
"""Longest wait for another connection: a service has two seconds to end."""

_TRIES = 20
"""Ids that `create` tries where other processes begin sessions in the same second."""

_FRAME = (
    "frame_index, name, time_ns, sha256, failed, settings, quality, breaches, dropped_before, tracker_sha256"
)
_CELL = "cell_index, x, y, width, height, area_px, label, probabilities, border, touching, identity, crop_png"

TABLES = (
    "CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 0), content TEXT NOT NULL, hash BLOB NOT NULL)"
    " STRICT",
    "CREATE TABLE frame (frame_index INTEGER PRIMARY KEY, name TEXT NOT NULL, time_ns INTEGER NOT NULL,"
    " sha256 TEXT, failed TEXT, settings TEXT NOT NULL, quality TEXT NOT NULL, breaches TEXT NOT NULL,"
    " dropped_before INTEGER NOT NULL, tracker_sha256 TEXT, hash BLOB NOT NULL) STRICT",
    "CREATE TABLE cell (frame_index INTEGER NOT NULL REFERENCES frame, cell_index INTEGER NOT NULL,"
    " x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, area_px REAL,"
    " label TEXT NOT NULL, probabilities TEXT NOT NULL, border INTEGER NOT NULL, touching INTEGER NOT NULL,"
    " identity INTEGER, crop_png BLOB, PRIMARY KEY (frame_index, cell_index)) STRICT",
    "CREATE TABLE tracker (id INTEGER PRIMARY KEY CHECK (id = 0), state BLOB NOT NULL) STRICT",
    "CREATE TABLE finish (id INTEGER PRIMARY KEY CHECK (id = 0), content TEXT NOT NULL, hash BLOB NOT NULL)"
    " STRICT",
)
"""Mappings and lists are JSON text; flags 0 or 1; boxes in full-frame pixels."""

_TELLING = {
    sqlite3.SQLITE_FULL: "the disk is full; what was counted before is kept",
    sqlite3.SQLITE_READONLY: "the disk, or the file, is read-only",
    sqlite3.SQLITE_CANTOPEN: "cannot be opened: is its folder writable?",
    sqlite3.SQLITE_BUSY: "another process is using it",
    sqlite3.SQLITE_NOTADB: "not a session: no SQLite database",
    sqlite3.SQLITE_CORRUPT: "damaged: not everything in it can be read",
}


State = Literal["counting", "unfinished", "finished"]


class StoredSession:
    """A session as it stands on the disk, for reading; one that is being written can be read meanwhile.

    A context manager. Its methods raise `SessionError`, with one line, if the file cannot be read on.

    Attributes
    ----------
    path : its file
    id : its name
    header : what it said of itself before its first frame
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        with self._reading():
            content, digest = _one(connection, "SELECT content, hash FROM header")
            self._header_hash: bytes = digest
            said = json.loads(content)
            self.id = str(said.pop("id"))
            for name in ("labels", "counted", "sources"):
                said[name] = tuple(said[name])
            self.header = Header(**said | {"started": datetime.fromisoformat(said["started"])})

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    @property
    def state(self) -> State:
        """Whether it is finished, a process writes it now, or it can be gone on with."""
        if self.finished is not None:
            return "finished"
        return "counting" if lock.locked(self.path) else "unfinished"

    @property
    def finished(self) -> Finish | None:
        """How it ended; None if it did not."""
        with self._reading():
            row = _one(self._db, "SELECT content FROM finish")
            if row is None:
                return None
            said = json.loads(row[0])
            return Finish(**said | {"ended": datetime.fromisoformat(said["ended"])})

    @property
    def last_hash(self) -> str:
        """Hash of the whole session so far, the seal once it is finished, as 64 hexadecimal digits.

        Whoever keeps it elsewhere can tell later whether the file still is the same.
        """
        with self._reading():
            seal = _one(self._db, "SELECT hash FROM finish")
            return bytes(seal[0] if seal else self._last()[1]).hex()

    @property
    def tracker_state(self) -> bytes | None:
        """What following cells needs to go on after the last record; None if nothing was stored."""
        with self._reading():
            row = _one(self._db, "SELECT state FROM tracker")
            return None if row is None else bytes(row[0])

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all questions within the block see one state of the file, whatever is written meanwhile."""
        if self._db.in_transaction:
            yield
            return
        with self._reading():
            self._db.execute("BEGIN")
        try:
            yield
        finally:
            self._db.execute("ROLLBACK")

    def frames(self, *, crops: bool = False) -> Iterator[FrameRecord]:
        """Read the records in order, one at a time.

        Parameters
        ----------
        crops : read the cells' crops too
        """
        with self._reading():
            for frame, _, cells in self._rows(crops):
                yield _to_record(frame, cells)

    def count_frames(self) -> int:
        """Count the records: frames that were read and frames that were not."""
        with self._reading():
            return int(_one(self._db, "SELECT count(*) FROM frame")[0])

    def count_cells(self) -> int:
        """Count the cells in all records."""
        with self._reading():
            return int(_one(self._db, "SELECT count(*) FROM cell")[0])

    def totals(self) -> Totals:
        """Add up the records."""
        with self._reading(), self.snapshot():
            found = dict(self._db.execute("SELECT label, count(*) FROM cell GROUP BY label"))
            read, failed, dropped, out = _one(
                self._db,
                "SELECT count(sha256), count(failed), coalesce(sum(dropped_before), 0),"
                " count(nullif(breaches, '[]')) FROM frame",
            )
            identities = _one(self._db, "SELECT count(DISTINCT identity) FROM cell")[0]
        counts = {label: found.pop(label, 0) for label in self.header.labels}
        return Totals(counts, sum(found.values()), read, failed, dropped, out, identities or None)

    def verify(self) -> list[str]:
        """Check the file, the chain of hashes and the seal: a line a problem, none if nothing was changed.

        Without a secret a chain cannot show that somebody replaced all of it: compare `last_hash` with one
        that was kept elsewhere.
        """
        problems: list[str] = []
        try:
            with self._reading(), self.snapshot():
                problems += self._damage()
                problems += self._breaks()
        except SessionError as error:
            problems.append(str(error).removeprefix(f"{self.path}: "))
        return problems

    def _damage(self) -> Iterator[str]:
        for (said,) in self._db.execute("PRAGMA integrity_check(10)"):
            if said != "ok":
                yield f"the file is damaged: {' '.join(str(said).split())}"
        tables = self._db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
        if tuple(sql for (sql,) in tables) != TABLES:
            yield "the tables are not those of a session: something was added or changed"

    def _breaks(self) -> Iterator[str]:
        """Walk along the chain. After a break it goes on from the stored hash: one change is one line."""
        previous = self._header_hash
        content = _one(self._db, "SELECT content FROM header")[0]
        if chain.header_hash(content) != previous:
            yield "the header was changed"
        tracker_sha256 = None
        for frame, digest, cells in self._rows(crops=True):
            if chain.frame_hash(previous, frame, cells) != digest:
                yield (
                    f"frame {frame[0]} ({frame[1]}) was changed, or a record before it is missing, added or"
                    " moved"
                )
            previous, tracker_sha256 = digest, frame[-1] or tracker_sha256
        stray = _one(
            self._db, "SELECT count(*) FROM cell WHERE frame_index NOT IN (SELECT frame_index FROM frame)"
        )
        if stray and stray[0]:
            yield f"{stray[0]} cells belong to no frame"
        state = _one(self._db, "SELECT state FROM tracker")
        if (state and chain.sha256_hex(state[0])) != tracker_sha256:
            yield "the state for following cells is not that of the last record"
        sealed = _one(self._db, "SELECT content, hash FROM finish")
        if sealed is not None and chain.finish_hash(previous, sealed[0]) != sealed[1]:
            yield "the end was changed, or records before it are missing or were added"

    def _rows(self, crops: bool) -> Iterator[tuple[Row, bytes, list[Row]]]:
        """Each frame's row, its hash and its cells' rows. The open cursor holds one state of the file."""
        columns = _CELL if crops else _CELL.replace("crop_png", "NULL")
        for *frame, digest in self._db.execute(f"SELECT {_FRAME}, hash FROM frame ORDER BY frame_index"):
            cells = self._db.execute(
                f"SELECT {columns} FROM cell WHERE frame_index = ? ORDER BY cell_index", frame[:1]
            )
            yield frame, digest, cells.fetchall()

    def _last(self) -> tuple[int, bytes]:
        """Index and hash of the last record; -1 and the header's before the first."""
        row = _one(self._db, "SELECT frame_index, hash FROM frame ORDER BY frame_index DESC LIMIT 1")
        return row or (-1, self._header_hash)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with _disk_errors(self.path):
                yield
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            said = " ".join(str(error).split())
            raise SessionError(f"{self.path}: damaged: what it holds makes no sense ({said})") from error


class Session(StoredSession):
    """A session that is being written, by one process alone.

    A context manager: leaving it without `finish` leaves a session that `open_session` goes on with. After
    an error in writing nothing more is written; what was added before stays readable.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection, undo: ExitStack) -> None:
        super().__init__(path, connection)
        self._failed = False
        with self._reading():
            self._index, self._hash = self._last()
        self._count = self.count_frames()
        self._undo = undo.pop_all()

    @property
    def last_index(self) -> int:
        """Index of the last record; -1 before the first."""
        return self._index

    def add(self, record: FrameRecord) -> None:
        """Store a frame's record with its cells: on the disk when this returns, wholly or not at all.

        Raises
        ------
        ValueError
            If its index is not above the last one's, a number is not finite, or a cell has more or fewer
            probabilities than the bundle has labels. The session can be written on.
        SessionError
            If the disk does not take it; nothing is written any more.
        """
        if record.index <= self._index:
            raise ValueError(f"record {record.index} cannot follow record {self._index}")
        if any(len(cell.probabilities) != len(self.header.labels) for cell in record.cells):
            raise ValueError(f"record {record.index}: not {len(self.header.labels)} probabilities a cell")
        frame, cells = _to_rows(record)
        digest = chain.frame_hash(self._hash, frame, cells)
        with self._transaction():
            self._db.execute(
                f"INSERT INTO frame ({_FRAME}, hash) VALUES ({_marks(_FRAME)}, ?)", (*frame, digest)
            )
            self._db.executemany(
                f"INSERT INTO cell (frame_index, {_CELL}) VALUES (?, {_marks(_CELL)})",
                ((record.index, *cell) for cell in cells),
            )
            if record.tracker_state is not None:
                self._db.execute("INSERT OR REPLACE INTO tracker VALUES (0, ?)", (record.tracker_state,))
        self._index, self._hash, self._count = record.index, digest, self._count + 1

    def finish(self, reason: str, result: dict[str, Any] | None = None) -> str:
        """Seal the session, leave it as a single file, and let go of it; return the seal.

        Parameters
        ----------
        reason : why it ends, in words
        result : the final count, as JSON can hold it

        Raises
        ------
        ValueError
            If the result is nothing that JSON can hold.
        SessionError
            If the disk does not take it; the session is then as unfinished as before.
        """
        content = canonical(
            {
                "reason": reason,
                "ended": datetime.now(UTC).isoformat(),
                "frames": self._count,
                "last_hash": self._hash.hex(),
                "result": result,
            }
        )
        seal = chain.finish_hash(self._hash, content)
        with self._transaction():
            self._db.execute("INSERT INTO finish VALUES (0, ?, ?)", (content, seal))
        # sealed: a reader that is still there, or a full disk, only keeps the log from being taken in
        with suppress(sqlite3.Error):
            self._db.execute("PRAGMA journal_mode=DELETE")
        self.close()
        return seal.hex()

    def close(self) -> None:
        """Let go of the file; a session that is not finished can be gone on with."""
        self._undo.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        if self._failed:
            raise SessionError(f"{self.path}: not written any more, since the disk refused an earlier record")
        with _disk_errors(self.path):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            except BaseException:
                self._failed = True
                with suppress(sqlite3.Error):  # SQLite may have rolled back already
                    self._db.execute("ROLLBACK")
                raise


def create(header: Header, folder: Path | None = None) -> Session:
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
    with _disk_errors(folder):
        _make_folder(folder)
        for _ in range(_TRIES):
            session_id = names.new_id(header.started, folder)
            path = names.path_of(session_id, folder)
            with ExitStack() as stack:
                # else somebody begins one in the same second: then the next id is another
                if stack.enter_context(lock.held(path)) and not path.exists():
                    _write_new(path, canonical(said | {"id": session_id}))
                    return _writing(path, stack)
    raise SessionError(f"{folder}: other processes keep beginning sessions here")


def open_session(path: Path) -> Session:
    """Open an unfinished session, to go on with it.

    Raises
    ------
    SessionError
        If it is finished, another process writes it, it cannot be written, or it is no session.
    """
    _must_exist(path)
    with _disk_errors(path), ExitStack() as stack:
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
    _must_exist(path)
    with _disk_errors(path), ExitStack() as stack:
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
    if _one(connection, "PRAGMA journal_mode=WAL") != ("wal",):
        raise SessionError(f"{path}: no write-ahead log is possible here; sessions need a local disk")
    connection.execute("BEGIN IMMEDIATE")  # says now that the disk is read-only
    connection.execute("ROLLBACK")
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
        if _one(connection, "PRAGMA application_id") != (APPLICATION_ID,):
            raise SessionError(f"{path}: not a session: a database of another program")
        (schema,) = _one(connection, "PRAGMA user_version")
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
            connection.execute(f"PRAGMA application_id={APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version={SCHEMA}")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("BEGIN")
            for table in TABLES:
                connection.execute(table)
            connection.execute("INSERT INTO header VALUES (0, ?, ?)", (content, chain.header_hash(content)))
            connection.execute("COMMIT")
            connection.execute("PRAGMA journal_mode=WAL")  # stays so in the file
        made.rename(path)
        _sync(path.parent)


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


def _to_rows(record: FrameRecord) -> tuple[Row, list[Row]]:
    """What the tables take: each value of the very type that they give back, since it is hashed."""
    state = record.tracker_state
    frame: Row = (
        record.index,
        _text(record.name),
        record.time_ns,
        record.sha256,
        None if record.failed is None else _text(record.failed),
        canonical(dict(record.settings)),
        canonical(dict(record.quality)),
        canonical(record.breaches),
        record.dropped_before,
        None if state is None else chain.sha256_hex(state),
    )
    cells: list[Row] = [
        (
            *(number, cell.x, cell.y, cell.width, cell.height),
            None
            if cell.area_px is None
            else cell.area_px + 0.0,  # a float, and no -0.0, which would lose its sign
            cell.label,
            canonical([float(p) for p in cell.probabilities]),
            int(cell.border),
            int(cell.touching),
            cell.identity,
            cell.crop_png,
        )
        for number, cell in enumerate(record.cells)
    ]
    return frame, cells


def _to_record(frame: Any, cells: Any) -> FrameRecord:
    index, name, time_ns, sha256, failed, settings, quality, breaches, dropped_before, _ = frame
    return FrameRecord(
        index,
        name,
        time_ns,
        sha256,
        failed,
        json.loads(settings),
        json.loads(quality),
        tuple(json.loads(breaches)),
        dropped_before,
        tuple(
            CellRecord(
                *(x, y, width, height, label),
                tuple(json.loads(probabilities)),
                bool(border),
                bool(touching),
                area_px,
                identity,
                crop_png,
            )
            for (
                *(_, x, y, width, height),
                area_px,
                label,
                probabilities,
                border,
                touching,
                identity,
                crop_png,
            ) in cells
        ),
    )


def _text(name: str) -> str:
    """A file's name may be any bytes; the database takes text."""
    return name.encode("utf-8", "backslashreplace").decode()


def _marks(columns: str) -> str:
    return ", ".join("?" for _ in columns.split(","))


def _one(connection: sqlite3.Connection, sql: str) -> Any:
    """First row of an answer, a tuple, or None."""
    return connection.execute(sql).fetchone()


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise SessionError(f"{path}: {_words(error)}") from error
    except OSError as error:
        raise SessionError(f"{error.filename or path}: {(error.strerror or str(error)).lower()}") from error


def _words(error: sqlite3.Error) -> str:
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:  # Python's own: text that is none
        return " ".join(str(error).split())
    if code & 0xFF == sqlite3.SQLITE_IOERR:
        return f"the disk failed ({error.sqlite_errorname}); what was counted before is kept"
    return _TELLING.get(code & 0xFF, " ".join(str(error).split()))
