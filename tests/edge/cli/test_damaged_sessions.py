"""A damaged session does not keep a service from counting."""

from __future__ import annotations

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
import zlib
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge.base import Cell
from edge.capture.camera import Camera, CameraError
from edge.cli import main
from edge.find import fingerprint
from edge.run import count_run, sessions
from edge.run.cameras import open_camera
from edge.session.names import list_sessions
from edge.session.store import read_session
from edge.session.tables import canonical, frame_hash, header_hash, sha256_hex
from edge.session.writer import open_session
from edge.simulate.frame import simulate_frame
from edge.simulate.scene import Scene

CAMERA = "simulate:8"
FURTHER = 20
"""Leukocytes of which the interrupted count has fewer."""
OF_OTHER_CELLS = fingerprint(
    np.zeros((90, 120), np.uint8), 1.0, [Cell(k, 9, 9, 9, 64.0, False, False) for k in range(40)], 1.0
)


def leuko(*words: str, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(words))
    assert result.exit_code == code, result.output
    return result


def count(*words: str, cells: int = 1, code: int = 0) -> Result:
    asked = ("--camera", CAMERA, "--bundle", "phantom3", "--until-cells", str(cells), "--json", *words)
    return leuko("count", *asked, code=code)


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


def rewritten(path: Path, camera: dict[str, Any] | None, cells: int = FURTHER, **header: Any) -> None:
    """Give the header other values, so that the count has not ended, and all hashes that fit."""
    with read_session(path) as session:
        rows, content = list(session._rows(crops=True)), json.loads(session._header_text)
    content["stop_rule"] = {"until_cells": cells}
    content["parameters"]["camera"] = None if camera is None else content["parameters"]["camera"] | camera
    text = canonical(content | header)
    previous = header_hash(text)
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("UPDATE header SET content = ?, hash = ?", (text, previous))
        for frame, _, cells_of_it in rows:
            previous = frame_hash(previous, frame, cells_of_it)
            database.execute("UPDATE frame SET hash = ? WHERE frame_index = ?", (previous, frame[0]))
    with read_session(path) as session:
        assert session.verify() == []


def states(path: Path) -> dict[str, str]:
    return {one.id: one.state for one in list_sessions(path.parent)}


def test_a_sound_one_is_resumed(begun: Path) -> None:
    result = count("--resume")
    assert json.loads(result.stdout)["session"] == begun.stem
    assert states(begun) == {begun.stem: "finished"}
    assert [path.name for path in begun.parent.iterdir()] == [begun.name]


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
        {"facts": json.dumps({"field": OF_OTHER_CELLS.facts()})},
        {"quality": '{"focus":"sharp"}'},
        {"quality": '{"unknown":1}'},
        {"settings": '{"exposure_us":"long"}'},
    ],
)
def test_senseless_content_whose_hash_fits_is_set_aside(begun: Path, values: dict[str, Any]) -> None:
    forged(begun, **values)
    result = count("--resume")
    assert re.search(r"damaged: (frame 0 \(|its content is invalid \(a frame is left out)", result.stderr)
    assert states(begun)[f"{begun.stem}.damaged"] == "damaged"
    refused = leuko("sessions", "resume", str(begun.with_suffix(".damaged.db")), code=1)
    assert "damaged: " in refused.stderr


def test_a_session_whose_frames_have_no_numbers_left_is_set_aside(
    begun: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "MOST_INDEX", -1)
    assert "damaged: frame 0 (its number is out of range)" in count("--resume").stderr
    assert states(begun)[f"{begun.stem}.damaged"] == "damaged"


@pytest.mark.parametrize("state", [b"no state", zlib.compress(bytes(1 << 28), 9)])
def test_a_senseless_tracker_ends_the_session(begun: Path, state: bytes) -> None:
    forged(begun, state=state)
    result = count("--resume")
    assert f"session {begun.stem} ends with what it counted, and a new one begins" in result.stderr
    assert "not the state of such a tracker" in result.stderr
    assert states(begun)[begun.stem] == "finished"


