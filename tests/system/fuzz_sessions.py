"""Mutated sessions, each given to all commands that read one, and to a count that would resume it.

``python -m tests.system.fuzz_sessions FOLDER [--files 3000]``, see `tests.system.fuzz`; a list or a count
that one file broke, and a changed session that passes `verify`, are findings too.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import shutil
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from PIL import Image

from edge.cli import main
from edge.session.files import SessionError
from edge.session.store import read_session
from edge.session.tables import TABLES, canonical, finish_hash, frame_hash, header_hash, sha256_hex
from edge.simulate import Scene, simulate_frame
from tests.system.fuzz import EXIT_CODES, Trial, fuzz_from_command_line, in_child, run
from tests.system.fuzz_bundle import exchange, flip, insert, remove, repeat, truncate, zero

SOUND = "2026-01-01T000000Z"
"""Id of a session that is not mutated, beside the one that is."""

BYTES = (exchange, flip, flip, insert, remove, repeat, truncate, zero)

Edit = Callable[[Random, Path], None]
EDITS: list[Edit] = []

TEXTS: tuple[Any, ...] = (
    *("", "\0", "x" * 5000, "\udcff", "=1+1", "../../x", "/etc/passwd", "\x1b[31m", "[" * 3000, "9" * 400),
    *("null", "{}", "[]", "NaN", "1e999", '{"a":' * 500, "0001-01-01T00:00:00+23:59", "latest", "rejected"),
)
NUMBERS: tuple[Any, ...] = (-1, 0, 1, 2**31, 2**53, 2**63 - 1, -(2**63), 1e308, -0.0, float("inf"), 0.5)
VALUES: tuple[Any, ...] = (*TEXTS, *NUMBERS, None, b"", b"\xff\xfe", bytes(70_000))
NODES: tuple[Any, ...] = (*TEXTS, *NUMBERS, None, True, [], {}, [[]], {"": {}}, 10**400, [None] * 9, ["a", 1])


def edit(change: Edit) -> Edit:
    EDITS.append(change)
    return change


def opened(path: Path) -> contextlib.closing[sqlite3.Connection]:
    """Return a connection that lets a forger do anything."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
    for pragma in ("ignore_check_constraints=ON", "foreign_keys=OFF", "writable_schema=ON"):
        connection.execute(f"PRAGMA {pragma}")
    return closing(connection)


