"""Sessions: what was added is there, in order and unchanged, or the file says that it is not."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.base.cell import Cell
from edge.base.frame import FailedFrame, Frame
from edge.classify.classifier import Classifier
from edge.classify.decision import REASONS, Decision, Reason
from edge.count.counted_frame import CountedFrame
from edge.count.tally import tally_decisions
from edge.model.bundle import load_bundle
from edge.run.config import Analysis
from edge.run.pipeline import count_frames
from edge.session.files import SessionError
from edge.session.names import clock_note, find_session, list_sessions, unfinished_sessions
from edge.session.record import CellRecord, FrameRecord, Header, frame_record
from edge.session.store import read_session
from edge.session.tables import TABLES
from edge.session.writer import CHECKPOINT_PAGES, Session, create_session, open_session
from edge.simulate.frame import simulate_frame
from edge.simulate.scene import Scene

ROOT = Path(__file__).resolve().parents[3]
STARTED = datetime(2026, 7, 28, 14, 25, 30, 123456, tzinfo=UTC)
LABELS = ("granulocyte", "lymphocyte", "debris")


def header(**changes: Any) -> Header:
    made = Header(
        sample_id="S/17 µ",
        operator="",
        bundle="tiny 1",
        bundle_sha256="ab" * 32,
        labels=LABELS,
        counted=LABELS[:2],
        calibration_sha256=None,
        parameters={"pixel_um": 0.1, "segmentation": {"min_solidity": 0.5}},
        stop_rule={"cells": 400, "seconds": None},
        sources=("/data/a", "b\udcff"),
        software="leuko-edge 0.1",
        started=STARTED,
    )
    return replace(made, **changes)


def cell(
    k: int, likeliest: str = "granulocyte", rejected_by: Literal["", Reason] = "", **more: Any
) -> CellRecord:
    probabilities = (0.7, float(np.float32(0.2)), 0.1)
    box = Cell(k, 2 * k, 30, 40, 99.5, k % 2 == 0, k % 3 == 0)
    return CellRecord(box, Decision(likeliest, rejected_by), probabilities, **more)


def record(index: int, cells: int = 2, **more: Any) -> FrameRecord:
    found = tuple(cell(k, track_id=10 * index + k, crop_png=b"png%d" % k) for k in range(cells))
    return FrameRecord(
        index,
        f"camera#{index}",
        1_700_000_000_000_000_000 + index,
        "cd" * 32,
        settings={"exposure_us": 900},
        quality={"focus": 0.25, "drift": None},
        breaches=("too dark",),
        cells=found,
        **more,
    )


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A finished session of four records, one of them of a frame that could not be read."""
    with create_session(header(), tmp_path) as session:
        for k in range(3):
            session.add(record(k, tracker_state=b"state %d" % k))
        session.add(FrameRecord(5, "gone.png", 0, failed="no such file", dropped_before=2))
        session.finish("the operator's word", {"counts": {"granulocyte": 6}})
    return session.path


