"""A session as it stands on the disk: reading and verifying it."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from edge.base import quantity
from edge.classify import Decision
from edge.count import tally_decisions
from edge.session.files import SessionError, connect_to_read, disk_errors, is_locked, must_exist
from edge.session.record import Finish, FrameRecord, SessionTotals
from edge.session.tables import (
    TABLES,
    VERSIONS,
    Row,
    finish_hash,
    frame_hash,
    header_hash,
    one,
    sha256_hex,
    to_header,
    to_record,
)

State = Literal["counting", "unfinished", "finished"]
"""``counting``: a process writes it now; ``unfinished``: nobody does, and it has not ended."""


class StoredSession:
    """A session as it stands on the disk, for reading, also while another process writes it.

    A context manager. Its methods raise `SessionError`, with one line, if the file cannot be read.
    """

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._db = connection
        with self._reading():
            self._tables = VERSIONS[one(connection, "PRAGMA user_version")[0]]
            content, digest = one(connection, "SELECT content, hash FROM header")
            self._header_hash: bytes = digest
            self.id, self.header = to_header(content)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the file."""
        self._db.close()

    @property
    def state(self) -> State:
        """Whether it is finished, being written now, or neither."""
        if self.finished is not None:
            return "finished"
        return "counting" if is_locked(self.path) else "unfinished"

    @property
    def writable(self) -> bool:
        """Whether it has the tables that this release writes."""
        return self._tables is TABLES

    @property
    def resumable(self) -> bool:
        """Whether it is unfinished, and this release can resume it."""
        return self.state == "unfinished" and self.writable

    @property
    def finished(self) -> Finish | None:
        """How it ended; None if it has not."""
        with self._reading():
            row = one(self._db, "SELECT content FROM finish")
            if row is None:
                return None
            values = json.loads(row[0])
            return Finish(**values | {"ended": datetime.fromisoformat(values["ended"])})

    @property
    def last_hash(self) -> str:
        """Hash of the whole session so far, the seal once it is finished, as 64 hexadecimal digits.

        Kept elsewhere, it shows later whether the file is still the same.
        """
        with self._reading():
            seal = one(self._db, "SELECT hash FROM finish")
            return bytes(seal[0] if seal else self._last()[1]).hex()

    @property
    def tracker_state(self) -> bytes | None:
        """What the tracker needs to resume after the last record; None if nothing was stored."""
        with self._reading():
            row = one(self._db, "SELECT state FROM tracker")
            return None if row is None else bytes(row[0])

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let all queries within the block see one state of the file, whatever is written meanwhile."""
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
        """Yield the records in order, with the cells' crops if `crops` is set."""
        with self._reading():
            for frame, _, cells in self._rows(crops):
                yield to_record(frame, cells, self._tables, self.header)

    def count_frames(self) -> int:
        """Return the number of records: frames that were read and frames that were not."""
        with self._reading():
            return int(one(self._db, "SELECT count(*) FROM frame")[0])

    def count_cells(self) -> int:
        """Return the number of cells in all records."""
        with self._reading():
            return int(one(self._db, "SELECT count(*) FROM cell")[0])

    def totals(self) -> SessionTotals:
        """Return the sums over the records."""
        with self._reading(), self.snapshot():
            decisions, track_ids = self._decisions()
            read, failed, dropped, out = one(
                self._db,
                "SELECT count(sha256), count(failed), coalesce(sum(dropped_before), 0),"
                " count(nullif(breaches, '[]')) FROM frame",
            )
            left_out = self._left_out(failed)
        tally = tally_decisions(self.header.labels, self.header.counted, decisions, read, ())
        return SessionTotals(tally, failed, dropped, out, left_out, track_ids or None)

    def _left_out(self, failed: int) -> Counter[str]:
        """Return kind → frames that are not counted; `failed` of them have a record."""
        if self._tables is not TABLES:
            return +Counter(unreadable=failed)
        found: Counter[str] = Counter()
        for not_counted, text in self._db.execute(
            "SELECT failed IS NOT NULL, facts FROM frame"
            " WHERE failed IS NOT NULL OR facts LIKE '%\"unlisted_before\"%'"
        ):
            facts = json.loads(text)
            found.update([facts.get("kind", "unreadable")] if not_counted else facts["unlisted_before"])
        return found

    def _decisions(self) -> tuple[Counter[Decision], int]:
        """Return decision → cells, and the number of different track ids."""
        if self._tables is not TABLES:
            cells = [one for frame in self.frames() for one in frame.cells]
            track_ids = {one.track_id for one in cells} - {None}
            return Counter(one.decision for one in cells), len(track_ids)
        rows = self._db.execute("SELECT likeliest, rejected_by, count(*) FROM cell GROUP BY 1, 2")
        found = Counter({Decision(likeliest, reason): cells for likeliest, reason, cells in rows})
        return found, one(self._db, "SELECT count(DISTINCT track_id) FROM cell")[0]

    def verify(self) -> list[str]:
        """Check the file, the chain of hashes and the seal; return one line per problem.

        A chain without a secret cannot show that all of it was replaced: compare `last_hash` with one that
        was kept elsewhere.
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
        for (answer,) in self._db.execute("PRAGMA integrity_check(10)"):
            if answer != "ok":
                yield f"the file is damaged: {' '.join(str(answer).split())}"
        tables = self._db.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")
        if tuple(sql for (sql,) in tables) != self._tables.statements:
            yield "the tables are not those of a session: something was added or changed"

    def _breaks(self) -> Iterator[str]:
        """Follow the chain. After a break it continues from the stored hash: one change is one line."""
        previous = self._header_hash
        if header_hash(one(self._db, "SELECT content FROM header")[0]) != previous:
            yield "the header was changed"
        tracker_sha256 = None
        for frame, digest, cells in self._rows(crops=True):
            if frame_hash(previous, frame, cells) != digest:
                yield (
                    f"frame {frame[0]} ({frame[1]}) was changed, or a record before it is missing, added or"
                    " moved"
                )
            previous, tracker_sha256 = digest, frame[-1] or tracker_sha256
        stray = one(
            self._db, "SELECT count(*) FROM cell WHERE frame_index NOT IN (SELECT frame_index FROM frame)"
        )
        if stray and stray[0]:
            yield f"{quantity(stray[0], 'cell belongs', 'cells belong')} to no frame"
        state = one(self._db, "SELECT state FROM tracker")
        if (state and sha256_hex(state[0])) != tracker_sha256:
            yield "the tracker's state is not that of the last record"
        sealed = one(self._db, "SELECT content, hash FROM finish")
        if sealed is not None and finish_hash(previous, sealed[0]) != sealed[1]:
            yield "the end was changed, or records before it are missing or were added"

    def _rows(self, crops: bool) -> Iterator[tuple[Row, bytes, list[Row]]]:
        """Yield each frame's row, hash and cells' rows; the open cursor holds one state of the file."""
        columns = ", ".join(self._tables.cell_columns)
        columns = columns if crops else columns.replace("crop_png", "NULL")
        for *frame, digest in self._db.execute(
            f"SELECT {', '.join(self._tables.frame_columns)}, hash FROM frame ORDER BY frame_index"
        ):
            cells = self._db.execute(
                f"SELECT {columns} FROM cell WHERE frame_index = ? ORDER BY cell_index", frame[:1]
            )
            yield frame, digest, cells.fetchall()

    def _last(self) -> tuple[int, bytes]:
        """Return index and hash of the last record; -1 and the header's hash before the first."""
        row = one(self._db, "SELECT frame_index, hash FROM frame ORDER BY frame_index DESC LIMIT 1")
        return row or (-1, self._header_hash)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with disk_errors(self.path):
                yield
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise SessionError(f"{self.path}: damaged: its content is invalid ({reason})") from error


def read_session(path: Path) -> StoredSession:
    """Open a session for reading, also on a read-only disk and while another process writes it."""
    with disk_errors(path), ExitStack() as stack:
        must_exist(path)
        connection = stack.enter_context(closing(connect_to_read(path)))
        session = StoredSession(path, connection)
        stack.pop_all()
        return session
