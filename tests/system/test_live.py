"""Counting live and in sessions, as an operator or systemd runs it: stopped, killed, resumed, out of disk."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from benchmarks.interrupted_counts import prepare, rounds
from edge.cli import main
from edge.session.names import list_sessions, unfinished_sessions
from edge.session.store import read_session
from edge.session.writer import create_session
from edge.simulate import Scene, simulate, simulate_frame
from tests.system.disks import need_mounts, tmpfs

ROOT = Path(__file__).resolve().parents[2]
LIMIT_S = 120
"""A process that takes longer hangs."""

Environment = dict[str, str]


def started(home: Path, *words: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "edge.cli", *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "LEUKO_HOME": str(home), "PYTHONPATH": str(ROOT), **environment},
    )


def leuko(home: Path, *words: str | Path) -> subprocess.CompletedProcess[str]:
    with started(home, *words) as run:
        out, messages = run.communicate(timeout=LIMIT_S)
    return subprocess.CompletedProcess(words, run.returncode, out, messages)


ENDS_ITSELF = """
import os, signal, sys
from edge.cli import main
from edge.run import systemd

left, write = int(sys.argv.pop(1)), systemd.Log.write

def write_and_end(log, event, *arguments, **facts):
    global left
    write(log, event, *arguments, **facts)
    left -= event == "frame"
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

systemd.Log.write = write_and_end
main()
"""


def killed_after(home: Path, frames: int, *words: str | Path) -> None:
    """Run a count with ``--log json`` that SIGKILL ends as soon as it has reported so many frames."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS_ITSELF, str(frames), *map(str, words)],
        capture_output=True,
        cwd=ROOT,
        env={**os.environ, "LEUKO_HOME": str(home), "PYTHONPATH": str(ROOT)},
        timeout=LIMIT_S,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def after_frames(run: subprocess.Popen[str], frames: int) -> None:
    """Wait until a count with ``--log json`` has reported so many frames."""
    assert run.stderr is not None
    seen = 0
    while seen < frames:
        line = run.stderr.readline()
        assert line, "it ended before"
        seen += json.loads(line)["event"] == "frame"


def counted(text: str) -> dict[str, Any]:
    """A count's results, without what differs from run to run."""
    summary: dict[str, Any] = json.loads(text)
    del summary["quality"]["measures"]["late_ms"]
    return {name: value for name, value in summary.items() if name not in ("seconds", "finished", "session")}


@contextmanager
def manager() -> Iterator[tuple[socket.socket, str]]:
    """What systemd has at its end, and how it names that to the service."""
    name = f"@leuko-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.settimeout(LIMIT_S)
        listener.bind("\0" + name[1:])
        yield listener, name


SCENE = Scene(width_px=820, height_px=616, leukocytes=7, erythrocytes=3, debris=2)


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("frames") / "sample"
    assert len(list(simulate(folder, frames=8, seed=6, scene=SCENE))) == 8
    return folder / "frames"