def problems(path: Path) -> list[str]:
    """What verifying finds, or why the file cannot be opened: each one line."""
    try:
        with read_session(path) as session:
            found = session.verify()
    except SessionError as error:
        found = [str(error)]
    assert all(len(problem.splitlines()) == 1 for problem in found)
    return found


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)
mappings = st.dictionaries(st.text(max_size=5), json_values, max_size=3)
int64 = st.integers(-(2**63), 2**63 - 1)
texts = st.text(st.characters(exclude_categories=["Cs"]))
finite = st.floats(allow_nan=False, allow_infinity=False)
pixels = st.integers(0, 2**31 - 1)
shares = st.floats(0, 1)
cells = st.builds(
    CellRecord,
    st.builds(Cell, *[pixels] * 4, st.floats(0, 1e15), st.booleans(), st.booleans()),
    st.builds(Decision, st.sampled_from(LABELS), st.sampled_from(["", *REASONS])),
    st.tuples(shares, shares, shares),
    st.none() | st.integers(0, 2**53),
    st.none() | st.binary(),
)
counted = {"sha256": st.text("0123456789abcdef", min_size=64, max_size=64)}
not_counted = {"failed": texts}
records = st.one_of(
    [
        st.builds(
            FrameRecord,
            index=st.just(0),
            name=texts,
            time_ns=int64,
            settings=mappings,
            quality=mappings,
            breaches=st.lists(st.text()).map(tuple),
            dropped_before=st.integers(0, 9),
            **more,
        )
        for more in (counted | {"cells": st.lists(cells, max_size=3).map(tuple)}, not_counted)
    ]
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sessions")


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    added=st.lists(records, max_size=3), parameters=mappings, sample=st.text(), state=st.none() | st.binary()
)
def test_what_was_added_is_read_back(
    folder: Path, added: list[FrameRecord], parameters: dict[str, Any], sample: str, state: bytes | None
) -> None:
    expected = header(parameters=parameters, sample_id=sample)
    given_ = [replace(one, index=2 * k) for k, one in enumerate(added)]
    with create_session(expected, folder) as session:
        for one in given_:
            session.add(replace(one, tracker_state=state))
        for stored in (session, read_session(session.path)):
            assert stored.header == expected
            assert list(stored.frames(crops=True)) == given_
            assert stored.tracker_state == (state if added else None)
            assert stored.verify() == []
        stored.close()
    session.path.unlink()


def test_crops_are_read_when_asked_for(finished: Path) -> None:
    with read_session(finished) as session:
        assert {c.crop_png for frame in session.frames() for c in frame.cells} == {None}
        first = next(session.frames(crops=True))
        assert [c.crop_png for c in first.cells] == [b"png0", b"png1"]


def test_a_session_is_begun_written_and_sealed(tmp_path: Path) -> None:
    home = tmp_path / "not" / "yet"
    session = create_session(header(), home)
    name = session.path.name
    assert name == "2026-07-28T142530Z.db"
    with read_session(session.path) as stored:
        assert stored.state == "counting"
        assert stored.count_frames() == 0
    assert session.last_index == -1
    begun = session.last_hash
    session.add(record(0))
    session.add(record(3))
    assert session.last_index == 3
    assert session.last_hash != begun
    last = session.last_hash
    seal = session.finish("enough", {"cells": 4})
    assert files(home) == [name]
    with read_session(session.path) as stored:
        assert stored.state == "finished"
        assert stored.last_hash == seal
        assert stored.finished is not None
        assert stored.finished.reason == "enough"
        assert stored.finished.result == {"cells": 4}
        assert (stored.finished.frames, stored.finished.last_hash) == (2, last)
        assert stored.verify() == []
    assert files(home) == [name], "reading leaves nothing behind"
    with pytest.raises(SessionError, match="finished; nothing can be added"):
        open_session(session.path)


def test_a_resumed_session_has_the_same_chain(tmp_path: Path) -> None:
    whole, parts = (create_session(header(), tmp_path / name) for name in ("whole", "parts"))
    for k in range(4):
        whole.add(record(k, tracker_state=b"%d" % k))
    for k in range(4):
        parts.add(record(k, tracker_state=b"%d" % k))
        parts.close()
        assert unfinished_sessions(tmp_path / "parts") == [parts.path]
        parts = open_session(parts.path)
        assert parts.header == whole.header
        assert parts.last_index == k
        assert parts.tracker_state == b"%d" % k
        assert list(parts.frames()) == list(whole.frames())[: k + 1]
    assert parts.last_hash == whole.last_hash
    for session in (whole, parts):
        session.finish("enough")
        with read_session(session.path) as stored:
            assert stored.verify() == []


