"""The tables of a session's file, and how records become their rows."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from edge.base import Cell
from edge.classify import Decision
from edge.session.chain import Row, canonical, sha256_hex
from edge.session.record import CellRecord, FrameRecord

APPLICATION_ID = 0x4C455553
"""Marks the file as a session, "LEUS" (SQLite's ``application_id``)."""

SCHEMA = 2
"""Version of the tables (SQLite's ``user_version``)."""

TABLES = (
    "CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 0), content TEXT NOT NULL, hash BLOB NOT NULL)"
    " STRICT",
    "CREATE TABLE frame (frame_index INTEGER PRIMARY KEY, name TEXT NOT NULL, time_ns INTEGER NOT NULL,"
    " sha256 TEXT, failed TEXT, settings TEXT NOT NULL, quality TEXT NOT NULL, breaches TEXT NOT NULL,"
    " dropped_before INTEGER NOT NULL, tracker_sha256 TEXT, hash BLOB NOT NULL) STRICT",
    "CREATE TABLE cell (frame_index INTEGER NOT NULL REFERENCES frame, cell_index INTEGER NOT NULL,"
    " x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL,"
    " area_px REAL NOT NULL, likeliest TEXT NOT NULL, rejected_by TEXT NOT NULL, probabilities TEXT NOT NULL,"
    " border INTEGER NOT NULL, touching INTEGER NOT NULL, track_id INTEGER, crop_png BLOB,"
    " PRIMARY KEY (frame_index, cell_index)) STRICT",
    "CREATE TABLE tracker (id INTEGER PRIMARY KEY CHECK (id = 0), state BLOB NOT NULL) STRICT",
    "CREATE TABLE finish (id INTEGER PRIMARY KEY CHECK (id = 0), content TEXT NOT NULL, hash BLOB NOT NULL)"
    " STRICT",
)
"""Mappings and lists are JSON text; flags 0 or 1; boxes in full-frame pixels."""

FRAME_COLUMNS = (
    "frame_index, name, time_ns, sha256, failed, settings, quality, breaches, dropped_before, tracker_sha256"
)
CELL_COLUMNS = (
    "cell_index, x, y, width, height, area_px, likeliest, rejected_by, probabilities, border, touching,"
    " track_id, crop_png"
)
"""What the chain's hashes cover, in this order."""

INSERT_FRAME = f"INSERT INTO frame ({FRAME_COLUMNS}, hash) VALUES ({'?, ' * 10}?)"
INSERT_CELL = f"INSERT INTO cell (frame_index, {CELL_COLUMNS}) VALUES ({'?, ' * 13}?)"


def to_rows(record: FrameRecord) -> tuple[Row, list[Row]]:
    """Make a frame's row and its cells' rows: each value as the tables will give it back, for it is hashed.

    Raises
    ------
    ValueError, TypeError
        For what JSON cannot hold.
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


def to_record(frame: Any, cells: Any) -> FrameRecord:
    """Make a record of a frame's row and those of its cells."""
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
                Cell(x, y, width, height, area_px, bool(border), bool(touching)),
                Decision(likeliest, rejected_by),
                tuple(json.loads(probabilities)),
                track_id,
                crop_png,
            )
            for (
                *(_, x, y, width, height),
                area_px,
                likeliest,
                rejected_by,
                probabilities,
                border,
                touching,
                track_id,
                crop_png,
            ) in cells
        ),
    )


def one(connection: sqlite3.Connection, sql: str) -> Any:
    """First row of an answer, a tuple, or None."""
    return connection.execute(sql).fetchone()


def _text(name: str) -> str:
    """A file's name may be any bytes; the database takes text."""
    return name.encode("utf-8", "backslashreplace").decode()