def columns(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    tables = ("header", "frame", "cell", "tracker", "finish")
    return [(t, row[1]) for t in tables for row in connection.execute(f"PRAGMA table_info({t})")]


def some_row(random: Random, connection: sqlite3.Connection, table: str) -> int | None:
    rows = [row for (row,) in connection.execute(f"SELECT rowid FROM {table}")]
    return random.choice(rows) if rows else None


def tried(connection: sqlite3.Connection, sql: str, values: Sequence[Any] = ()) -> None:
    # not every edit fits every table: another one is made then
    with contextlib.suppress(sqlite3.Error, UnicodeEncodeError, OverflowError):
        connection.execute(sql, values)


@edit
def a_value(random: Random, path: Path) -> None:
    with opened(path) as connection:
        for _ in range(random.choice((1, 1, 3))):
            table, column = random.choice(columns(connection))
            row = some_row(random, connection, table)
            tried(
                connection, f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (random.choice(VALUES), row)
            )


@edit
def a_value_of_a_loose_table(random: Random, path: Path) -> None:
    """Store a value of another type, while the tables are not strict as they are to a reader."""
    with opened(path) as connection:
        table, column = random.choice(columns(connection))
        (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
        tried(
            connection,
            "UPDATE sqlite_schema SET sql = ? WHERE name = ?",
            (sql.removesuffix(" STRICT").replace(" NOT NULL", ""), table),
        )
    with opened(path) as connection:
        row = some_row(random, connection, table)
        tried(connection, f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (random.choice(VALUES), row))
        tried(connection, "UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, table))


@edit
def a_row(random: Random, path: Path) -> None:
    with opened(path) as connection:
        table = random.choice(("header", "frame", "cell", "tracker", "finish"))
        row = some_row(random, connection, table)
        if row is None:
            return
        if random.random() < 0.4:
            tried(connection, f"DELETE FROM {table} WHERE rowid = ?", (row,))
            return
        key = "frame_index" if table in ("frame", "cell") else "id"
        connection.execute(f"CREATE TEMP TABLE copied AS SELECT * FROM {table} WHERE rowid = ?", (row,))
        change = random.choice((f"{key} = {key} + 1", f"{key} = -1", f"{key} = {2**62}", "cell_index = 99"))
        tried(connection, f"UPDATE copied SET {change}")
        tried(connection, f"INSERT INTO {table} SELECT * FROM copied")


SCHEMA = (
    "CREATE TRIGGER t AFTER INSERT ON frame BEGIN DELETE FROM cell; END",
    "CREATE TRIGGER t BEFORE INSERT ON finish BEGIN UPDATE header SET content = ''; END",
    "CREATE VIEW v AS SELECT * FROM frame",
    "CREATE INDEX i ON cell (abs(x))",
    "CREATE TABLE another (a)",
    "CREATE VIRTUAL TABLE f USING fts5(a)",
    "CREATE VIRTUAL TABLE r USING rtree(a, b, c)",
    "ALTER TABLE frame ADD COLUMN made TEXT AS (name || name)",
    "ALTER TABLE cell RENAME COLUMN x TO xx",
    "ALTER TABLE finish RENAME TO ended",
    "ANALYZE",
    "PRAGMA user_version = 1",
    "PRAGMA user_version = 77",
    "PRAGMA application_id = 1",
    "DROP TABLE tracker",
    "DELETE FROM sqlite_schema WHERE name = 'cell'",
    "UPDATE sqlite_schema SET sql = replace(sql, 'STRICT', '')",
    "UPDATE sqlite_schema SET sql = replace(sql, 'TEXT', 'ANY')",
    "UPDATE sqlite_schema SET sql = replace(sql, 'CHECK (id = 0)', '')",
    "UPDATE sqlite_schema SET rootpage = 2",
    "UPDATE sqlite_schema SET rootpage = 1 WHERE name = 'frame'",
    "UPDATE sqlite_schema SET rootpage = 99999 WHERE name = 'cell'",
    "UPDATE sqlite_schema SET sql = 'CREATE TABLE f (' || hex(zeroblob(300000)) || ')' WHERE rootpage = 3",
)
VIEWS = (
    "CREATE VIEW {} AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT {} FROM n",
    "CREATE VIEW {} AS SELECT {} FROM header, (SELECT zeroblob(999999999))",
)


@edit
def the_schema(random: Random, path: Path) -> None:
    with opened(path) as connection:
        if random.random() < 0.7:
            tried(connection, random.choice(SCHEMA))
            return
        table = random.choice(("header", "frame", "cell", "tracker", "finish"))
        names = [name for of, name in columns(connection) if of == table]
        tried(connection, f"ALTER TABLE {table} RENAME TO hidden")
        tried(connection, random.choice(VIEWS).format(table, ", ".join(f"i AS {name}" for name in names)))


def planted(random: Random, value: Any) -> Any:
    """Return JSON with one node replaced, removed or added."""
    if isinstance(value, dict) and value and random.random() < 0.85:
        name = random.choice(list(value))
        changed = dict(value)
        if random.random() < 0.1:
            del changed[name]
            return changed
        changed[name if random.random() < 0.95 else "new"] = planted(random, value[name])
        return changed
    if isinstance(value, list) and value and random.random() < 0.8:
        at = random.randrange(len(value))
        return [*value[:at], planted(random, value[at]), *value[at + 1 :]]
    return random.choice(NODES)


JSON = (
    *(("header", "content"),) * 4,
    *(("frame", "facts"),) * 3,
    *(("frame", "settings"), ("frame", "quality"), ("frame", "breaches")),
    *(("cell", "probabilities"), ("finish", "content")),
)


@edit
def some_json(random: Random, path: Path) -> None:
    with opened(path) as connection:
        table, column = random.choice(JSON)
        row = some_row(random, connection, table)
        if row is None:
            return
        (text,) = connection.execute(f"SELECT {column} FROM {table} WHERE rowid = ?", (row,)).fetchone()
        new = json.dumps(planted(random, json.loads(text)), ensure_ascii=random.random() < 0.5)
        tried(connection, f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (new, row))


@edit
def much_json(random: Random, path: Path) -> None:
    """Store few bytes that become many objects."""
    with opened(path) as connection:
        table, column = random.choice(JSON)
        row = some_row(random, connection, table)
        (text,) = connection.execute(f"SELECT {column} FROM {table} LIMIT 1").fetchone() or ("{}",)
        whole = json.loads(text)
        many: Any = random.choice(([], {}, 1.5, "ab", None))
        bomb = [many] * random.choice((10, 100_000, 1_000_000))
        if isinstance(whole, dict) and whole:
            whole[random.choice(list(whole))] = bomb
        else:
            whole = bomb
        tried(connection, f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (canonical(whole), row))


def _bomb(random: Random) -> bytes:
    return zlib.compress(bytes(random.choice((1 << 20, 60 << 20, 600 << 20))), 9)


def _archive(random: Random) -> bytes:
    file = io.BytesIO()
    names = ("version", "pixel_um", "picture", "boxes", "cells.track_id", "cells.patch", "fields.window")
    made = {name: np.zeros(random.choice(((), (1,), (1 << 24,), (100, 4)))) for name in names}
    random.choice((np.savez, np.savez_compressed))(file, **made)
    return zlib.compress(file.getvalue(), 9)


def _changed(random: Random, state: bytes) -> bytes:
    try:
        raw = zlib.decompress(state)
    except zlib.error:
        return state
    for _ in range(random.choice((1, 4))):
        raw = random.choice((flip, insert, zero, exchange))(random, raw)
    return zlib.compress(raw, 1)


@edit
def the_tracker(random: Random, path: Path) -> None:
    with opened(path) as connection:
        (state,) = connection.execute("SELECT state FROM tracker").fetchone() or (b"",)
        if not isinstance(state, bytes):
            return
        choices = (lambda: _bomb(random), lambda: _archive(random), lambda: _changed(random, state))
        tried(connection, "UPDATE tracker SET state = ?", (random.choice((*choices, choices[2]))(),))


@edit
def some_pages(random: Random, path: Path) -> None:
    """Let pages appear twice, in other places, or as their own children."""
    content, size = bytearray(path.read_bytes()), 4096
    pages = len(content) // size
    for _ in range(random.choice((1, 2, 5))):
        at = random.randrange(pages) * size
        match random.randrange(4):
            case 0:
                to = random.randrange(pages) * size
                content[to : to + size] = content[at : at + size]
            case 1:  # the child of an interior page, or where a page's content begins
                place = at + random.choice((1, 3, 5, 8, 12, 14, 16))
                content[place : place + 4] = random.randrange(pages + 2).to_bytes(4, "big")
            case 2:
                content[at] = random.choice((0, 2, 5, 10, 13))
            case 3:  # the file's header
                content[random.randrange(100)] = random.randrange(256)
    path.write_bytes(content)


@edit
def some_bytes(random: Random, path: Path) -> None:
    content = path.read_bytes()
    for _ in range(random.choice((1, 1, 2, 3))):
        if len(content) > 8:
            content = random.choice(BYTES)(random, content)
    path.write_bytes(content)


@edit
def a_log(random: Random, path: Path) -> None:
    """Put a log of another file beside it, or what is none."""
    beside = Path(f"{path}{random.choice(('-wal', '-wal', '-journal', '-shm', '-lock'))}")
    match random.randrange(3):
        case 0:
            beside.write_bytes(random.randbytes(random.choice((0, 10, 5000))))
        case 1:
            os.mkfifo(beside)
        case 2:
            with opened(path) as connection:
                connection.execute("PRAGMA journal_mode=WAL")
                connection.execute("UPDATE frame SET name = name || 'x'")
                shutil.copy(Path(f"{path}-wal"), path.with_name("log"))
            content = path.with_name("log").read_bytes()
            path.with_name("log").unlink()
            Path(f"{path}-wal").write_bytes(random.choice(BYTES)(random, content) if content else b"")


CHAINED = {a_value, a_row, some_json, much_json, the_tracker, a_value_of_a_loose_table}
"""Edits after which a forger may compute all hashes again."""


def rehashed(path: Path) -> None:
    """Compute the chain again, as far as the tables allow it."""
    frame_columns, cell_columns = (", ".join(names) for names in (TABLES.frame_columns, TABLES.cell_columns))
    with (
        opened(path) as connection,
        contextlib.suppress(sqlite3.Error, TypeError, ValueError, AttributeError),
    ):
        connection.execute("BEGIN")
        (content,) = connection.execute("SELECT content FROM header").fetchone()
        last = header_hash(content)
        connection.execute("UPDATE header SET hash = ?", (last,))
        frames = connection.execute(f"SELECT {frame_columns} FROM frame ORDER BY frame_index").fetchall()
        state = connection.execute("SELECT state FROM tracker").fetchone()
        for number, frame in enumerate(frames):
            tracker = sha256_hex(state[0]) if state and number == len(frames) - 1 else frame[-1]
            row = [*frame[:-1], tracker]
            sql = f"SELECT {cell_columns} FROM cell WHERE frame_index = ? ORDER BY cell_index"
            last = frame_hash(last, row, connection.execute(sql, frame[:1]).fetchall())
            values = (tracker, last, frame[0])
            connection.execute("UPDATE frame SET tracker_sha256 = ?, hash = ? WHERE frame_index = ?", values)
        end = connection.execute("SELECT content FROM finish").fetchone()
        if end:
            connection.execute("UPDATE finish SET hash = ?", (finish_hash(last, end[0]),))
        connection.execute("COMMIT")


@dataclass(frozen=True)
class Original:
    """A sound session, what it holds, and the camera that it counts, if it is not of files."""

    path: Path
    content: bytes
    camera: str = ""


def held(path: Path) -> bytes:
    """Return everything that a session holds, or nothing if it is damaged."""
    try:
        with read_session(path) as session:
            frames = [
                (repr(one), [cell.crop_png for cell in one.cells]) for one in session.frames(crops=True)
            ]
            values = (repr(session.header), session.id, frames, session.finished, session.tracker_state)
            return pickle.dumps((*values, session.last_hash))
    except SessionError:
        return b""


def write_originals(folder: Path) -> list[Original]:
    """Count a scan with crops, and a camera; keep each as it was finished, and as it was before."""
    frames = folder / "frames"
    frames.mkdir()
    image = simulate_frame(5, scene=Scene(520, 300, leukocytes=8, erythrocytes=6)).image
    for k in range(4):
        Image.fromarray(image[:, 60 * k : 60 * k + 320]).save(frames / f"{k}.png")
    made = []
    for number, words in enumerate(
        (
            [str(frames), "--each-once", "scan", "--keep-crops", "--session"],
            ["--camera", "simulate:8", "--until-cells", "12"],
            ["--camera", "simulate:8", "--each-once", "flow", "--until-cells", "12"],
        )
    ):
        home = folder / f"home{number}"
        os.environ["LEUKO_HOME"] = str(home)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            main(["count", "--bundle", "phantom3", "--json", *words], standalone_mode=False)
        (path,) = (home / "sessions").glob("*.db")
        made.append((path.rename(folder / f"finished{number}.db"), words[1] if number else ""))
    originals = []
    for path, camera in made:
        begun = path.with_name(path.name.replace("finished", "unfinished"))
        shutil.copy(path, begun)
        with closing(sqlite3.connect(begun, isolation_level=None)) as connection:
            connection.execute("DELETE FROM finish")
        originals += [Original(one, held(one), camera) for one in (path, begun)]
    assert all(one.content for one in originals)
    return originals


def mutated(original: Original, path: Path, random: Random) -> str:
    """Write a mutation of a session to `path`; return its kind."""
    shutil.copy(original.path, path)
    change = random.choice(EDITS)
    change(random, path)
    kind = change.__name__
    if change in CHAINED and random.random() < 0.6:
        rehashed(path)
        kind += ", chained"
    return kind


def trial(original: Original, number: int, folder: Path, random: Random) -> tuple[str, list[str]]:
    """Try one mutation; return its kind and what was wrong. Its home stays where anything was."""
    home, output = folder / f"trial-{number}", folder / f"trial-{number}.txt"
    sessions = home / "sessions"
    sessions.mkdir(parents=True)
    shutil.copy(folder / "finished0.db", sessions / f"{SOUND}.db")
    path = sessions / "2026-01-02T000000Z.db"
    kind = mutated(original, path, random)
    os.environ["LEUKO_HOME"] = str(home)
    kept = home / "mutation"
    kept.mkdir()
    for file in sessions.glob(f"{path.name}*"):
        if file.is_file():
            shutil.copy(file, kept)
    wrong: list[str] = []

    def command(*words: str, codes: Sequence[int] = EXIT_CODES) -> tuple[int, str]:
        code, why = run(words, output, codes)
        if why:
            wrong.append(f"{why}: leuko {' '.join(words)}")
            shutil.copy(output, home / f"{len(wrong)}.txt")
        return code, output.read_text(errors="replace")

    _, listed = command("sessions", "list", "--json", codes=(0,))
    if SOUND not in listed or path.stem not in listed:
        wrong.append("list leaves out a session")
    verified, _ = command("sessions", "verify", str(path), codes=(0, 1))
    now = _held_elsewhere(path, output) if verified == 0 and "chained" not in kind else original.content
    if now != original.content and not _only_tail_lost(original.content, now):
        wrong.append("a changed session passes verify")
    command("sessions", "show", str(path), codes=(0, 1))
    formats = [word for one in ("csv", "json", "fcs", "crops") for word in ("--format", one)]
    command("sessions", "export", str(path), "--out", str(home / "out"), *formats, codes=(0, 1))
    shutil.copytree(sessions, home / "before", copy_function=_copy_regular)
    command("sessions", "resume", str(path), "--json")
    shutil.rmtree(sessions)
    (home / "before").rename(sessions)
    if original.camera and original.path.name.startswith("unfinished"):
        words = (
            "count",
            "--camera",
            original.camera,
            "--bundle",
            "phantom3",
            "--resume",
            "--until-cells",
            "12",
        )
        command(*words, "--json", codes=(0,))
    output.unlink()
    if not wrong:
        shutil.rmtree(home)
    return kind, wrong


def _copy_regular(source: str, target: str) -> None:
    if Path(source).is_file():
        shutil.copy(source, target)
    else:
        os.mkfifo(target)


def _held_elsewhere(path: Path, output: Path) -> bytes:
    """Return what `held` returns, read in a process of its own."""
    result = output.with_suffix(".held")

    def work() -> None:
        result.write_bytes(held(path))
        os._exit(0)

    in_child(work, output)
    found = result.read_bytes() if result.exists() else b""
    result.unlink(missing_ok=True)
    return found


def _only_tail_lost(before: bytes, now: bytes) -> bool:
    """Return whether records at the end of an unfinished session are missing: a chain cannot show that."""
    if not now:
        return False
    (header, session_id, frames, *_), (header_now, id_now, frames_now, finished, *_) = map(
        pickle.loads, (before, now)
    )
    return (
        (header, session_id) == (header_now, id_now)
        and not finished
        and frames[: len(frames_now)] == frames_now
    )


def prepare(folder: Path) -> Trial:
    """Write the originals; return what tries a mutation of one."""
    originals = write_originals(folder)
    return lambda number, random: trial(originals[number % len(originals)], number, folder, random)


if __name__ == "__main__":
    fuzz_from_command_line(__doc__, prepare, 3000)
