"""``leuko sessions``: what an operator sees, and what a machine reads."""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from edge.base.frame import FailedFrame, FailureKind
from edge.cli import main
from edge.session.names import sessions_folder
from edge.session.record import frame_record
from edge.session.writer import create_session
from tests.edge.session.test_session import ROOT, STARTED, files, finished, header, record

__all__ = ["finished"]


def leuko(*words: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["sessions", *map(str, words)])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def two(home: Path) -> list[str]:
    """Ids of a finished session and of a later one that is not."""
    with create_session(header(sample_id="first\x1b[31m")) as session:
        session.add(record(0))
        session.finish("enough", {"cells": 2})
    with create_session(header(started=STARTED + timedelta(days=1), operator="[red]Ω")) as other:
        other.add(record(0, cells=3, dropped_before=1))
    assert sessions_folder() == home / "sessions"
    return [session.id, other.id]


def test_show_says_why_numbers_cannot_be_meant_instead_of_them(home: Path) -> None:
    result = {"cells": 2, "unusable": "this bundle does not know these cells", "remarks": ["train\x1b one"]}
    with create_session(header()) as session:
        session.add(record(0))
        session.finish("enough", result)
    out = leuko("show").stdout
    assert "this bundle does not know these cells: no leukocytes are stated" in out
    assert r"Remark: train\x1b one" in out
    assert "not a leukocyte" not in out
    with create_session(header(started=STARTED + timedelta(days=1))) as session:
        session.add(record(0))
        session.finish("enough", result | {"unusable": None})
    assert "not a leukocyte" in leuko("show").stdout


def test_list(two: list[str], home: Path) -> None:
    out = leuko("list").stdout
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == ["Session", *two[::-1]]
    assert "\x1b" not in out
    assert "[red]Ω" in lines[1]
    assert "unfinished" in lines[1]
    assert "enough" in lines[2]
    found = json.loads(leuko("list", "--json").stdout)
    assert [(one["id"], one["state"], one["frames"], one["cells"]) for one in found] == [
        (two[1], "unfinished", 1, 3),
        (two[0], "finished", 1, 2),
    ]
    assert found[0]["header"]["operator"] == "[red]Ω"
    assert found[1]["path"] == str(home / "sessions" / f"{two[0]}.db")


def test_a_long_name_leaves_room_in_the_list_only(home: Path) -> None:
    with create_session(header(sample_id="S" * 200, operator="O" * 24)) as session:
        session.add(record(0))
    row = leuko("list").stdout.splitlines()[1].split()
    assert row[1:4] == [f"{'S' * 23}…", "O" * 24, "unfinished"]
    assert json.loads(leuko("list", "--json").stdout)[0]["header"]["sample_id"] == "S" * 200
    assert "S" * 200 in leuko("show").stdout


def test_no_session_yet() -> None:
    assert json.loads(leuko("list", "--json").stdout) == []
    assert leuko("list").stdout.splitlines()[0].startswith("Session")
    assert "no session in" in leuko("show", code=1).stderr


def test_show(two: list[str]) -> None:
    out = leuko("show").stdout
    for found in (two[1], "[red]Ω", "S/17 µ", "tiny 1", "unfinished", "1 read, 1 dropped, 1 beyond"):
        assert found in out
    assert "3 different cells in 3 detections" in out
    assert "not a leukocyte" in out
    out = leuko("show", two[0]).stdout
    assert "first\\x1b[31m" in out
    assert "finished, enough" in out
    found = json.loads(leuko("show", two[0][:10], "--json").stdout)
    assert found["finished"]["result"] == {"cells": 2}
    assert found["totals"]["counts"]["granulocyte"] == 2
    assert found["clock"] is None


def test_a_clock_that_went_back_is_reported(two: list[str]) -> None:
    with create_session(header(started=STARTED - timedelta(days=3))) as session:
        pass
    done = leuko("show")
    assert session.id > two[1]
    assert "the clock was behind" in done.stderr
    assert done.stderr.count("\n") <= 2


def test_verify(two: list[str], home: Path) -> None:
    done = leuko("verify", two[0])
    assert done.stdout.startswith(f"{two[0]}: the chain of 1 records holds, ")
    assert done.stderr == ""
    assert "not finished" in leuko("verify", "latest").stderr
    path = home / "sessions" / f"{two[0]}.db"
    with closing(sqlite3.connect(path)) as database:
        database.executescript("UPDATE frame SET name = 'a\x1b[31m'; UPDATE header SET hash = x'00'")
    for name in (two[0], path):
        lines = leuko("verify", name, code=1).stdout.splitlines()
        assert lines[0] == "the header was changed"
        assert lines[1].startswith("frame 0 (a\\x1b[31m) was changed")
    found = json.loads(leuko("verify", path, "--json", code=1).stdout)
    assert len(found["problems"]) == 2
    assert found["id"] == two[0]
    found = json.loads(leuko("verify", "--json").stdout)
    assert (found["problems"], found["state"], found["frames"]) == ([], "unfinished", 1)


