"""A session: read as it stands on the disk, and written a frame a transaction."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from edge.classify import Decision
from edge.count import tally_decisions
from edge.session import chain, lock
from edge.session.chain import Row
from edge.session.errors import SessionError, disk_errors
from edge.session.record import Finish, FrameRecord, Header, SessionTotals
from edge.session.tables import (
    CELL_COLUMNS,
    FRAME_COLUMNS,
    INSERT_CELL,
    INSERT_FRAME,
    TABLES,
    one,
    to_record,
    to_rows,
)

State = Literal["counting", "unfinished", "finished"]
"""A process writes it now; it can be gone on with; it ended."""


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
            content, digest = one(connection, "SELECT content, hash FROM header")
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
            row = one(self._db, "SELECT content FROM finish")
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
            seal = one(self._db, "SELECT hash FROM finish")
            return bytes(seal[0] if seal else self._last()[1]).hex()

    @property
    def tracker_state(self) -> bytes | None:
        """What following cells needs to go on after the last record; None if nothing was stored."""
        with self._reading():
            row = one(self._db, "SELECT state FROM tracker")
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
                yield to_record(frame, cells)

    def count_frames(self) -> int:
        """Count the records: frames that were read and frames that were not."""
        with self._reading():
            return int(one(self._db, "SELECT count(*) FROM frame")[0])

    def count_cells(self) -> int:
        """Count the cells in all records."""
        with self._reading():
            return int(one(self._db, "SELECT count(*) FROM cell")[0])

    def totals(self) -> SessionTotals:
        """Add up the records."""
        with self._reading(), self.snapshot():
            rows = self._db.execute("SELECT likeliest, rejected_by, count(*) FROM cell GROUP BY 1, 2")
            found = {Decision(likeliest, reason): cells for likeliest, reason, cells in rows}
            read, failed, dropped, out = one(
                self._db,
                "SELECT count(sha256), count(failed), coalesce(sum(dropped_before), 0),"
                " count(nullif(breaches, '[]')) FROM frame",
            )
            track_ids = one(self._db, "SELECT count(DISTINCT track_id) FROM cell")[0]
        tally = tally_decisions(self.header.labels, self.header.counted, found, read, ())
        return SessionTotals(tally.counts, tally.rejected_by, read, failed, dropped, out, track_ids or None)

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
        content = one(self._db, "SELECT content FROM header")[0]
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
        stray = one(
            self._db, "SELECT count(*) FROM cell WHERE frame_index NOT IN (SELECT frame_index FROM frame)"
        )
        if stray and stray[0]:
            yield f"{stray[0]} cells belong to no frame"
        state = one(self._db, "SELECT state FROM tracker")
        if (state and chain.sha256_hex(state[0])) != tracker_sha256:
            yield "the state for following cells is not that of the last record"
        sealed = one(self._db, "SELECT content, hash FROM finish")
        if sealed is not None and chain.finish_hash(previous, sealed[0]) != sealed[1]:
            yield "the end was changed, or records before it are missing or were added"

    def _rows(self, crops: bool) -> Iterator[tuple[Row, bytes, list[Row]]]:
        """Each frame's row, its hash and its cells' rows. The open cursor holds one state of the file."""
        columns = CELL_COLUMNS if crops else CELL_COLUMNS.replace("crop_png", "NULL")
        for *frame, digest in self._db.execute(
            f"SELECT {FRAME_COLUMNS}, hash FROM frame ORDER BY frame_index"
        ):
            cells = self._db.execute(
                f"SELECT {columns} FROM cell WHERE frame_index = ? ORDER BY cell_index", frame[:1]
            )
            yield frame, digest, cells.fetchall()

    def _last(self) -> tuple[int, bytes]:
        """Index and hash of the last record; -1 and the header's before the first."""
        row = one(self._db, "SELECT frame_index, hash FROM frame ORDER BY frame_index DESC LIMIT 1")
        return row or (-1, self._header_hash)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with disk_errors(self.path):
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
        TypeError
            If settings, quality or breaches hold what JSON cannot; likewise.
        SessionError
            If the disk does not take it; nothing is written any more.
        """
        if record.index <= self._index:
            raise ValueError(f"record {record.index} cannot follow record {self._index}")
        if any(len(cell.probabilities) != len(self.header.labels) for cell in record.cells):
            raise ValueError(f"record {record.index}: not {len(self.header.labels)} probabilities a cell")
        frame, cells = to_rows(record)
        digest = chain.frame_hash(self._hash, frame, cells)
        with self._transaction():
            self._db.execute(INSERT_FRAME, (*frame, digest))
            self._db.executemany(INSERT_CELL, ((record.index, *cell) for cell in cells))
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
        content = chain.canonical(
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
            raise SessionError(f"{self.path}: not written any more, after an error")
        with disk_errors(self.path):
            try:
                self._db.execute("BEGIN IMMEDIATE")
                yield
                self._db.execute("COMMIT")
            # also when stopped meanwhile: no half of a frame may be left open
            except BaseException:
                self._failed = True
                with suppress(sqlite3.Error):  # SQLite may have rolled back already
                    self._db.execute("ROLLBACK")
                raise