def test_one_whose_resuming_was_killed_does_not_keep_a_service_from_counting(begun: Path) -> None:
    rewritten(begun, {})
    killed = (
        "import os; from pathlib import Path; from edge.run import resume; count = "
        f"resume(Path({str(begun)!r}), unattended=True); os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", killed], check=False).returncode == -signal.SIGKILL
    result = count("--resume")
    assert f"session {begun.stem} is not resumed, and a new one begins: " in result.stderr
    assert "the last attempt to resume it was killed before a new frame was counted" in result.stderr
    new = json.loads(result.stdout)["session"]
    assert states(begun) == {new: "finished", f"{begun.stem}.damaged": "damaged"}
    again = leuko("sessions", "resume", f"{begun.stem}.damaged", "--json")
    assert json.loads(again.stdout)["session"] == begun.stem


def test_a_header_of_another_camera_than_it_says_is_not_opened(begun: Path) -> None:
    with closing(sqlite3.connect(begun, isolation_level=None)) as database:
        (content,) = database.execute("SELECT content FROM header").fetchone()
        database.execute(
            "UPDATE header SET content = ?", (content.replace(f'"{CAMERA}"', '"watch:/etc"', 1),)
        )
    result = count("--resume")
    assert "the header was changed" in result.stderr or json.loads(result.stdout)["session"] != begun.stem


@pytest.mark.parametrize(
    ("camera", "settings", "why"),
    [
        ({"sensor_bits": 12}, {}, "has no sensor modes to choose from; leave out --sensor-bits"),
        ({"size": [1, 1]}, {}, "a frame must have at least 64 px a side"),
        ({}, {"settings": '{"exposure_us":1,"gain":1e300}'}, "its exposure must be from 20 to 200000 µs"),
        ({"give_up_s": -1}, {}, "give_up_s is -1"),
    ],
)
def test_what_its_camera_does_not_take_ends_the_session(
    begun: Path, camera: dict[str, Any], settings: dict[str, Any], why: str
) -> None:
    """The camera opens without it: at every further start a service would fail in the same way."""
    rewritten(begun, camera)
    if settings:
        forged(begun, **settings)
    result = count("--resume", cells=FURTHER)
    (said,) = [line for line in result.stderr.splitlines() if "a new one begins" in line]
    assert said.startswith(f"session {begun.stem} ends with what it counted")
    assert why in said
    assert states(begun) == {begun.stem: "finished", json.loads(result.stdout)["session"]: "finished"}


def test_a_count_of_files_that_are_called_like_the_camera_is_no_cameras(begun: Path) -> None:
    rewritten(begun, None)
    result = count("--resume")
    assert states(begun) == {begun.stem: "unfinished", json.loads(result.stdout)["session"]: "finished"}


