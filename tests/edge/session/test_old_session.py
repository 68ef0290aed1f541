"""Sessions of release 0.1 are read, verified and exported, and not resumed."""

from __future__ import annotations

import csv
import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from edge.base.cell import Cell
from edge.classify.decision import Decision
from edge.cli import main
from edge.report.session_export import TABLE_FORMATS, export_session
from edge.session.files import SessionError
from edge.session.names import list_sessions, unfinished_sessions
from edge.session.record import CellRecord, FrameRecord
from edge.session.store import read_session
from edge.session.writer import open_session
from tests.edge.session.test_session import problems

STATEMENTS = """
PRAGMA application_id = 0x4C455553;
PRAGMA user_version = 1;
CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 0), content TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
CREATE TABLE frame (frame_index INTEGER PRIMARY KEY, name TEXT NOT NULL, time_ns INTEGER NOT NULL,\
 sha256 TEXT, failed TEXT, settings TEXT NOT NULL, quality TEXT NOT NULL, breaches TEXT NOT NULL,\
 dropped_before INTEGER NOT NULL, tracker_sha256 TEXT, hash BLOB NOT NULL) STRICT;
CREATE TABLE cell (frame_index INTEGER NOT NULL REFERENCES frame, cell_index INTEGER NOT NULL,\
 x INTEGER NOT NULL, y INTEGER NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL, area_px REAL,\
 label TEXT NOT NULL, probabilities TEXT NOT NULL, border INTEGER NOT NULL, touching INTEGER NOT NULL,\
 identity INTEGER, crop_png BLOB, PRIMARY KEY (frame_index, cell_index)) STRICT;
CREATE TABLE tracker (id INTEGER PRIMARY KEY CHECK (id = 0), state BLOB NOT NULL) STRICT;
CREATE TABLE finish (id INTEGER PRIMARY KEY CHECK (id = 0), content TEXT NOT NULL, hash BLOB NOT NULL) STRICT;
"""
"""What release 0.1 wrote; `test_session` is about the tables that are written now."""

ID = "2026-07-28T142530Z"
HEADER = {
    "bundle": "tiny 1",
    "bundle_sha256": "ab" * 32,
    "counted": ["granulocyte", "lymphocyte"],
    "id": ID,
    "labels": ["granulocyte", "lymphocyte", "debris"],
    "operator": "Ω",
    "parameters": {"pixel_um": 0.1, "profile": None, "reject_below": 0.6},
    "plan": {"until_cells": 400},
    "profile_sha256": "cd" * 32,
    "sample_id": "S/17",
    "software": "leuko-edge 0.1.0",
    "sources": ["plate"],
    "started": "2026-07-28T14:25:30+00:00",
}
FRAME = (3, "a.png", 7, "ef" * 32, None, '{"gain":2.0}', '{"focus":0.5}', '["too dark"]', 1, None)
CELLS = [
    (0, 1, 2, 30, 40, 99.5, "granulocyte", "[0.7,0.2,0.1]", 1, 0, 5, None),
    (1, 2, 4, 30, 40, 98.5, "rejected", "[0.2,0.5,0.3]", 0, 1, 5, b"png"),
    (2, 3, 6, 30, 40, 97.5, "rejected", "[0.0,0.1,0.9]", 0, 0, 6, None),
]


def text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """An unfinished session of release 0.1, with one frame."""
    return write_old(tmp_path, HEADER)


def write_old(folder: Path, header: dict[str, Any]) -> Path:
    path = folder / f"{ID}.db"
    begun = sha256(b"leuko session header\n", text(header).encode())
    hashed = [[*cell[:-1], hashlib.sha256(cell[-1]).hexdigest() if cell[-1] else None] for cell in CELLS]
    content = json.dumps([list(FRAME), hashed], separators=(",", ":"))
    digest = sha256(b"leuko session frame\n", begun, content.encode())
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.executescript(STATEMENTS)
        database.execute("INSERT INTO header VALUES (0, ?, ?)", (text(header), begun))
        database.execute(f"INSERT INTO frame VALUES ({'?, ' * 10}?)", (*FRAME, digest))
        database.executemany(f"INSERT INTO cell VALUES (3, {'?, ' * 11}?)", CELLS)
    return path


def finish(path: Path) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        last = database.execute("SELECT hash FROM frame").fetchone()[0]
        ended = {"ended": "2026-07-28T14:30:00+00:00", "frames": 1, "last_hash": last.hex()}
        content = text(ended | {"reason": "enough", "result": {"plan": {}}})
        seal = sha256(b"leuko session finish\n", last, content.encode())
        database.execute("INSERT INTO finish VALUES (0, ?, ?)", (content, seal))


