"""The tables of a session's file, how records become rows, and the chain of hashes over the rows.

Each record's hash covers the record, its cells and the hash before it. What is hashed is what the database
holds, so that the hashes can be computed again from the database alone.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

import numpy as np

from edge.base import Cell
from edge.classify import REJECTED, Decision
from edge.session.record import CellRecord, FrameRecord, Header

APPLICATION_ID = 0x4C455553
"""Marks the file as a session, "LEUS" (SQLite's ``application_id``)."""

Row = Sequence[Any]
"""A row as SQLite returns it: text, numbers, bytes and None."""


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

_HEADER_NAMES_1 = {"profile_sha256": "calibration_sha256", "plan": "stop_rule"}
"""Header's fields in tables of version 1 → now."""

INSERT_FRAME = f"INSERT INTO frame VALUES ({'?, ' * len(TABLES.frame_columns)}?)"
INSERT_CELL = f"INSERT INTO cell VALUES ({'?, ' * len(TABLES.cell_columns)}?)"


def header_text(header: Header, session_id: str) -> str:
    """Return a header as JSON, which `to_header` reads; raise `ValueError` for what JSON cannot hold."""
    values = {one.name: getattr(header, one.name) for one in fields(header)}
    values |= {"parameters": dict(header.parameters), "stop_rule": dict(header.stop_rule)}
    return canonical(values | {"started": header.started.isoformat(), "id": session_id})


def to_header(text: str) -> tuple[str, Header]:
    """Return a session's id and its header."""
    values = {_HEADER_NAMES_1.get(name, name): value for name, value in json.loads(text).items()}
    values |= {name: tuple(values[name]) for name in ("labels", "counted", "sources")}
    session_id = str(values.pop("id"))
    return session_id, Header(**values | {"started": datetime.fromisoformat(values["started"])})


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


def to_record(frame: Row, cells: Sequence[Row], tables: Tables, header: Header) -> FrameRecord:
    """Return the record of a frame's row and its cells' rows."""
    values = dict(zip(tables.frame_columns, frame, strict=True))
    del values["tracker_sha256"]
    return FrameRecord(
        index=values.pop("frame_index"),
        settings=json.loads(values.pop("settings")),
        quality=json.loads(values.pop("quality")),
        breaches=tuple(json.loads(values.pop("breaches"))),
        facts=json.loads(values.pop("facts", "{}")),
        cells=tuple(_to_cell(dict(zip(tables.cell_columns, row, strict=True)), header) for row in cells),
        **values,
    )


def _to_cell(values: Mapping[str, Any], header: Header) -> CellRecord:
    probabilities = tuple(json.loads(values["probabilities"]))
    if "label" in values:  # tables of version 1
        decision, track_id = _decision_1(values["label"], probabilities, header), values["identity"]
    else:
        decision, track_id = Decision(values["likeliest"], values["rejected_by"]), values["track_id"]
    box = (values["x"], values["y"], values["width"], values["height"], values["area_px"] or 0.0)
    cell = Cell(*box, bool(values["border"]), bool(values["touching"]))
    return CellRecord(cell, decision, probabilities, track_id, values["crop_png"])


def _decision_1(label: str, probabilities: Sequence[float], header: Header) -> Decision:
    """Return the decision behind a label of release 0.1, which rejected cells of low confidence first."""
    best = max(probabilities)
    likeliest = header.labels[probabilities.index(best)]
    if label != REJECTED:
        return Decision(label)
    low = np.float32(best) < header.parameters["reject_below"]
    return Decision(likeliest, "low_confidence" if low else "out_of_distribution")


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