def test_a_kill_while_it_waits_for_its_camera_ends_no_session(begun: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    folder, mark = f"watch:{tmp_path / 'empty'}", begun.with_name(f"{begun.name}-resuming")
    rewritten(begun, {"name": folder}, sources=[folder])
    words = ("count", "--camera", folder, "--bundle", "phantom3", "--until-cells", str(FURTHER), "--resume")
    with subprocess.Popen([sys.executable, "-m", "edge.cli", *words], stderr=subprocess.PIPE) as run:
        assert run.stderr
        assert begun.stem.encode() in run.stderr.readline()
        end = time.monotonic() + 60
        while mark.exists() and time.monotonic() < end:
            time.sleep(0.01)
        assert run.poll() is None
        run.kill()
    open_session(begun, unattended=True).close()


def test_a_camera_that_is_gone_ends_no_session(begun: Path, tmp_path: Path) -> None:
    folder = f"watch:{tmp_path / 'new'}"
    rewritten(begun, {"name": folder}, sources=[folder])
    words = ("count", "--camera", folder, "--bundle", "phantom3", "--until-cells", str(FURTHER), "--resume")
    gone = leuko(*words, code=1)
    assert gone.stderr.splitlines()[-1] == f"Error: {tmp_path / 'new'}: no such file or directory"
    assert states(begun) == {begun.stem: "unfinished"}
    with read_session(begun) as session:
        assert session.verify() == []


@pytest.mark.parametrize("times", [1, 2])
def test_a_camera_that_is_busy_for_a_moment_resumes_its_session(
    begun: Path, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """Only if it fails again, while the camera opens, is the session at fault."""
    left = [times]

    def busy(*words: Any, **options: Any) -> Camera:
        left[0] -= 1
        if left[0] >= 0:
            raise CameraError(f"{CAMERA}: busy")
        return open_camera(*words, **options)

    rewritten(begun, {})
    monkeypatch.setattr(count_run, "open_camera", busy)
    result = count("--resume", cells=FURTHER)
    new = json.loads(result.stdout)["session"]
    assert (new == begun.stem) == (times == 1)
    assert set(states(begun).values()) == {"finished"}


@pytest.mark.parametrize("always", [False, True])
def test_a_failure_that_nobody_foresaw_ends_a_session_only_if_another_one_counts(
    begun: Path, monkeypatch: pytest.MonkeyPatch, always: bool
) -> None:
    def fails(*words: Any, **options: Any) -> Any:
        if not always:
            monkeypatch.undo()
            monkeypatch.setenv("LEUKO_HOME", str(begun.parents[1]))
        raise ZeroDivisionError("of a frame's width")
        yield

    rewritten(begun, {})
    monkeypatch.setattr(count_run, "count_frames", fails)
    if always:
        result = CliRunner().invoke(
            main,
            ["count", "--camera", CAMERA, "--bundle", "phantom3", "--resume", "--until-cells", str(FURTHER)],
        )
        assert isinstance(result.exception, ZeroDivisionError)
        assert states(begun) == {begun.stem: "unfinished"}
        return
    result = count("--resume", cells=FURTHER)
    assert "a new one begins: ZeroDivisionError: of a frame's width" in result.stderr
    assert states(begun) == {begun.stem: "finished", json.loads(result.stdout)["session"]: "finished"}


def test_a_session_is_of_the_folder_that_it_watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path / "home"))
    for number, name in enumerate(("a", "b")):
        (tmp_path / name / "w").mkdir(parents=True)
        image = simulate_frame(3, number, scene=Scene(width_px=600, height_px=450)).image
        cv2.imwrite(str(tmp_path / name / "w" / "1.png"), image)

    def watched(name: str, folder: str = "w") -> Any:
        monkeypatch.chdir(tmp_path / name)
        words = ("--bundle", "phantom3", "--until-cells", "1", "--json", "--resume")
        return json.loads(leuko("count", "--camera", f"watch:{folder}", *words).stdout)

    first = watched("a")
    path = tmp_path / "home/sessions" / f"{first['session']}.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DELETE FROM finish")
    other = watched("b")
    assert other["session"] != first["session"]
    assert states(path) == {first["session"]: "unfinished", other["session"]: "finished"}
    assert other["frames"]["read"] == 1
    assert watched("a", "../a/./w")["session"] == first["session"]
    assert states(path)[first["session"]] == "finished"


def test_files_of_another_card_under_the_same_names_begin_a_new_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path / "home"))
    file = tmp_path / "card" / "IMG_0001.png"
    file.parent.mkdir()

    def watched(leukocytes: int, cells: int) -> tuple[Any, str]:
        scene = Scene(width_px=700, height_px=520, leukocytes=leukocytes, erythrocytes=0, debris=0)
        cv2.imwrite(str(file), simulate_frame(3, scene=scene).image)
        words = ("--bundle", "phantom3", "--until-cells", str(cells), "--json", "--resume")
        done = leuko("count", "--camera", f"watch:{file.parent}", *words)
        return json.loads(done.stdout), done.stderr

    first, _ = watched(2, cells=1)
    path = tmp_path / "home/sessions" / f"{first['session']}.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as database:
        database.execute("DELETE FROM finish")
    rewritten(path, {}, cells=3)
    other, said = watched(5, cells=3)
    assert other["session"] != first["session"]
    assert other["frames"]["read"] == 1
    assert "IMG_0001.png has changed since it was counted" in said
    assert states(path) == {first["session"]: "finished", other["session"]: "finished"}
