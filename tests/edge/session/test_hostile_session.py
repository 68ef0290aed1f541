"""A session's file that somebody made or changed: it is refused in one line, soon, and harms no other."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import stat
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.session import opening, writer
from edge.session.files import DamagedSessionError, SessionError, set_aside
from edge.session.names import find_session, list_sessions, new_id, unfinished_sessions
from edge.session.store import read_session
from edge.session.tables import header_hash
from edge.session.writer import create_session, open_session
from tests.edge.session.test_session import STARTED, finished, header, problems, record

__all__ = ["finished"]

PAGE = 4096


def changed(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("PRAGMA ignore_check_constraints=ON")
        database.execute("PRAGMA writable_schema=ON")
        for statement in statements:
            database.execute(statement)


def retyped(path: Path, statement: str, values: tuple[Any, ...]) -> None:
    """Run a statement while no table is strict."""
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        schema = database.execute("SELECT sql, name FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    changed(path, "UPDATE sqlite_schema SET sql = replace(sql, ' STRICT', '')")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute(statement, values)
        database.execute("PRAGMA writable_schema=ON")
        database.executemany("UPDATE sqlite_schema SET sql = ? WHERE name = ?", schema)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER t AFTER INSERT ON finish BEGIN DELETE FROM cell; END",
        "CREATE VIEW v AS SELECT 1",
        "CREATE INDEX i ON cell (abs(x))",
        "CREATE TABLE another (a)",
        "INSERT INTO sqlite_schema VALUES"
        " ('table', 'r', 'r', 0, 'CREATE VIRTUAL TABLE r USING rtree(a, b, c)')",
        "ALTER TABLE frame ADD COLUMN made TEXT AS (name || name)",
        "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '')",
        "UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (id = 0)', '')",
        "DROP TABLE tracker",
    ],
)
def test_other_tables_are_refused_before_a_query_meets_them(finished: Path, statement: str) -> None:
    changed(finished, statement)
    for opened in (read_session, open_session):
        with pytest.raises(DamagedSessionError, match="the tables are not those of a session"):
            opened(finished)
    (listed,) = list_sessions(finished.parent)
    assert (listed.state, listed.resumable) == ("unreadable", False)


def test_a_view_without_end_is_not_looked_at(finished: Path) -> None:
    changed(
        finished,
        "DROP TABLE finish",
        "CREATE VIEW finish AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
        " SELECT i AS id, 'x' AS content, x'00' AS hash FROM n",
    )
    assert "the tables are not those of a session" in problems(finished)[0]


def test_pages_that_stand_for_many_do_not_hold_up_a_list(tmp_path: Path) -> None:
    """Three levels of pages that name one child 400 times over would be read for a day."""
    with create_session(header(), tmp_path) as session:
        for k in range(40):
            session.add(record(k, cells=0))
    with closing(sqlite3.connect(session.path)) as database:
        ((root,),) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'frame'").fetchall()
    content = bytearray(session.path.read_bytes())
    at = (root - 1) * PAGE
    assert content[at] == 5, "the root has children"
    leaf = int.from_bytes(content[at + 8 : at + 12], "big")
    pages = len(content) // PAGE
    for level, place in enumerate((root, pages + 1, pages + 2, pages + 3)):
        child = leaf if level == 3 else pages + 1 + level
        cells = b"".join(child.to_bytes(4, "big") + bytes([k]) for k in range(1, 120)) * 4
        first = PAGE - len(cells)
        pointers = b"".join((first + 5 * k).to_bytes(2, "big") for k in range(476))
        head = (
            b"\5\0\0" + (476).to_bytes(2, "big") + first.to_bytes(2, "big") + b"\0" + child.to_bytes(4, "big")
        )
        page = (head + pointers).ljust(first, b"\0") + cells
        content[(place - 1) * PAGE : place * PAGE] = page
    content[28:32] = (len(content) // PAGE).to_bytes(4, "big")
    session.path.write_bytes(content)
    (listed,) = list_sessions(tmp_path)
    assert (listed.state, listed.reason) == (
        "unreadable",
        "damaged: reading it takes more steps than its size allows",
    )
    assert problems(session.path)
    with read_session(session.path) as stored, pytest.raises(DamagedSessionError, match="damaged"):
        list(stored.frames())


@pytest.mark.parametrize("table", ["header", "finish", "tracker"])
@pytest.mark.parametrize("number", [-1, 1])
def test_a_second_row_is_noticed(finished: Path, table: str, number: int) -> None:
    changed(
        finished,
        f"CREATE TEMP TABLE copied AS SELECT * FROM {table}",
        f"UPDATE copied SET id = {number}",
        f"INSERT INTO {table} SELECT * FROM copied",
    )
    assert problems(finished)


@pytest.mark.parametrize(
    ("statement", "value"),
    [
        ("UPDATE header SET hash = ?", 999_999_999),  # bytes(999999999) would be a gigabyte
        ("UPDATE finish SET hash = ?", 999_999_999),
        ("UPDATE tracker SET state = ?", 999_999_999),
        ("UPDATE frame SET name = ? WHERE frame_index = 1", 7),
        ("UPDATE cell SET likeliest = ? WHERE frame_index = 1", b"granulocyte"),
        ("UPDATE frame SET tracker_sha256 = ? WHERE frame_index = 2", b"state 2"),  # hashed, it is the same
    ],
)
def test_a_value_of_another_type_is_noticed(finished: Path, statement: str, value: Any) -> None:
    retyped(finished, statement, (value,))
    assert problems(finished)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("labels", []),
        ("labels", ["a", "a", "debris"]),
        ("labels", "abc"),
        ("labels", ["monocyte", "rejected", "debris"]),
        ("labels", ["monocyte", "Monocyte", "debris"]),
        ("labels", ["=1+1", "granulocyte", "debris"]),
        ("labels", ["../up", "granulocyte", "debris"]),
        ("labels", ["backgrounds", "granulocyte", "debris"]),
        ("sources", ["a/**/b/**/c/**/*.png"]),
        ("labels", [1, 2, 3]),
        ("counted", ["basophil"]),
        ("counted", None),
        ("sources", [[]] * 100_000),
        ("sample_id", 17),
        ("parameters", []),
        ("parameters", {"pixel_um": float("inf")}),
        ("stop_rule", "400"),
        ("started", "0001-01-01T00:00:00+23:59"),
        ("started", "2026-07-28T14:25:30"),
        ("started", 1),
        ("crop_pixel_um", -1),
        ("id", ["x"]),
        ("another", 1),
    ],
)
def test_a_header_has_the_types_that_leuko_writes(finished: Path, key: str, value: Any) -> None:
    with closing(sqlite3.connect(finished, isolation_level=None)) as database:
        content = json.loads(database.execute("SELECT content FROM header").fetchone()[0])
        text = json.dumps(content | {key: value}, sort_keys=True, separators=(",", ":"))
        database.execute("UPDATE header SET content = ?, hash = ?", (text, header_hash(text)))
    with pytest.raises(DamagedSessionError, match="its content is invalid") as caught:
        read_session(finished)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE cell SET likeliest = 'basophil'",
        "UPDATE cell SET rejected_by = 'no reason'",
        "UPDATE cell SET x = -1",
        "UPDATE cell SET width = 9223372036854775807",
        "UPDATE cell SET area_px = 1e308",
        "UPDATE cell SET track_id = -1",
        "UPDATE cell SET probabilities = '[0.5,0.5]'",
        "UPDATE cell SET probabilities = '[NaN,0.5,0.5]'",
        "UPDATE cell SET probabilities = '[1e999,0.5,0.5]'",
        "UPDATE cell SET probabilities = '[\"a\",0.5,0.5]'",
        "UPDATE frame SET failed = 'both' WHERE frame_index = 1",
        "UPDATE frame SET sha256 = NULL WHERE frame_index = 1",
        "UPDATE frame SET settings = '[]'",
        "UPDATE frame SET quality = '{\"focus\":1e999}'",
        "UPDATE frame SET facts = '7'",
        "UPDATE frame SET breaches = '{}'",
        "UPDATE frame SET dropped_before = -1",
    ],
)
def test_a_record_has_values_that_a_count_can_give(finished: Path, statement: str) -> None:
    changed(finished, statement)
    with read_session(finished) as stored, pytest.raises(DamagedSessionError):
        list(stored.frames())
    assert problems(finished)


def test_a_name_that_is_no_text_is_one_line(finished: Path) -> None:
    """SQLite quotes the name in its message, which Python then cannot read."""
    content = finished.read_bytes()
    finished.write_bytes(content.replace(b"CREATE TABLE tracker (", b"CREATE TABLX \xe4acker ("))
    with pytest.raises(DamagedSessionError, match="damaged"):
        read_session(finished)
    assert [one.state for one in list_sessions(finished.parent)] == ["unreadable"]


def test_what_cannot_be_resumed_is_left_as_it_was(tmp_path: Path) -> None:
    with create_session(header(), tmp_path) as session:
        for k in range(3):
            session.add(record(k))
    changed(session.path, "UPDATE cell SET likeliest = 'debris' WHERE frame_index = 1")
    before = session.path.read_bytes()
    with pytest.raises(DamagedSessionError, match=r"damaged: frame 1 \(camera#1\) was changed"):
        open_session(session.path)
    assert session.path.read_bytes() == before


def test_the_file_that_is_verified_is_the_one_that_is_continued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with create_session(header(), tmp_path) as session:
        session.add(record(0))
    other = tmp_path / "other"
    shutil.copy(session.path, other)
    changed(other, "UPDATE cell SET likeliest = 'debris'")
    sound = session.path.read_bytes()

    def exchanged(path: Path, *options: str) -> opening.Database:
        """Open a file, at whose name another one lies from then on."""
        connection = opening.connect(path, *options)
        other.replace(path)
        return connection

    monkeypatch.setattr(writer, "connect", exchanged)
    with open_session(session.path) as opened:
        assert [cell.decision.likeliest for one in opened.frames() for cell in one.cells] == [
            "granulocyte"
        ] * 2
    monkeypatch.undo()
    shutil.copy(session.path, other)
    session.path.write_bytes(sound)

    def exchanged_before(path: Path, *options: str) -> opening.Database:
        other.replace(path)
        return opening.connect(path, *options)

    monkeypatch.setattr(writer, "connect", exchanged_before)
    with pytest.raises(DamagedSessionError, match="was changed"):
        open_session(session.path)


def test_a_list_keeps_little_of_each_session(tmp_path: Path) -> None:
    long = replace(
        header(),
        parameters={"camera": None, "files": [f"{k}.png" for k in range(10_000)]},
        stop_rule={"until_cells": 400},
        sources=tuple(f"{k}.png" for k in range(10_000)),
    )
    create_session(long, tmp_path).close()
    (listed,) = list_sessions(tmp_path)
    assert listed.header is not None
    assert (listed.header.sample_id, listed.header.sources, listed.camera) == (
        long.sample_id,
        ("0.png",),
        "",
    )
    assert not listed.header.parameters


def test_a_session_that_is_set_aside_is_listed_and_not_resumed(tmp_path: Path) -> None:
    with create_session(header(), tmp_path) as session:
        session.add(record(0))
    aside = set_aside(session.path)
    assert aside.name == f"{session.id}.damaged.db"
    shutil.copy(aside, session.path)
    assert set_aside(session.path).name == f"{session.id}.damaged1.db"
    (_, listed) = list_sessions(tmp_path)
    assert (listed.id, listed.state, listed.frames) == (aside.stem, "damaged", 1)
    assert unfinished_sessions(tmp_path) == []
    assert find_session(aside.stem, tmp_path) == aside
    with pytest.raises(SessionError, match="2 sessions begin with"):
        find_session(session.id, tmp_path)
    assert new_id(STARTED, tmp_path) > session.id


@pytest.mark.parametrize("end", ["-wal", "-shm", "-journal", "-lock", "-resuming"])
def test_a_pipe_beside_it_is_not_waited_for(finished: Path, end: str) -> None:
    os.mkfifo(f"{finished}{end}")
    with pytest.raises(SessionError, match=f"{finished.name}{end}: not a file"):
        read_session(finished)
    assert [one.state for one in list_sessions(finished.parent)] == ["unreadable"]


def modes(folder: Path) -> dict[str, int]:
    return {
        path.name.partition("Z")[2]: stat.S_IMODE(path.stat().st_mode) for path in [folder, *folder.iterdir()]
    }


def modes_of_a_new_session(folder: Path, umask: int) -> dict[str, int]:
    before = os.umask(umask)
    try:
        with create_session(header(), folder) as session:
            session.add(record(0))
            return modes(folder)
    finally:
        os.umask(before)


@pytest.mark.parametrize("umask", [0, 0o077])
def test_names_are_for_the_operator_alone(tmp_path: Path, umask: int) -> None:
    found = modes_of_a_new_session(tmp_path / "home" / "sessions", umask)
    assert found == {"": 0o700, ".db": 0o600, ".db-wal": 0o600, ".db-shm": 0o600, ".db-lock": 0o600}
    assert modes(tmp_path / "home") == {"": 0o700}


def test_a_home_that_is_open_to_a_group_alone_has_sessions_for_it(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home").chmod(0o750)  # as the service's is
    found = modes_of_a_new_session(tmp_path / "home" / "sessions", 0o077)
    assert found == {"": 0o750, ".db": 0o640, ".db-wal": 0o640, ".db-shm": 0o640, ".db-lock": 0o640}


def test_a_folder_of_an_earlier_release_is_closed(tmp_path: Path) -> None:
    (tmp_path / "sessions").mkdir()
    (tmp_path / "sessions").chmod(0o755)
    with create_session(header(), tmp_path / "sessions"):
        assert modes(tmp_path / "sessions")[""] == 0o700


def test_a_large_record_is_written_and_read(tmp_path: Path) -> None:
    """The limits on reading are those on writing: nothing is stored that no reader takes."""
    with create_session(header(), tmp_path) as session:
        session.add(record(0, tracker_state=os.urandom(8 << 20), facts={"notes": ["x" * (4 << 20)]}))
        assert len(session.tracker_state or b"") == 8 << 20
    assert problems(session.path) == []


def nested(levels: int, inside: str = "1") -> str:
    """Return a JSON object of so many levels, every second one a list."""
    pairs = levels // 2
    return '{"a":[' * pairs + inside + "]}" * pairs


MANY = json.dumps({f"name {k}": k for k in range(101)})


@pytest.mark.parametrize(
    "statement",
    [
        f"UPDATE frame SET settings = '{nested(600)}' WHERE frame_index = 1",
        f"UPDATE frame SET quality = '{nested(22)}' WHERE frame_index = 1",
        f"UPDATE frame SET facts = '{nested(900)}' WHERE frame_index = 1",
        f"UPDATE frame SET facts = '{nested(90_000)}' WHERE frame_index = 1",
        f"UPDATE frame SET settings = '{MANY}' WHERE frame_index = 1",
        f"UPDATE frame SET quality = '{MANY}' WHERE frame_index = 1",
        """UPDATE frame SET facts = '{"kind":"lost"}' WHERE frame_index = 1""",
        """UPDATE frame SET facts = '{"kind":["lost"]}' WHERE frame_index = 1""",
        """UPDATE frame SET facts = '{"unlisted_before":{"repeat":-5}}' WHERE frame_index = 1""",
        """UPDATE frame SET facts = '{"unlisted_before":{"\x1b":5}}' WHERE frame_index = 1""",
        """UPDATE frame SET facts = '{"unlisted_before":{"repeat":"5"}}' WHERE frame_index = 1""",
        """UPDATE frame SET facts = '{"unlisted_before":"repeat"}' WHERE frame_index = 1""",
    ],
)
def test_a_record_is_as_deep_and_as_wide_as_a_count_makes_it(finished: Path, statement: str) -> None:
    changed(finished, statement)
    with read_session(finished) as stored, pytest.raises(DamagedSessionError, match="damaged"):
        list(stored.frames())


def test_twenty_levels_are_read(finished: Path) -> None:
    changed(finished, f"UPDATE frame SET settings = '{nested(20)}' WHERE frame_index = 1")
    with read_session(finished) as stored:
        assert json.dumps([one.settings for one in stored.frames()][1]).count("[") == 10


@pytest.mark.parametrize("key", ["parameters", "stop_rule"])
def test_a_header_that_is_nested_deep_breaks_no_list(finished: Path, key: str) -> None:
    with closing(sqlite3.connect(finished, isolation_level=None)) as database:
        content = json.loads(database.execute("SELECT content FROM header").fetchone()[0])
        text = json.dumps(content | {key: {"a": json.loads(nested(600))}}, sort_keys=True)
        database.execute("UPDATE header SET content = ?, hash = ?", (text, header_hash(text)))
    (listed,) = list_sessions(finished.parent)
    assert (listed.state, listed.reason.partition(" (")[2]) == ("unreadable", "it is nested too deep)")


def test_an_end_that_is_nested_deep_breaks_no_list(finished: Path) -> None:
    with closing(sqlite3.connect(finished, isolation_level=None)) as database:
        (content,) = database.execute("SELECT content FROM finish").fetchone()
        text = json.dumps(json.loads(content) | {"result": json.loads(nested(600))})
        database.execute("UPDATE finish SET content = ?", (text,))
    (listed,) = list_sessions(finished.parent)
    assert (listed.state, listed.reason.partition(" (")[2]) == ("unreadable", "it is nested too deep)")
