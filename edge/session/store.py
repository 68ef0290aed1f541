"""A session as it stands on the disk: reading and verifying it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from edge.base import quantity
from edge.classify import Decision
from edge.count import tally_decisions
from edge.session.content import checked, digest, to_facts, to_finish, to_header, to_record
from edge.session.files import DamagedSessionError, SessionError, disk_errors, is_locked, must_exist
from edge.session.opening import Database, connect_to_read
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
)

_BROKEN = "*** in database main ***"
"""Begins SQLite's list of pages that are in two places, or in none; it comes before it reads the rows."""

State = Literal["counting", "unfinished", "finished"]
"""``counting``: a process writes it now; ``unfinished``: nobody does, and it has not ended."""


class StoredSession:
    """A session as it stands on the disk, for reading, also while another process writes it.

    A context manager. Its methods raise `SessionError`, with one line, if the file cannot be read.
    """

    def __init__(self, path: Path, connection: Database) -> None:
        self.path = path
        self._db = connection
        self._sound = False
        self._stray = 0
        with self._reading():
            self._tables = VERSIONS[one(connection, "PRAGMA user_version")[0]]
            found = self._only("header")
            if found is None:
                raise ValueError("it has no header")
            self._header_text, self._header_hash = found
            self.id, self.header = to_header(self._header_text)

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
            found = self._only("finish")
            return found and to_finish(found[0])

    @property
    def last_hash(self) -> str:
        """Hash of the whole session so far, the seal once it is finished, as 64 hexadecimal digits.

        Kept elsewhere, it shows later whether the file is still the same.
        """
        with self._reading():
            found = self._only("finish")
            return (found[1] if found else self._last()[1]).hex()

    @property
    def tracker_state(self) -> bytes | None:
        """What the tracker needs to resume after the last record; None if nothing was stored."""
        with self._reading():
            return self._state()

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
            self._be_sound()
            for frame, _, cells in self._rows(crops):
                yield to_record(frame, cells, self._tables, self.header)
            if self._stray:
                raise ValueError(f"{quantity(self._stray, 'cell')} too many")

    def count_frames(self) -> int:
        """Return the number of records: frames that were read and frames that were not."""
        with self._reading():
            return int(one(self._db, "SELECT count(frame_index) FROM frame")[0])

    def count_cells(self) -> int:
        """Return the number of cells in all records."""
        with self._reading():
            return int(one(self._db, "SELECT count(frame_index) FROM cell")[0])

    def totals(self) -> SessionTotals:
        """Return the sums over the records."""
        with self._reading(), self.snapshot():
            self._be_sound()
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
            facts = to_facts(text)
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
            if str(answer).startswith(_BROKEN):
                return

    def _be_sound(self) -> None:
        """Make sure, once, that each page has one place: what is read is then never more than the file."""
        if not self._sound:
            (answer,) = one(self._db, "PRAGMA quick_check(1)")
            if str(answer).startswith(_BROKEN):
                raise ValueError(" ".join(str(answer).removeprefix(_BROKEN).split()))
            self._sound = True

    def _breaks(self) -> Iterator[str]:
        """Follow the chain. After a break it continues from the stored hash: one change is one line."""
        previous = self._header_hash
        if header_hash(self._header_text) != previous:
            yield "the header was changed"
        tracker_sha256, frames = None, 0
        for frame, stored, cells in self._rows(crops=True):
            if frame_hash(previous, frame, cells) != stored:
                yield (
                    f"frame {frame[0]} ({frame[1]}) was changed, or a record before it is missing, added or"
                    " moved"
                )
            previous, tracker_sha256, frames = stored, frame[-1] or tracker_sha256, frames + 1
        if self._stray:
            yield f"{quantity(self._stray, 'cell is', 'cells are')} not where the frame's cells were added"
        state = self._state()
        if (None if state is None else sha256_hex(state)) != tracker_sha256:
            yield "the tracker's state is not that of the last record"
        if sealed := self._only("finish"):
            content, seal = sealed
            ended = to_finish(content)
            if finish_hash(previous, content) != seal or (ended.frames, ended.last_hash) != (
                frames,
                previous.hex(),
            ):
                yield "the end was changed, or records before it are missing or were added"

    def _rows(self, crops: bool) -> Iterator[tuple[Row, bytes, list[Row]]]:
        """Yield each frame's row, hash and cells' rows; the open cursors hold one state of the file.

        The cells are read in the order in which they were added, without an index that could name one twice;
        those that belong to no frame, or stand elsewhere, are counted as `_stray`.
        """
        self._stray = 0
        columns = ", ".join(self._tables.cell_columns)
        columns = columns if crops else columns.replace("crop_png", "NULL")
        found = self._db.execute(f"SELECT frame_index, {columns} FROM cell NOT INDEXED ORDER BY rowid")
        row = found.fetchone()
        for frame in self._db.execute(
            f"SELECT {', '.join(self._tables.frame_columns)}, hash FROM frame ORDER BY frame_index"
        ):
            *values, stored = checked(frame, self._tables.frame_types)
            cells: list[Row] = []
            while row is not None and row[0] <= values[0]:
                number, *cell = checked(row, self._tables.cell_types)
                if number == values[0]:
                    cells.append(cell)
                else:
                    self._stray += 1
                row = found.fetchone()
            yield values, digest(stored), cells
        self._stray += (row is not None) + sum(1 for _ in found)

    def _only(self, table: str) -> tuple[str, bytes] | None:
        """Return content and hash of the one row of a table; None if it is empty."""
        rows = self._db.execute(f"SELECT id, content, hash FROM {table} LIMIT 2").fetchall()
        if not rows:
            return None
        (number, content, stored), *more = rows
        if number != 0 or more or not isinstance(content, str):
            raise ValueError(f"there is more than one {table}")
        return content, digest(stored)

    def _state(self) -> bytes | None:
        rows = self._db.execute("SELECT id, state FROM tracker LIMIT 2").fetchall()
        if not rows:
            return None
        (number, state), *more = rows
        if number != 0 or more or not isinstance(state, bytes):
            raise ValueError("there is more than one state of the tracker")
        return state

    def _last(self) -> tuple[int, bytes]:
        """Return index and hash of the last record; -1 and the header's hash before the first."""
        row = one(self._db, "SELECT frame_index, hash FROM frame ORDER BY frame_index DESC LIMIT 1")
        return (int(row[0]), digest(row[1])) if row else (-1, self._header_hash)

    @contextmanager
    def _reading(self) -> Iterator[None]:
        self._db.renew()
        try:
            with disk_errors(self.path):
                yield
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError) as error:
            reason = " ".join(str(error).split())
            raise DamagedSessionError(f"{self.path}: damaged: its content is invalid ({reason})") from error


def read_session(path: Path) -> StoredSession:
    """Open a session for reading, also on a read-only disk and while another process writes it."""
    with disk_errors(path), ExitStack() as stack:
        must_exist(path)
        connection = stack.enter_context(closing(connect_to_read(path)))
        session = StoredSession(path, connection)
        stack.pop_all()
        return session