def test_it_is_read_and_verified(old: Path) -> None:
    finish(old)
    with read_session(old) as session:
        assert session.verify() == []
        header, totals = session.header, session.totals()
        (record,) = session.frames(crops=True)
        assert session.finished is not None
        assert (session.id, session.state, session.finished.reason) == (ID, "finished", "enough")
    assert (header.calibration_sha256, header.stop_rule) == ("cd" * 32, {"until_cells": 400})
    assert header.labels == ("granulocyte", "lymphocyte", "debris")
    assert record == FrameRecord(
        3,
        "a.png",
        7,
        "ef" * 32,
        settings={"gain": 2.0},
        quality={"focus": 0.5},
        breaches=("too dark",),
        dropped_before=1,
        cells=(
            CellRecord(Cell(1, 2, 30, 40, 99.5, True, False), Decision("granulocyte"), (0.7, 0.2, 0.1), 5),
            CellRecord(
                Cell(2, 4, 30, 40, 98.5, False, True),
                Decision("lymphocyte", "low_confidence"),
                (0.2, 0.5, 0.3),
                track_id=5,
                crop_png=b"png",
            ),
            CellRecord(
                Cell(3, 6, 30, 40, 97.5, False, False),
                Decision("debris", "out_of_distribution"),
                (0.0, 0.1, 0.9),
                track_id=6,
            ),
        ),
    )
    assert totals.tally.counts == {"granulocyte": 1, "lymphocyte": 0, "debris": 0}
    assert totals.tally.rejected_by == {"low_confidence": 1, "out_of_distribution": 1}
    assert (totals.tally.cells, totals.track_ids, totals.frames_dropped, totals.frames_out) == (3, 2, 1, 1)


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE cell SET label = 'lymphocyte' WHERE cell_index = 1",
        "UPDATE cell SET identity = 9 WHERE cell_index = 2",
        "UPDATE frame SET name = 'b.png'",
        "CREATE TABLE another (a)",
        "ALTER TABLE cell RENAME COLUMN identity TO track_id",
    ],
)
def test_a_change_shows(old: Path, change: str) -> None:
    with closing(sqlite3.connect(old, isolation_level=None)) as database:
        database.execute(change)
    assert problems(old)


def test_it_is_exported(old: Path, tmp_path: Path) -> None:
    with read_session(old) as session:
        export_session(session, tmp_path / "out", list(TABLE_FORMATS))
    with (tmp_path / "out" / "cells.csv").open(newline="") as file:
        rows = [(row["label"], row["likeliest"], row["rejected_by"]) for row in csv.DictReader(file)]
    assert rows == [
        ("granulocyte", "granulocyte", ""),
        ("rejected", "lymphocyte", "low_confidence"),
        ("rejected", "debris", "out_of_distribution"),
    ]
    assert (tmp_path / "out" / "cells.fcs").stat().st_size > 1000
    result = CliRunner().invoke(main, ["sessions", "show", str(old)])
    assert result.exit_code == 0
    assert "until_cells 400" in result.output
    assert "1 low confidence, 1 out of distribution" in result.output


def test_it_is_not_resumed_and_not_in_the_way(old: Path) -> None:
    before = old.read_bytes()
    assert [one.state for one in list_sessions(old.parent)] == ["unfinished"]
    assert unfinished_sessions(old.parent) == []
    with pytest.raises(SessionError, match="exported, but not resumed"):
        open_session(old)
    result = CliRunner().invoke(main, ["sessions", "resume", str(old)])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert old.read_bytes() == before


def test_a_service_starts_beside_it_without_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At each start it would be refused for a reason that no start can change."""
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path))
    (tmp_path / "sessions").mkdir()
    old = write_old(tmp_path / "sessions", HEADER | {"sources": ["simulate:8"]})
    before = old.read_bytes()
    words = [
        "count",
        "--bundle",
        "phantom3",
        "--camera",
        "simulate:8",
        "--resume",
        "--until-cells",
        "1",
        "--json",
    ]
    result = CliRunner().invoke(main, words)
    assert result.exit_code == 0, result.stderr
    assert ID not in result.stderr
    assert [one.state for one in list_sessions(old.parent)] == ["finished", "unfinished"]
    assert old.read_bytes() == before
