"""The tables of a session's file, how records become rows, and the chain of hashes over the rows.

Each record's hash covers the record, its cells and the hash before it. What is hashed is what the database
holds, so that the hashes can be computed again from the database alone.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any

from edge.session.record import FrameRecord, Header

APPLICATION_ID = 0x4C455553
"""Marks the file as a session, "LEUS" (SQLite's ``application_id``)."""

Row = Sequence[Any]
"""A row as SQLite returns it: text, numbers, bytes and None."""


Types = tuple[tuple[type, ...], ...]
"""Of each column the types of its values."""


def _types(statement: str, columns: Sequence[str]) -> Types:
    """Return the types that a statement declares."""
    kinds = {"INTEGER": int, "REAL": float, "TEXT": str, "BLOB": bytes}
    declared = {
        name: (kinds[kind],) if must else (kinds[kind], type(None))
        for name, kind, must in re.findall(
            r"(\w+) (INTEGER|REAL|TEXT|BLOB)( NOT NULL| PRIMARY KEY)?", statement
        )
    }
    return tuple(declared[name] for name in columns)


@dataclass(frozen=True)
class Tables:
    """The tables of one version (SQLite's ``user_version``), with the columns that are hashed.

    Mappings and lists are JSON text, flags 0 or 1, boxes in full-frame pixels.
    """

    version: int
    frame: str
    frame_columns: tuple[str, ...]
    cell: str
    cell_columns: tuple[str, ...]

    @property
    def statements(self) -> tuple[str, ...]:
        """The statements that create all tables, in order."""
        return (_HEADER, self.frame, self.cell, *_OTHER_TABLES)

    @cached_property
    def schema(self) -> list[tuple[str, str, str, str | None]]:
        """The rows of ``sqlite_schema`` (type, name, table, statement), sorted as texts."""
        names = ((statement.split()[2], statement) for statement in self.statements)
        rows: list[tuple[str, str, str, str | None]] = [("table", name, name, sql) for name, sql in names]
        return sorted([*rows, ("index", "sqlite_autoindex_cell_1", "cell", None)], key=str)

    @cached_property
    def frame_types(self) -> Types:
        """What each of `frame_columns` holds, and the hash after them."""
        return _types(self.frame, (*self.frame_columns, "hash"))

    @cached_property
    def cell_types(self) -> Types:
        """What the number of the frame and each of `cell_columns` hold."""
        return _types(self.cell, ("frame_index", *self.cell_columns))


_HEADER = (
    "CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 0), content TEXT NOT NULL, hash BLOB NOT NULL)"
    " STRICT"
)

_OTHER_TABLES = (
    "CREATE TABLE tracker (id INTEGER PRIMARY KEY CHECK (id = 0), state BLOB NOT NULL) STRICT",
    "CREATE TABLE finish (id INTEGER PRIMARY KEY CHECK (id = 0), content TEXT NOT NULL, hash BLOB NOT NULL)"
    " STRICT",
)

TABLES = Tables(
    2,
    "CREATE TABLE frame (frame_index INTEGER PRIMARY KEY, name TEXT NOT NULL, time_ns INTEGER NOT NULL,"
    " sha256 TEXT, failed TEXT, settings TEXT NOT NULL, quality TEXT NOT NULL, breaches TEXT NOT NULL,"
    " facts TEXT NOT NULL, dropped_before INTEGER NOT NULL, tracker_sha256 TEXT, hash BLOB NOT NULL) STRICT",
    (
        *("frame_index", "name", "time_ns", "sha256", "failed", "settings", "quality", "breaches", "facts"),
        *("dropped_before", "tracker_sha256"),
    ),
    "CREATE TABLE cell (frame_index INTEGER NOT NULL REFERENCES frame, cell_index INTEGER NOT NULL,"
    " x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,"
    " area_px REAL NOT NULL, likeliest TEXT NOT NULL, rejected_by TEXT NOT NULL, probabilities TEXT NOT NULL,"
    " border INTEGER NOT NULL, touching INTEGER NOT NULL, track_id INTEGER, crop_png BLOB,"
    " PRIMARY KEY (frame_index, cell_index)) STRICT",
    (
        *("cell_index", "x", "y", "width", "height", "area_px", "likeliest", "rejected_by", "probabilities"),
        *("border", "touching", "track_id", "crop_png"),
    ),
)
"""The tables that are written."""

TABLES_1 = Tables(
    1,
    "CREATE TABLE frame (frame_index INTEGER PRIMARY KEY, name TEXT NOT NULL, time_ns INTEGER NOT NULL,"
    " sha256 TEXT, failed TEXT, settings TEXT NOT NULL, quality TEXT NOT NULL, breaches TEXT NOT NULL,"
    " dropped_before INTEGER NOT NULL, tracker_sha256 TEXT, hash BLOB NOT NULL) STRICT",
    (
        *("frame_index", "name", "time_ns", "sha256", "failed", "settings", "quality", "breaches"),
        *("dropped_before", "tracker_sha256"),
    ),
    "CREATE TABLE cell (frame_index INTEGER NOT NULL REFERENCES frame, cell_index INTEGER NOT NULL,"
    " x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, area_px REAL,"
    " label TEXT NOT NULL, probabilities TEXT NOT NULL, border INTEGER NOT NULL, touching INTEGER NOT NULL,"
    " identity INTEGER, crop_png BLOB, PRIMARY KEY (frame_index, cell_index)) STRICT",
    (
        *("cell_index", "x", "y", "width", "height", "area_px", "label", "probabilities"),
        *("border", "touching", "identity", "crop_png"),
    ),
)
"""Those of release 0.1, which are only read."""

VERSIONS = {tables.version: tables for tables in (TABLES_1, TABLES)}

INSERT_FRAME = f"INSERT INTO frame VALUES ({'?, ' * len(TABLES.frame_columns)}?)"
INSERT_CELL = f"INSERT INTO cell VALUES ({'?, ' * len(TABLES.cell_columns)}?)"


def header_text(header: Header, session_id: str) -> str:
    """Return a header as JSON, for `to_header`; raise `ValueError` for what JSON cannot hold."""
    values = {one.name: getattr(header, one.name) for one in fields(header)}
    values |= {"parameters": dict(header.parameters), "stop_rule": dict(header.stop_rule)}
    return canonical(values | {"started": header.started.isoformat(), "id": session_id})


def to_rows(record: FrameRecord) -> tuple[Row, list[Row]]:
    """Return a frame's row and its cells' rows, each value as SQLite will return it, for it is hashed.

    What JSON cannot hold raises `ValueError` or `TypeError`.
    """
    state = record.tracker_state
    frame: Row = (
        int(record.index),
        _text(record.name),
        int(record.time_ns),
        record.sha256,
        None if record.failed is None else _text(record.failed),
        canonical(dict(record.settings)),
        canonical(dict(record.quality)),
        canonical(record.breaches),
        canonical(dict(record.facts)),
        int(record.dropped_before),
        None if state is None else sha256_hex(state),
    )
    cells: list[Row] = [
        (
            *map(int, (number, one.cell.x, one.cell.y, one.cell.width, one.cell.height)),
            float(one.cell.area_px) + 0.0,  # SQLite would make 0.0 of -0.0
            one.decision.likeliest,
            one.decision.rejected_by,
            canonical([float(p) for p in one.probabilities]),
            int(one.cell.border),
            int(one.cell.touching),
            None if one.track_id is None else int(one.track_id),
            one.crop_png,
        )
        for number, one in enumerate(record.cells)
    ]
    return frame, cells


def canonical(value: Any) -> str:
    """Return a value as JSON in the one form that is hashed and stored; it has no infinite numbers."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def header_hash(content: str) -> bytes:
    """Return the hash of a header's text, 32 bytes: the beginning of the chain."""
    return _sha256(b"leuko session header\n", content.encode())


def frame_hash(previous: bytes, frame: Row, cells: Sequence[Row]) -> bytes:
    """Return the hash of a frame's row, its cells' rows and the hash before; blobs by their own hash."""
    content = json.dumps(
        [list(frame), [list(cell) for cell in cells]],
        separators=(",", ":"),
        allow_nan=False,
        default=sha256_hex,  # of bytes, which JSON does not have
    )
    return _sha256(b"leuko session frame\n", previous, content.encode())


def finish_hash(previous: bytes, content: str) -> bytes:
    """Return the seal: the hash of how a session ended and of the last hash."""
    return _sha256(b"leuko session finish\n", previous, content.encode())


def sha256_hex(blob: bytes) -> str:
    """Return the hash of a blob, 64 hexadecimal digits."""
    return hashlib.sha256(blob).hexdigest()


def one(connection: sqlite3.Connection, sql: str) -> Any:
    """Return the first row of an answer, a tuple, or None."""
    return connection.execute(sql).fetchone()


def _sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def _text(name: str) -> str:
    """Return a file's name, which may be any bytes, as text."""
    return name.encode("utf-8", "backslashreplace").decode()