@pytest.fixture(scope="module")
def plain(frames: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a count of the frames prints with --json; it leaves nothing in the home."""
    home = tmp_path_factory.mktemp("plain")
    done = leuko(home, "count", "--bundle", "phantom3", frames, "--json")
    assert done.returncode == 0, done.stderr
    assert not (home / "sessions").exists()
    return done.stdout


def test_a_camera_counts_until_its_stop_rule_is_reached(tmp_path: Path) -> None:
    words = (
        "count",
        "--bundle",
        "phantom3",
        "--camera",
        "simulate:5",
        "--sample",
        "S 1",
        "--operator",
        "Ann",
        "--keep-crops",
    )
    done = leuko(tmp_path, *words, "--until-cells", "20", "--json", "--out", tmp_path / "result")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    leukocytes = sum(summary["counts"][label] for label in summary["fractions"])
    assert leukocytes >= 20
    assert summary["stop_rule"] == {"until_cells": 20}
    assert summary["ended"] == f"{leukocytes} leukocytes of 20 asked for"
    assert summary["sources"] == ["simulate:5"]
    (listed,) = list_sessions(tmp_path / "sessions")
    assert (listed.id, listed.state, listed.reason) == (summary["session"], "finished", summary["ended"])
    with read_session(listed.path) as session:
        assert session.verify() == []
        assert (session.header.sample_id, session.header.operator) == ("S 1", "Ann")
        assert session.header.stop_rule == summary["stop_rule"]
        assert dict(session.totals().tally.counts) == summary["counts"]
        assert session.finished is not None
        assert session.finished.result == summary
        records = list(session.frames(crops=True))
    assert [record.name for record in records] == [f"simulate:5#{k}" for k in range(len(records))]
    assert all(record.settings["exposure_us"] and record.sha256 for record in records)
    assert all(cell.crop_png for record in records for cell in record.cells)
    page = (tmp_path / "result" / "report.html").read_text()
    assert summary["ended"] in page
    assert summary["session"] in page
    assert (summary["sample_id"], summary["operator"]) == ("S 1", "Ann")
    assert ">S 1<" in page


def test_a_pixel_far_from_the_bundles_is_one_line_before_the_first_frame(
    frames: Path, tmp_path: Path
) -> None:
    words = ("--session", "--pixel-um", "0.4", "--log", "json")
    done = leuko(tmp_path, "count", "--bundle", "phantom3", min(frames.iterdir()), *words)
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [event["event"] for event in events][:2] == ["remark", "session"]
    assert events[0]["level"] == "warning"
    assert f"Remark: {events[0]['message']}\n" in done.stdout


def test_files_make_a_session_only_when_asked(frames: Path, plain: str, tmp_path: Path) -> None:
    kept = leuko(tmp_path, "count", "--bundle", "phantom3", frames, "--session", "--json")
    assert counted(kept.stdout) == counted(plain)
    assert json.loads(plain)["session"] is None
    (listed,) = list_sessions(tmp_path / "sessions")
    assert listed.id == json.loads(kept.stdout)["session"]
    assert listed.reason == "all frames"


@pytest.fixture(scope="module")
def broken(
    frames: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[tuple[str | Path, ...], subprocess.CompletedProcess[str]]:
    """A count of the frames and a file that is no image, and how it ends without an interruption."""
    folder = tmp_path_factory.mktemp("broken")
    shutil.copytree(frames, folder, dirs_exist_ok=True)
    (folder / "frame_0002a.png").write_bytes(b"no image")
    options = ("--session", "--log", "json", "--threads", "2")
    words = ("count", "--bundle", "phantom3", folder, *options)
    return words, leuko(tmp_path_factory.mktemp("whole"), *words, "--json")


@pytest.mark.parametrize("at", [1, 4, 7])
def test_files_killed_and_resumed_count_as_if_nothing_had_happened(
    broken: tuple[tuple[str | Path, ...], subprocess.CompletedProcess[str]], tmp_path: Path, at: int
) -> None:
    words, whole = broken
    killed_after(tmp_path / "home", at, *words)
    with read_session(list_sessions(tmp_path / "home" / "sessions")[0].path) as session:
        assert session.state == "unfinished"
        assert session.totals().tally.frames_read == at
    done = leuko(tmp_path / "home", "sessions", "resume", "--json")
    assert done.returncode == whole.returncode == 3, done.stderr
    assert counted(done.stdout) == counted(whole.stdout)
    with read_session(list_sessions(tmp_path / "home" / "sessions")[0].path) as session:
        assert session.verify() == []
        assert session.state == "finished"
    again = leuko(tmp_path / "home", "sessions", "resume")
    assert again.returncode == 1
    assert again.stderr == "Error: no session is unfinished\n"


def test_a_camera_killed_and_resumed_reaches_the_same_end(tmp_path: Path) -> None:
    words = (
        "count",
        "--bundle",
        "phantom3",
        "--camera",
        "simulate:8",
        "--until-cells",
        "25",
        "--log",
        "json",
    )
    whole = leuko(tmp_path / "whole", *words, "--json")
    with started(tmp_path / "home", *words) as run:
        after_frames(run, 2)
        run.kill()
    other = leuko(
        tmp_path / "home",
        "count",
        "--bundle",
        "phantom3",
        "--camera",
        "simulate:9",
        "--resume",
        "--until-cells",
        "3",
    )
    assert other.returncode == 0, other.stderr
    result = tmp_path / "result"
    again = ("count", "--bundle", "phantom3", "--camera", "simulate:8", "--resume", "--json", "--out", result)
    done = leuko(tmp_path / "home", *again)
    assert "no report" in done.stderr
    assert not result.exists()
    assert counted(done.stdout) == counted(whole.stdout)
    states = [(listed.state, listed.frames > 1) for listed in list_sessions(tmp_path / "home" / "sessions")]
    assert states == [("finished", False), ("finished", True)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_operator_ends_a_camera_count(tmp_path: Path, number: signal.Signals) -> None:
    with started(
        tmp_path, "count", "--bundle", "phantom3", "--camera", "simulate", "--log", "json", "--json"
    ) as run:
        after_frames(run, 2)
        run.send_signal(number)
        out, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 0
    summary = json.loads(out)
    assert summary["stopped"] is True
    (listed,) = list_sessions(tmp_path / "sessions")
    assert (listed.state, listed.reason, listed.frames) == ("finished", "stopped", summary["frames"]["read"])


def test_a_folder_in_which_nothing_arrives_can_be_left(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with manager() as (listener, name):
        run = started(
            tmp_path,
            "count",
            "--bundle",
            "phantom3",
            "--camera",
            f"watch:{tmp_path / 'empty'}",
            NOTIFY_SOCKET=name,
        )
        with run:
            assert listener.recv(100) == b"READY=1"
            run.terminate()
            out, messages = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 0
    assert (out, messages.splitlines()[-1]) == ("", "nothing was counted: stopped before the first frame")


@pytest.mark.parametrize("files", [0, 1])
def test_a_time_ends_a_count_in_which_no_frame_arrives(tmp_path: Path, frames: Path, files: int) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    for path in sorted(frames.iterdir())[:files]:
        shutil.copy(path, folder)
    began = time.monotonic()
    done = leuko(
        tmp_path,
        "count",
        "--bundle",
        "phantom3",
        "--camera",
        f"watch:{folder}",
        "--until-seconds",
        "6",
        "--json",
    )
    assert time.monotonic() - began < 40
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["ended"], summary["stopped"]) == ("6 s asked for", False)
    assert (summary["frames"]["read"], summary["cells"] > 0) == (files, files > 0)
    listed = list_sessions(tmp_path / "sessions")
    assert [(one.state, one.reason) for one in listed] == [("finished", "6 s asked for")] * files


def test_ctrl_c_ends_a_count_in_which_no_frame_arrives_any_more(tmp_path: Path, frames: Path) -> None:
    folder = tmp_path / "watched"
    folder.mkdir()
    shutil.copy(min(frames.iterdir()), folder)
    words = (
        "count",
        "--bundle",
        "phantom3",
        "--camera",
        f"watch:{folder}",
        "--until-seconds",
        "600",
        "--json",
        "--log",
        "json",
    )
    with started(tmp_path, *words) as run:
        after_frames(run, 1)
        run.send_signal(signal.SIGINT)
        out, _ = run.communicate(timeout=LIMIT_S)
    summary = json.loads(out)
    assert (run.returncode, summary["stopped"], summary["ended"]) == (0, True, None)
    assert summary["frames"]["read"] == 1


def test_systemd_hears_of_the_beginning_each_frame_and_the_end(tmp_path: Path) -> None:
    with manager() as (listener, name):
        words = ("count", "--bundle", "phantom3", "--camera", "simulate:2", "--until-cells", "20")
        with started(tmp_path, *words, NOTIFY_SOCKET=name, WATCHDOG_USEC="2") as run:
            heard = [listener.recv(1000).decode()]
            while heard[-1] != "STOPPING=1":
                heard.append(listener.recv(1000).decode())
            run.communicate(timeout=LIMIT_S)
    assert heard[:2] == ["READY=1", "WATCHDOG=1"]
    frames = list_sessions(tmp_path / "sessions")[0].frames
    assert heard[2:-1].count("WATCHDOG=1") == frames
    assert heard[-2].startswith("STATUS=")


def test_a_camera_that_is_lost_ends_the_process_and_the_next_one_resumes(
    frames: Path, tmp_path: Path
) -> None:
    folder, away = tmp_path / "camera", tmp_path / "away"
    shutil.copytree(frames, folder)
    words = (
        "count",
        "--bundle",
        "phantom3",
        "--camera",
        f"watch:{folder}",
        "--log",
        "json",
        "--give-up-s",
        "1",
        "--resume",
    )
    with started(tmp_path, *words) as run:
        after_frames(run, 8)
        folder.rename(away)
        out, messages = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 1
    assert out == ""
    *events, error = messages.splitlines()
    assert error.startswith("Error: ")
    assert "given up after 1 s" in error
    kinds = [json.loads(line)["event"] for line in events]
    assert "live" in kinds
    assert kinds[-2:] == ["unfinished", "failed"]
    away.rename(folder)
    cv2.imwrite(str(folder / "frame_0009.png"), simulate_frame(7, scene=SCENE).image)
    with started(tmp_path, *words, "--json") as run:
        after_frames(run, 1)
        run.terminate()
        out, _ = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 0
    summary = json.loads(out)
    assert summary["frames"]["read"] == 9
    assert [failed["name"] for failed in summary["frames"]["failed"]] == [f"watch:{folder}#8"]
    (listed,) = list_sessions(tmp_path / "sessions")
    assert listed.state == "finished"


def test_a_session_that_cannot_be_resumed_does_not_stop_a_service(tmp_path: Path) -> None:
    bundle = tmp_path / "mine.tflite"
    shutil.copy(ROOT / "edge" / "bundles" / "hemocytometer.tflite", bundle)
    words = ("count", "--camera", "simulate:8", "--bundle", bundle, "--until-cells", "5", "--log", "json")
    with started(tmp_path, *words) as run:
        after_frames(run, 1)
        run.kill()
    shutil.copy(ROOT / "edge" / "bundles" / "phantom3.tflite", bundle)
    refused = leuko(tmp_path, "sessions", "resume")
    assert refused.returncode == 1
    assert "is not the one that the session began with" in refused.stderr.splitlines()[-1]
    (before,) = list_sessions(tmp_path / "sessions")
    assert before.state == "unfinished"
    done = leuko(tmp_path, *words, "--resume")
    assert done.returncode == 0, done.stderr
    assert "not resumed" in [json.loads(line)["event"] for line in done.stderr.splitlines()]
    new, old = list_sessions(tmp_path / "sessions")
    assert (new.state, old.state, old.frames) == ("finished", "finished", before.frames)
    assert "is not the one that the session began with" in old.reason
    with read_session(old.path) as session:
        assert session.verify() == []


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("absent", "--camera", "simulate"), 2, "either SOURCE or --camera"),
        (("absent", "--resume"), 2, "leuko sessions resume resumes a count of files"),
        (("absent", "--size", "10x10"), 2, "No --camera for --size"),
        (("--camera", "simulate", "--until-cells", "0"), 2, "--until-cells"),
        (("--camera", "simulate", "--until-halfwidth", "0.6"), 2, "--until-halfwidth"),
        (("--camera", "simulate", "--size", "big"), 2, "WIDTHxHEIGHT"),
        (("--camera", "simulate", "--size", "20000x20000"), 2, "more than --max-megapixels 50"),
        (
            ("--camera", "simulate", "--bit-depth", "12"),
            2,
            "--bit-depth is for files; a camera's frames have",
        ),
        (("absent", "--sample", ""), 2, "'--sample': an empty name"),
        (("absent", "--operator", " "), 2, "'--operator': an empty name"),
        (("absent", "--sample", "S" * 201), 2, "'--sample': 201 characters, more than 200"),
        (("--camera", "nonesuch"), 1, "no kind of camera"),
        (("--camera", "simulate", "--calibration", "absent.toml"), 1, "absent.toml: no such calibration"),
        (("absent", "--bundle", "hemocytometer", "--until-halfwidth", "0.1"), 1, "no --until-halfwidth"),
    ],
)
def test_invalid_options_are_one_line(words: tuple[str, ...], code: int, reason: str) -> None:
    done = CliRunner().invoke(main, ["count", "--bundle", "phantom3", *words])
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == code
    assert done.stdout == ""
    assert reason in done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("video:absent.avi",), "absent.avi"),
        (("simulate:x",), "'x' is not a number"),
        (("simulate", "--size", "10x10"), "at least 64 px a side"),
        (("simulate", "--size", "99999999x99999999", "--max-megapixels", "1e12"), "no memory for frames"),
    ],
)
def test_a_camera_that_gives_no_frame_is_one_line_and_leaves_no_session(
    words: tuple[str, ...], reason: str, tmp_path: Path
) -> None:
    environment = {"LEUKO_HOME": str(tmp_path)}
    done = CliRunner(env=environment).invoke(main, ["count", "--bundle", "phantom3", "--camera", *words])
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == 1
    assert done.stdout == ""
    assert reason in done.stderr.splitlines()[-1]
    assert "resume" not in done.stderr
    assert list_sessions(tmp_path / "sessions") == []


BEGUN = ("count", "--camera", "simulate:8", "--until-cells", "25", "--sample", "Z", "--resume")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with an unfinished session of at least two frames."""
    home = tmp_path_factory.mktemp("begun")
    with started(home, *BEGUN, "--bundle", "phantom3", "--log", "json") as run:
        after_frames(run, 2)
        run.kill()
    return home


def test_a_session_is_resumed_as_it_began(tmp_path: Path) -> None:
    words = ("count", "--camera", "simulate:8", "--until-cells", "25", "--min-diameter-um", "5", "--resume")
    bundle = tmp_path / "b.tflite"
    shutil.copy(ROOT / "edge" / "bundles" / "phantom3.tflite", bundle)
    with started(tmp_path, *words, "--bundle", bundle, "--sample", "Z", "--log", "json") as run:
        after_frames(run, 1)
        run.kill()
    for k, name in enumerate((f"{tmp_path}/../{tmp_path.name}/b.tflite", "phantom3", None)):
        home = tmp_path / str(k)  # a session each
        shutil.copytree(tmp_path / "sessions", home / "sessions")
        done = leuko(home, *words, *(("--bundle", name) if name else ()), "--json")
        assert done.returncode == 0, done.stderr
        (listed,) = list_sessions(home / "sessions")
        assert (listed.id, listed.state) == (json.loads(done.stdout)["session"], "finished")


@pytest.mark.parametrize(
    ("other", "before"),
    [
        (("--sample", "OTHER"), "with Z"),
        # which knows no simulated cell: the first difference is named
        (("--bundle", "hemocytometer", "--until-seconds", "4"), "with phantom3"),
        (("--until-seconds", "9.5"), "without"),
        (("--exposure-us", "9000"), "without"),
        (("--max-diameter-um", "40.5"), "with 40.0"),
    ],
)
def test_a_session_that_began_with_other_options_ends_with_its_results(
    begun: Path, tmp_path: Path, other: tuple[str, ...], before: str
) -> None:
    """As of a service whose options were changed while the power was off."""
    shutil.copytree(begun / "sessions", tmp_path / "sessions")
    (first,) = list_sessions(tmp_path / "sessions")
    done = leuko(tmp_path, *BEGUN, "--bundle", "phantom3", *other, "--json")
    assert done.returncode == 0, done.stderr
    new, old = list_sessions(tmp_path / "sessions")
    assert (old.id, old.state, old.frames) == (first.id, "finished", first.frames)
    assert (new.id, new.state) == (json.loads(done.stdout)["session"], "finished")
    why = f"{other[0]} is {other[1]}, and the session began {before}"
    assert old.reason == f"not resumed: {why}"
    message = f"session {old.id} ends with what it counted, and a new one begins: {why}"
    assert message in done.stderr.splitlines()
    with read_session(old.path) as session:
        assert session.verify() == []
        assert session.finished is not None
        assert session.finished.result is not None
        assert session.finished.result["counts"] == dict(session.totals().tally.counts)
        assert session.finished.result["stopped"] is True
        assert session.finished.result["session"] == old.id


def test_what_a_new_session_lacks_ends_no_old_one(begun: Path, tmp_path: Path) -> None:
    shutil.copytree(begun / "sessions", tmp_path / "sessions")
    words = [*BEGUN, "--bundle", "nonesuch"]
    done = CliRunner(env={"LEUKO_HOME": str(tmp_path)}).invoke(main, words)
    assert done.exit_code == 1
    assert "no bundle nonesuch" in done.stderr.splitlines()[-1]
    assert len(unfinished_sessions(tmp_path / "sessions")) == 1


def test_a_session_without_a_frame_is_not_resumed(tmp_path: Path, frames: Path) -> None:
    with started(tmp_path, "count", "--bundle", "phantom3", frames, "--session", "--log", "json") as run:
        after_frames(run, 2)
        run.kill()
    (path,) = unfinished_sessions(tmp_path / "sessions")
    with read_session(path) as session:
        create_session(session.header, tmp_path / "sessions").close()
    done = leuko(tmp_path, "sessions", "resume", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["session"] == session.id


def test_a_file_that_changed_since_is_not_resumed(frames: Path, tmp_path: Path) -> None:
    shutil.copytree(frames, tmp_path / "frames")
    with started(
        tmp_path, "count", "--bundle", "phantom3", tmp_path / "frames", "--session", "--log", "json"
    ) as run:
        after_frames(run, 3)
        run.kill()
    changed = tmp_path / "frames" / "frame_0002.png"
    shutil.copy(frames / "frame_0003.png", changed)
    done = leuko(tmp_path, "sessions", "resume")
    assert done.returncode == 1
    why = f"Error: {changed} has changed since it was counted: put it back as it was and resume, or begin a"
    assert done.stderr.splitlines()[-1] == f"{why} new count"
    changed.unlink()
    done = leuko(tmp_path, "sessions", "resume")
    assert done.returncode == 1
    why = f"Error: {changed} was counted and is gone: put it back and resume, or begin a new count"
    assert done.stderr.splitlines()[-1] == why
    shutil.copy(frames / "frame_0002.png", changed)
    assert leuko(tmp_path, "sessions", "resume").returncode == 0


@pytest.mark.parametrize("change", ["fewer", "more", "renamed"])
def test_other_files_are_a_remark(frames: Path, tmp_path: Path, change: str) -> None:
    shutil.copytree(frames, tmp_path / "frames")
    old, new = (tmp_path / "frames" / f"frame_000{k}.png" for k in (8, 9))
    if change == "more":
        old.rename(tmp_path / new.name)
    words = (
        *("count", "--bundle", "phantom3", tmp_path / "frames", "--session", "--log", "json"),
        *("--threads", "1", "--out", tmp_path / "report"),
    )
    with started(tmp_path, *words) as run:
        after_frames(run, 3)
        run.kill()
    with read_session(unfinished_sessions(tmp_path / "sessions")[0]) as session:
        before = [record.name for record in session.frames()]
    if change == "more":
        (tmp_path / new.name).rename(new)
    elif change == "renamed":
        old.rename(new)
    else:
        old.unlink()
    done = leuko(tmp_path, "sessions", "resume", "--json")
    assert done.returncode == 3
    said = [] if change == "fewer" else [f"1 file was added ({new})"]
    said += [] if change == "more" else [f"1 file was removed ({old})"]
    remark = (
        f"since the session began {' and '.join(said)}: not the results of a count without an interruption"
    )
    (resumed,) = list_sessions(tmp_path / "sessions")
    partial = (
        f"the report in {tmp_path / 'report'} ends at the interruption; leuko sessions export {resumed.id}"
    )
    assert partial in done.stderr
    assert remark in done.stderr.splitlines()
    summary = json.loads(done.stdout)
    assert summary["remarks"] == [remark]
    assert (summary["frames"]["read"], summary["frames"]["failed"]) == (7 if change == "fewer" else 8, [])
    (listed,) = list_sessions(tmp_path / "sessions")
    assert (listed.state, listed.frames) == ("finished", summary["frames"]["read"])
    with read_session(listed.path) as session:
        assert session.finished is not None
        assert session.finished.result == summary
        assert [record.name for record in session.frames()][: len(before)] == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, of half a megabyte."""
    need_mounts(tmp_path)
    with tmpfs(tmp_path, 1 << 19) as place:
        yield place


def remount(place: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", place], check=True, capture_output=True)


def test_a_full_disk_ends_the_count_in_one_line_and_keeps_what_was_counted(
    frames: Path, plain: str, small_disk: Path
) -> None:
    done = leuko(small_disk, "count", "--bundle", "phantom3", frames, "--session", "--keep-crops")
    assert done.returncode == 1
    *_, hint, error = done.stderr.splitlines()
    assert error.startswith("Error: ")
    assert "disk is full" in error
    assert "Traceback" not in done.stderr
    (listed,) = list_sessions(small_disk / "sessions")
    assert listed.id in hint
    assert listed.state == "unfinished"
    assert listed.frames > 0
    with read_session(listed.path) as session:
        assert session.verify() == []
    remount(small_disk, "size=64m")
    assert counted(leuko(small_disk, "sessions", "resume", "--json").stdout) == counted(plain)


def test_a_disk_that_is_full_of_the_report_costs_no_result(
    frames: Path, plain: str, tmp_path: Path, small_disk: Path
) -> None:
    done = leuko(tmp_path, "count", "--bundle", "phantom3", frames, "--out", small_disk / "result", "--json")
    assert done.returncode == 1
    error = f"Error: no report in {small_disk / 'result'}: No space left on device; what was counted is above"
    assert done.stderr.splitlines()[-1] == error
    assert counted(done.stdout) == counted(plain)
    assert list((small_disk / "result").iterdir()) == []


def test_a_disk_that_is_read_only_is_one_line(small_disk: Path) -> None:
    with started(
        small_disk, "count", "--bundle", "phantom3", "--camera", "simulate:4", "--log", "json"
    ) as run:
        after_frames(run, 1)
        run.kill()
    remount(small_disk, "ro")
    for words in (("count", "--bundle", "phantom3", "--camera", "simulate:4"), ("sessions", "resume")):
        done = leuko(small_disk, *words)
        assert done.returncode == 1
        assert "read-only" in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_power_cuts_and_kills_at_random_moments_change_no_result(tmp_path: Path) -> None:
    """``python -m benchmarks.interrupted_counts`` makes three hundred."""
    need_mounts(tmp_path)
    longest_s = prepare(tmp_path, 30)
    missed = rounds(tmp_path, cuts=2, kills=2, seed=5, longest_s=longest_s)
    assert missed == {"power_cut": [None] * 2, "kill": [None] * 2}


CRASHES = """
import os, signal, sys
if sys.argv[-1].endswith("poison.avi") and "video_decoder" in " ".join(sys.orig_argv):
    os.kill(os.getpid(), signal.SIGSEGV)
"""


@pytest.fixture
def poisoned(frames: Path, tmp_path: Path) -> tuple[Path, str]:
    """A folder of two images and a video, and the PYTHONPATH with which its decoder crashes."""
    folder = tmp_path / "d"
    folder.mkdir()
    for name, still in zip(("a.png", "z.png"), sorted(frames.iterdir()), strict=False):
        shutil.copy(still, folder / name)
    video = cv2.VideoWriter(str(folder / "poison.avi"), cv2.VideoWriter.fourcc(*"MJPG"), 5, (64, 48))
    video.write(np.zeros((48, 64, 3), np.uint8))
    video.release()
    (tmp_path / "sitecustomize.py").write_text(CRASHES)
    return folder, f"{ROOT}{os.pathsep}{tmp_path}"


def test_a_video_that_crashes_its_decoder_costs_only_itself(
    poisoned: tuple[Path, str], tmp_path: Path
) -> None:
    folder, path = poisoned
    images = json.loads(
        leuko(tmp_path, "count", "--bundle", "phantom3", *sorted(folder.glob("*.png")), "--json").stdout
    )
    with started(
        tmp_path,
        "count",
        folder,
        "--bundle",
        "phantom3",
        "--json",
        "--out",
        tmp_path / "out",
        PYTHONPATH=path,
    ) as run:
        out, messages = run.communicate(timeout=LIMIT_S)
    assert run.returncode == 3, messages
    assert json.loads(out)["counts"] == images["counts"]
    assert "its decoder crashed (SIGSEGV)" in out
    assert "its decoder crashed (SIGSEGV)" in (tmp_path / "out" / "report.html").read_text()


def test_a_watched_folder_sets_such_a_video_aside(poisoned: tuple[Path, str], tmp_path: Path) -> None:
    folder, path = poisoned
    words = ("count", "--bundle", "phantom3", "--camera", f"watch:{folder}", "--resume", "--log", "json")

    def events(until: str) -> list[str]:
        """Run until an event, then kill."""
        seen: list[str] = []
        with started(tmp_path / "home", *words, PYTHONPATH=path) as run:
            assert run.stderr is not None
            while until not in seen:
                line = run.stderr.readline()
                assert line, f"it ended after {seen}"
                seen.append(json.loads(line)["event"])
            run.kill()
        return [event for event in seen if event.startswith("frame")]

    assert events("frame failed") == ["frame", "frame", "frame failed"]
    for start in range(2):
        cv2.imwrite(str(folder / f"late{start}.png"), simulate_frame(40 + start, scene=SCENE).image)
        assert events("frame") == ["frame"], "it is not tried again"
    (session,) = list_sessions(tmp_path / "home" / "sessions")
    assert session.frames == 5