def test_export(two: list[str], tmp_path: Path, finished: Path) -> None:
    out = tmp_path / "out"
    done = leuko("export", two[0], "--out", out)
    assert sorted(done.stdout.splitlines()) == [
        str(out / name) for name in ("cells.csv", "cells.fcs", "frames.csv", "session.json")
    ]
    refused = leuko("export", "--out", out, "--format", "fcs", code=1)
    assert "cells.fcs: exists; give another name, or pass --force to replace it" in refused.stderr
    assert refused.stderr.count("\n") == 1
    leuko("export", "--out", out, "--format", "fcs", "--force")
    found = json.loads(leuko("export", finished, "--out", tmp_path / "b", "--format", "csv", "--json").stdout)
    assert found["files"] == [str(tmp_path / "b" / name) for name in ("cells.csv", "frames.csv")]
    assert files(tmp_path / "b") == ["cells.csv", "frames.csv"]


@pytest.mark.parametrize(
    ("words", "code", "why"),
    [
        (("show", "2031"), 1, "no session '2031'"),
        (("show", "absent.db"), 1, "absent.db: no such session"),
        (("verify", "2026"), 1, "2 sessions begin with '2026'"),
        (("show", ROOT / "pyproject.toml"), 1, "no SQLite database"),
        (("export", "latest"), 2, "--out"),
        (("export", "--out", ""), 2, "empty name"),
        (("export", "--out", "x", "--format", "xml"), 2, "xml"),
        (("export", "--out", ROOT / "pyproject.toml" / "x"), 1, "Not a directory"),
        (("verify", ""), 2, "empty name"),
    ],
)
def test_bad_input_is_one_line(two: list[str], words: tuple[str | Path, ...], code: int, why: str) -> None:
    done = leuko(*words, code=code)
    assert why in done.stderr
    assert done.stdout == ""
    if code == 1:
        assert done.stderr.count("\n") == 1


def test_what_is_no_session_is_listed_with_the_reason_and_harms_nothing(two: list[str], home: Path) -> None:
    folder = home / "sessions"
    (folder / "2027-01-01T000000Z.db").write_text("no database\n" * 100)
    (folder / "2027-01-02T000000Z.db").touch()
    (folder / "2027-01-03T000000Z.db").mkdir()
    (folder / "2027-01-04T000000Z.db").symlink_to(folder / "absent")
    os.mkfifo(folder / "2027-01-05T000000Z.db")
    (folder / "notes.txt").write_text("mine")
    listed = {one["id"]: one["reason"] for one in json.loads(leuko("list", "--json").stdout)}
    assert list(listed.values()) == [
        *("not a file", "no such session", "not a file", "not a session: the file is empty"),
        *("not a session: no SQLite database", "", "enough"),
    ]
    assert "unreadable" in leuko("list").stdout
    for name, reason in listed.items():
        if name not in two:
            for command in ("show", "verify", "resume"):
                assert reason in leuko(command, name, code=1).stderr
    assert two[1] in leuko("show", two[1]).stdout
    names = leuko("show", "2027", code=1).stderr
    assert (
        "5 sessions begin with '2027', give more of the id: 2027-01-05T000000Z, 2027-01-04T000000Z" in names
    )


def test_a_name_with_control_characters_acts_nowhere(home: Path, tmp_path: Path) -> None:
    name = "a\x1b[31m\r\n\tb\0" + "\u202e" + "x" * 180
    with create_session(header(sample_id=name, operator=name)) as session:
        session.add(record(0))
    for words in (("list",), ("show",), ("verify",)):
        out = leuko(*words).stdout
        assert not [letter for letter in out if not letter.isprintable() and letter != "\n"]
    leuko("export", "--out", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "session.json").read_text())["header"]["sample_id"] == name


def test_frames_that_are_not_counted_are_said_by_kind(home: Path) -> None:
    with create_session(header()) as session:
        session.add(record(0))
        kinds: tuple[FailureKind, ...] = ("unreadable", "repeat", "repeat", "unseen")
        for k, kind in enumerate(kinds, 1):
            session.add(frame_record(FailedFrame(f"{k}.png", k, "why", kind)))
        session.add(record(9, facts={"unlisted_before": {"repeat": 5}}))
    assert "2 read, 1 not readable, 1 show nothing, 7 repeat another, 0 dropped" in leuko("show").stdout
    totals = json.loads(leuko("show", "--json").stdout)["totals"]
    assert totals["left_out"] == {"unreadable": 1, "repeat": 7, "unseen": 1}


def test_a_session_that_is_being_counted_is_shown(home: Path) -> None:
    with create_session(header()) as session:
        session.add(record(0, cells=0))
        session.add(record(1))
        assert json.loads(leuko("list", "--json").stdout)[0]["state"] == "counting"
        assert json.loads(leuko("show", "--json").stdout)["totals"]["frames_read"] == 2
        leuko("verify")