def test_a_state_stays_until_the_next_one(tmp_path: Path) -> None:
    with create_session(header(), tmp_path) as session:
        session.add(record(0, tracker_state=b"kept"))
        session.add(FrameRecord(1, "gone.png", 0, failed="no such file"))
        assert session.tracker_state == b"kept"
        assert session.verify() == []


def test_totals_are_those_of_the_records(finished: Path) -> None:
    with read_session(finished) as session:
        totals = session.totals()
    assert totals.tally.counts == {"granulocyte": 6, "lymphocyte": 0, "debris": 0}
    assert (totals.tally.rejected, totals.tally.cells, totals.track_ids) == (0, 6, 6)
    assert (totals.tally.frames_read, totals.frames_failed, totals.frames_dropped) == (3, 1, 2)
    assert totals.frames_out == 3


def test_real_frames_give_the_counts_that_were_counted(tmp_path: Path) -> None:
    image = simulate_frame(3, scene=Scene(640, 480, leukocytes=5, erythrocytes=3)).image
    classifier = Classifier(load_bundle("phantom3"), threads=1)
    manifest = classifier.bundle.manifest
    begun = header(labels=manifest.labels, counted=manifest.counted)
    frames: list[Frame | FailedFrame] = [Frame(image, "a", 0, 5), FailedFrame("b", 1, "gone")]
    frames += [Frame(np.ascontiguousarray(image[::-1]), "c", 2, 6)]
    results = list(count_frames(frames, classifier, Analysis(pixel_um=0.125, reject_below=0.9)))
    counted = [result for result in results if isinstance(result, CountedFrame)]
    with create_session(begun, tmp_path) as session:
        for result in results:
            session.add(frame_record(result, keep_crops=True))
        stored = list(session.frames(crops=True))
        totals = session.totals()
    decisions = [decision for result in counted for decision in result.decisions]
    expected = tally_decisions(manifest.labels, manifest.counted, decisions, 2, [])
    assert totals.tally == expected
    assert totals.tally.cells > 8
    assert (totals.tally.frames_read, totals.frames_failed, totals.track_ids) == (2, 1, None)
    assert stored[1] == FrameRecord(1, "b", 0, failed="gone", facts={"kind": "unreadable"})
    rows = np.array([c.probabilities for c in stored[0].cells], np.float32)
    np.testing.assert_array_equal(rows, counted[0].probabilities)
    import cv2

    for k, one in enumerate(stored[2].cells):
        assert one.crop_png is not None
        pixels = cv2.imdecode(np.frombuffer(one.crop_png, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(pixels, counted[1].crops[k])


def test_an_invalid_record_is_refused_and_the_next_is_taken(tmp_path: Path) -> None:
    with create_session(header(), tmp_path) as session:
        session.add(record(1))
        for bad, why in (
            (record(1), "record 1 cannot follow record 1"),
            (record(0), "cannot follow"),
            (replace(record(2), quality={"focus": float("nan")}), "not JSON compliant"),
            (replace(record(2), cells=(replace(cell(0), probabilities=(0.5, 0.5)),)), "probabilities"),
            (
                replace(
                    record(2), cells=(replace(cell(0), cell=replace(cell(0).cell, area_px=float("inf"))),)
                ),
                "not JSON compliant",
            ),
        ):
            with pytest.raises(ValueError, match=why):
                session.add(bad)
        session.add(record(2))
        assert [frame.index for frame in session.frames()] == [1, 2]
    with pytest.raises(ValueError, match="not JSON compliant"):
        create_session(header(stop_rule={"cells": float("inf")}), tmp_path)
    assert files(tmp_path) == [session.path.name], "nothing was begun"


def test_one_writer_and_any_reader(tmp_path: Path) -> None:
    with create_session(header(), tmp_path) as session:
        session.add(record(0))
        with pytest.raises(SessionError, match="another process is writing it"):
            open_session(session.path)
        assert unfinished_sessions(tmp_path) == []
        with read_session(session.path) as stored, stored.snapshot():
            before = list(stored.frames())
            session.add(record(1))
            assert list(stored.frames()) == before
            assert stored.verify() == []
            assert stored.totals().tally.frames_read == 1
            assert session.count_frames() == 2
    assert unfinished_sessions(tmp_path) == [session.path]


def test_a_log_that_a_reader_held_at_the_end_is_taken_in_later(tmp_path: Path) -> None:
    session = create_session(header(), tmp_path)
    session.add(record(0))
    with read_session(session.path) as stored:
        assert stored.count_frames() == 1
        session.finish("enough")
        assert stored.verify() == []
        assert stored.state == "finished"
    assert f"{session.path.name}-wal" in files(tmp_path)
    with create_session(header(), tmp_path) as later:
        left = {*files(tmp_path)} - {path.name for path in tmp_path.glob(f"{later.path.name}*")}
    assert left == {session.path.name}
    with read_session(session.path) as stored:
        assert stored.verify() == []
        assert stored.state == "finished"


def test_a_killed_writer_leaves_no_lock(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from tests.edge.session.test_session import *\n"
        "session = create_session(header(), Path(sys.argv[1])); session.add(record(0)); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, tmp_path], cwd=ROOT).returncode == 9
    (path,) = unfinished_sessions(tmp_path)
    assert f"{path.name}-lock" in files(tmp_path)
    with open_session(path) as session:
        assert [frame.index for frame in session.frames()] == [0]
        session.finish("after all")
    assert files(tmp_path) == [path.name]


def test_the_log_stays_small(tmp_path: Path) -> None:
    with create_session(header(), tmp_path) as session:
        log = Path(f"{session.path}-wal")
        largest = 0
        for k in range(60):
            session.add(record(k, tracker_state=os.urandom(400_000)))
            largest = max(largest, log.stat().st_size)
        assert session.path.stat().st_size < 2_000_000, "of the states only the last is kept"
    assert largest < 1.3 * 4096 * CHECKPOINT_PAGES


def columns() -> Iterator[tuple[str, str, str]]:
    with closing(sqlite3.connect(":memory:")) as database:
        for table in TABLES.statements:
            database.execute(table)
        for (table,) in database.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall():
            for _, name, kind, *_ in database.execute(f"PRAGMA table_info({table})"):
                if name != "id":  # which can only be 0
                    yield table, name, kind


def copied(table: str, where: str, change: str) -> str:
    return (
        f"CREATE TEMP TABLE copied AS SELECT * FROM {table} WHERE {where};"
        f" UPDATE copied SET {change}; INSERT INTO {table} SELECT * FROM copied"
    )


CHANGED = {"INTEGER": "coalesce({0} + 100, 1)", "REAL": "{0} + 0.25", "TEXT": "coalesce({0} || ' ', 'x')"}
TAMPERED = {
    **{
        f"{table}.{name}": f"UPDATE {table} SET {name} = {CHANGED.get(kind, 'x' + chr(39) * 2).format(name)}"
        + (" WHERE frame_index = 1" if table == "frame" else "")
        + (" WHERE frame_index = 1 AND cell_index = 1" if table == "cell" else "")
        for table, name, kind in columns()
    },
    "first record": "DELETE FROM cell WHERE frame_index = 0; DELETE FROM frame WHERE frame_index = 0",
    "a record": "DELETE FROM cell WHERE frame_index = 1; DELETE FROM frame WHERE frame_index = 1",
    "last record": "DELETE FROM frame WHERE frame_index = 5",
    "a record without its cells": "DELETE FROM frame WHERE frame_index = 1",
    "a cell": "DELETE FROM cell WHERE frame_index = 1 AND cell_index = 0",
    "moved": ";".join(
        f"UPDATE {table} SET frame_index = {to} WHERE frame_index = {k}"
        for k, to in ((1, 9), (2, 1), (9, 2))
        for table in ("frame", "cell")
    ),
    "cells moved": "UPDATE cell SET cell_index = 5 WHERE cell_index = 0",
    "an added record": copied("frame", "frame_index = 2", "frame_index = 3"),
    "an added cell": copied("cell", "frame_index = 1 AND cell_index = 0", "cell_index = 7"),
    "stray cells": copied("cell", "frame_index = 1", "frame_index = 77"),
    "the state": "DELETE FROM tracker",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON frame BEGIN DELETE FROM cell; END",
    "no header": "DELETE FROM header",
    "another table": "DROP TABLE tracker",
}


@pytest.mark.parametrize("statements", TAMPERED.values(), ids=TAMPERED)
def test_tampering_shows(finished: Path, statements: str) -> None:
    with closing(sqlite3.connect(finished)) as database:
        database.executescript(statements)
    assert problems(finished)


def test_damage_beside_the_records_is_noticed(finished: Path) -> None:
    """The number of unused pages, in the head of the file, which no record and no hash covers."""
    content = bytearray(finished.read_bytes())
    content[39] += 3
    finished.write_bytes(content)
    (problem,) = problems(finished)
    assert "freelist" in problem.lower()  # its case depends on the release of SQLite


def test_one_change_is_one_line(finished: Path) -> None:
    with closing(sqlite3.connect(finished)) as database:
        database.executescript(
            "UPDATE cell SET likeliest = 'lymphocyte' WHERE frame_index = 1 AND cell_index = 0"
        )
    with read_session(finished) as session:
        (problem,) = session.verify()
    assert problem.startswith("frame 1 (camera#1) was changed")


def test_what_a_chain_cannot_show(finished: Path) -> None:
    """Without its end a session is an unfinished one: the chain cannot show more."""
    with closing(sqlite3.connect(finished)) as database:
        database.executescript("DELETE FROM finish; DELETE FROM frame WHERE frame_index = 5")
    with read_session(finished) as session:
        assert session.verify() == []
        assert session.state == "unfinished"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_flipped_bit_is_noticed_or_changes_nothing(finished: Path, data: st.DataObject) -> None:
    whole = finished.read_bytes()
    with read_session(finished) as session:
        expected = session.header, list(session.frames(crops=True)), session.finished, session.last_hash
    damaged = bytearray(whole)
    damaged[data.draw(st.integers(0, len(whole) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = finished.with_name("damaged.db")
    path.write_bytes(damaged)
    if not problems(path):
        with read_session(path) as session:
            found = session.header, list(session.frames(crops=True)), session.finished, session.last_hash
        assert found == expected


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_truncated_file_is_noticed(finished: Path, data: st.DataObject) -> None:
    whole = finished.read_bytes()
    path = finished.with_name("cut.db")
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    assert problems(path)


def test_other_files_are_refused_in_one_line(tmp_path: Path, finished: Path) -> None:
    (tmp_path / "text.db").write_text("hello, world\n" * 100)
    (tmp_path / "empty.db").touch()
    (tmp_path / "folder.db").mkdir()
    with closing(sqlite3.connect(tmp_path / "other.db")) as database:
        database.execute("CREATE TABLE frame (a)")
    for name, pragma in (
        ("newer", f"user_version = {TABLES.version + 1}"),
        ("foreign", "application_id = 7"),
    ):
        shutil.copy(finished, tmp_path / f"{name}.db")
        with closing(sqlite3.connect(tmp_path / f"{name}.db")) as database:
            database.execute(f"PRAGMA {pragma}")
    for name, why in (
        ("text", "no SQLite database"),
        ("empty", "not a session: the file is empty"),
        ("folder", "not a file"),
        ("other", "another program"),
        ("newer", "update leuko"),
        ("foreign", "another program"),
        ("absent", "no such session"),
    ):
        path = tmp_path / f"{name}.db"
        before = path.read_bytes() if path.is_file() else b""
        for opening in (read_session, open_session):
            with pytest.raises(SessionError, match=why) as caught:
                opening(path)
            assert str(path) in str(caught.value)
            assert len(str(caught.value).splitlines()) == 1
        assert before == (path.read_bytes() if path.is_file() else b""), "left as it was"


def test_a_damaged_log_leaves_what_was_before_it(tmp_path: Path) -> None:
    session = create_session(header(), tmp_path)
    for k in range(3):
        session.add(record(k))
    copy = tmp_path / "copy.db"
    shutil.copy(session.path, copy)
    log = Path(f"{session.path}-wal").read_bytes()
    session.close()
    Path(f"{copy}-wal").write_bytes(log[:-1000] + b"\0" * 1000)
    with read_session(copy) as stored:
        assert [frame.index for frame in stored.frames()] == [0, 1]
        assert stored.verify() == []


def test_ids_are_in_the_order_of_the_sessions_whatever_the_clock(tmp_path: Path) -> None:
    made: list[Session] = []
    for started in (STARTED, STARTED, STARTED - timedelta(days=400), STARTED + timedelta(hours=1)):
        with create_session(header(started=started), tmp_path) as session:
            made.append(session)
    names = [session.id for session in made]
    assert names == sorted(names)
    assert [listed.id for listed in list_sessions(tmp_path)] == names[::-1]
    assert names == ["2026-07-28T142530Z", "2026-07-28T142531Z", "2026-07-28T142532Z", "2026-07-28T152530Z"]
    notes = [clock_note(session.id, session.header.started) for session in made]
    assert [note is None for note in notes] == [True, True, False, True]
    assert "started at 2025-06-23T142530Z" in str(notes[2])
    assert [session.header.started for session in made][2] == STARTED - timedelta(days=400)


def test_a_local_time_zone_does_not_change_the_id(tmp_path: Path) -> None:
    elsewhere = STARTED.astimezone(timezone(timedelta(hours=5, minutes=30)))
    with create_session(header(started=elsewhere), tmp_path) as session:
        assert session.id == "2026-07-28T142530Z"
        assert session.header.started.isoformat() == elsewhere.isoformat()


def test_an_operator_names_a_session(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="no session in"):
        find_session("latest", tmp_path)
    paths = []
    for days in (0, 1, 40):
        with create_session(header(started=STARTED + timedelta(days=days)), tmp_path) as session:
            paths.append(session.path)
    (tmp_path / "9999-99-99T999999Z.db").write_text("no date, so no session")
    (tmp_path / "notes.db").write_text("no id, so no session")
    assert find_session("latest", tmp_path) == paths[2]
    assert find_session(paths[0].stem, tmp_path) == paths[0]
    assert find_session("2026-07-29t", tmp_path) == paths[1]
    assert find_session("./some/where", tmp_path) == Path("some/where")
    assert find_session("copy.db", tmp_path) == Path("copy.db")
    with pytest.raises(SessionError, match="2 sessions begin with") as several:
        find_session("2026-07", tmp_path)
    assert str(several.value).endswith(f"give more of the id: {paths[1].stem}, {paths[0].stem}")
    with pytest.raises(SessionError, match="no session '2025'"):
        find_session("2025", tmp_path)
    assert [listed.path for listed in list_sessions(tmp_path)] == paths[::-1]
    assert list_sessions(tmp_path / "absent") == []


def test_a_list_names_what_cannot_be_read(tmp_path: Path) -> None:
    with create_session(header(), tmp_path) as session:
        session.add(record(0))
    bad = tmp_path / "2027-01-01T000000Z.db"
    bad.write_bytes(b"SQLite format 3\0" + bytes(100))
    first, second = list_sessions(tmp_path)
    assert (first.id, first.state, first.header) == (bad.stem, "unreadable", None)
    assert first.reason == "not a session: no SQLite database"
    assert (second.state, second.frames, second.cells) == ("unfinished", 1, 2)
    assert unfinished_sessions(tmp_path) == [session.path]
