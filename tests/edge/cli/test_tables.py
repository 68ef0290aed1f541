"""Tables on terminals of any width and in pipes: what is to be copied stays whole, and nothing is padded."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import shutil
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

from edge.model import locate_bundle
from edge.session.writer import create_session
from tests.edge.session.test_session import ROOT, header, record

LIMIT_S = 60


def on_terminal(columns: int, home: Path, *words: str | Path) -> tuple[list[str], str]:
    """Return the lines that a terminal of this width shows, and stderr."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    command = [sys.executable, "-m", "edge.cli", *map(str, words)]
    environment = {
        **os.environ,
        "LEUKO_HOME": str(home),
        "TERM": "xterm",
        "NO_COLOR": "1",
        "PYTHONPATH": str(ROOT),
    }
    environment.pop("COLUMNS", None)
    with subprocess.Popen(command, stdout=slave, stderr=subprocess.PIPE, env=environment, text=True) as run:
        os.close(slave)
        shown = b""
        while True:
            try:
                part = os.read(master, 65536)
            except OSError:  # the other end is closed
                break
            shown += part
        assert run.stderr is not None
        said = run.stderr.read()
    os.close(master)
    assert run.returncode == 0, said
    text = re.sub(r"\x1b\[[\d;]*m", "", shown.decode())
    return text.splitlines(), said


def piped(home: Path, *words: str | Path) -> str:
    environment = {**os.environ, "LEUKO_HOME": str(home), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "edge.cli", *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=LIMIT_S, check=True
    )
    return done.stdout


@pytest.fixture
def home(tmp_path: Path) -> Path:
    with create_session(header(sample_id="S" * 60, operator="O" * 60), tmp_path / "sessions") as session:
        session.add(record(0))
        session.finish("R" * 60, {})
    return tmp_path


@pytest.mark.parametrize("columns", [200, 120, 80, 40, 20, 10])
def test_the_id_of_a_session_is_never_broken(home: Path, columns: int) -> None:
    lines, said = on_terminal(columns, home, "sessions", "list")
    assert any(line.startswith("2026-07-28T142530Z") for line in lines)
    assert max(map(len, lines)) <= max(columns, len("2026-07-28T142530Z"))
    assert ("too narrow for" in said) == (columns < 117)
    if columns >= 40:
        assert "finished" in lines[1]


@pytest.mark.parametrize("columns", [150, 80, 40])
def test_the_path_of_a_bundle_is_never_broken(tmp_path: Path, columns: int) -> None:
    folder = tmp_path / ("a-long-name-" * 5)
    folder.mkdir()
    shutil.copy(locate_bundle("phantom3"), folder / "mine.tflite")
    (folder / "broken.tflite").write_bytes(b"no bundle")
    text = "\n".join(on_terminal(columns, tmp_path, "bundle", "list", folder)[0])
    assert str(folder / "mine.tflite") in text
    assert str(folder / "broken.tflite") in text


@pytest.mark.parametrize(
    "words", [("sessions", "list"), ("sessions", "show"), ("bundle", "list"), ("bundle", "show", "phantom3")]
)
def test_a_pipe_gets_whole_lines_without_padding(home: Path, words: tuple[str, ...]) -> None:
    lines = piped(home, *words).splitlines()
    assert not [line for line in lines if line != line.rstrip()]
    if words == ("sessions", "show"):
        assert f"Sample       {'S' * 60}" in lines
        assert any(line.startswith("Parameters") and line.endswith('{"min_solidity": 0.5}') for line in lines)


def test_an_encoding_without_some_letters_is_no_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    assert "S" * 60 in piped(home, "sessions", "show")
    assert "hemocytometer" in piped(home, "bundle", "list")


def test_the_results_of_a_count_have_no_padding_either(tmp_path: Path) -> None:
    piped(tmp_path, "simulate", tmp_path / "sample", "--frames", "1", "--seed", "2")
    lines = piped(tmp_path, "count", tmp_path / "sample" / "frames", "--bundle", "phantom3").splitlines()
    assert not [line for line in lines if line != line.rstrip()]
    assert any(line.startswith("Rejected: ") or line.startswith("rejected ") for line in lines)
