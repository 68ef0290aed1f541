"""Input files: only regular ones of bounded size are read, and nothing waits."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.base import read_input
from edge.cli import main
from tests.edge.model.test_bundle import written


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100)
    (tmp_path / "link").symlink_to("file")
    assert read_input(tmp_path / "link", 100) == b"x" * 100
    with pytest.raises(OSError, match="larger than 0 KiB") as refused:
        read_input(tmp_path / "file", 99)
    assert refused.value.filename == str(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        read_input(tmp_path / "absent", 1)
    with pytest.raises(OSError, match="larger than"):
        read_input(Path("/proc/cpuinfo"), 9)  # its size is stated as 0


@pytest.fixture
def strange(tmp_path: Path) -> list[Path]:
    """A folder, a pipe, a socket and two endless devices, none of which is a file."""
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "link").symlink_to("/dev/zero")
    return [*(tmp_path / name for name in ("folder", "pipe", "socket", "link")), Path("/dev/random")]


def test_what_is_no_file_is_not_read(strange: list[Path]) -> None:
    for path in strange:
        with pytest.raises(OSError, match="not a"):
            read_input(path, 1000)


def test_no_command_waits_for_what_is_no_file(strange: list[Path], tmp_path: Path) -> None:
    written(tmp_path / "b.tflite")
    out = ["--out", tmp_path / "new.tflite"]
    (tmp_path / "frame.png").touch()
    count = ["count", tmp_path / "frame.png", "--bundle"]
    for path in strange:
        for words in (
            ["verify", path],
            ["bundle", "show", path],
            ["bundle", "sign", tmp_path / "b.tflite", "--key", path, *out],
            ["bundle", "upgrade", path, *out],
            ["bench", "phantom3", "--float", path],
            [*count, path],
            [*count, "phantom3", "--calibration", path],
            ["evaluate", "phantom3", path],
            ["firmware", "check", path],
            ["firmware", "render", path, "--out", tmp_path / "tree"],
            ["firmware", "install", path, "--root", tmp_path],
        ):
            result = CliRunner().invoke(main, [*map(str, words)])
            assert result.exit_code in (1, 2), words
            assert isinstance(result.exception, SystemExit), words
            assert (result.stderr or result.stdout).strip(), words
