"""A damaged session does not keep a service from counting."""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from edge.cli import main
from edge.session.names import list_sessions
from edge.session.store import read_session
from edge.session.tables import frame_hash, sha256_hex

CAMERA = "simulate:8"


def leuko(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == code, result.output
    return result


def count(*words: str) -> Result:
    return leuko("count", "--camera", CAMERA, "--bundle", "phantom3", "--until-cells", "1", "--json", *words)


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, bytes]:
    """Id and file of a session that was interrupted."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEUKO_HOME", str(home))
        count("--each-once", "flow")
    (path,) = (home / "sessions").glob("*.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DELETE FROM finish")
    return path.stem, path.read_bytes()


@pytest.fixture
def begun(counted: tuple[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path))
    (tmp_path / "sessions").mkdir()
    path = tmp_path / "sessions" / f"{counted[0]}.db"
    path.write_bytes(counted[1])
    return path


def forged(path: Path, **values: Any) -> None:
    """Give the last record other values, or the tracker another state, and a hash that fits."""
    with read_session(path) as session:
        rows = list(session._rows(crops=True))
        previous = rows[-2][1] if len(rows) > 1 else session._header_hash
        (frame, _, cells), columns = rows[-1], session._tables.frame_columns
    state = values.pop("state", None)
    row = dict(zip(columns, frame, strict=True)) | values
    row |= {"tracker_sha256": sha256_hex(state)} if state else {}
    digest = frame_hash(previous, [row[name] for name in columns], cells)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        named = ", ".join(f"{name} = ?" for name in columns)
        database.execute(
            f"UPDATE frame SET {named}, hash = ? WHERE frame_index = ?",
            (*(row[name] for name in columns), digest, row["frame_index"]),
        )
        if state:
            database.execute("UPDATE tracker SET state = ?", (state,))
    with read_session(path) as session:
        assert session.verify() == []


def states(path: Path) -> dict[str, str]:
    return {one.id: one.state for one in list_sessions(path.parent)}


def test_a_sound_one_is_resumed(begun: Path) -> None:
    result = count("--resume")
    assert json.loads(result.stdout)["session"] == begun.stem
    assert states(begun) == {begun.stem: "finished"}


def test_a_broken_chain_is_set_aside_and_another_session_begins(begun: Path) -> None:
    with closing(sqlite3.connect(begun, isolation_level=None)) as database:
        database.execute("UPDATE cell SET track_id = track_id + 1")
    refused = leuko("sessions", "resume", begun.stem, "--json", code=1)
    assert "damaged: frame 0 (simulate:8#0) was changed" in refused.stderr
    assert states(begun) == {begun.stem: "unfinished"}, "left as it is: nobody asked for another one"
    result = count("--resume")
    assert f"session {begun.stem} is not resumed, and a new one begins" in result.stderr
    assert "frame 0 (simulate:8#0) was changed" in result.stderr
    new = json.loads(result.stdout)["session"]
    assert states(begun) == {new: "finished", f"{begun.stem}.damaged": "damaged"}
    assert begun.stem not in count("--resume").stderr, "said once"


@pytest.mark.parametrize(
    "values",
    [
        {"facts": '{"shared":"many"}'},
        {"facts": '{"kind":[]}'},
        {"facts": '{"field":{"digest":1}}'},
        {"facts": '{"size_px":[1e9,1]}'},
        {"quality": '{"focus":"sharp"}'},
        {"quality": '{"unknown":1}'},
        {"settings": '{"exposure_us":"long"}'},
    ],
)
def test_senseless_content_whose_hash_fits_is_set_aside(begun: Path, values: dict[str, Any]) -> None:
    forged(begun, **values)
    result = count("--resume")
    assert "damaged: frame" in result.stderr
    assert states(begun)[f"{begun.stem}.damaged"] == "damaged"
    refused = leuko("sessions", "resume", str(begun.with_suffix(".damaged.db")), code=1)
    assert "damaged: frame" in refused.stderr


@pytest.mark.parametrize("state", [b"no state", zlib.compress(bytes(1 << 28), 9)])
def test_a_senseless_tracker_ends_the_session(begun: Path, state: bytes) -> None:
    forged(begun, state=state)
    result = count("--resume")
    assert f"session {begun.stem} ends with what it counted, and a new one begins" in result.stderr
    assert "not the state of such a tracker" in result.stderr
    assert states(begun)[begun.stem] == "finished"


def test_a_header_of_another_camera_than_it_says_is_not_opened(begun: Path) -> None:
    with closing(sqlite3.connect(begun, isolation_level=None)) as database:
        (content,) = database.execute("SELECT content FROM header").fetchone()
        database.execute(
            "UPDATE header SET content = ?", (content.replace(f'"{CAMERA}"', '"watch:/etc"', 1),)
        )
    result = count("--resume")
    assert "the header was changed" in result.stderr or json.loads(result.stdout)["session"] != begun.stem
