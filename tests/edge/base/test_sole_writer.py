from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge.base import sole_writer

HOLD = """
import sys
from pathlib import Path
from edge.base import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_writer_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    out = tmp_path / "a" / "run"
    words = [sys.executable, "-c", HOLD, str(out)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(ValueError, match="run is being written by another command"), sole_writer(out):
            pass
        assert out.is_dir()
        first.kill()
    with sole_writer(out):
        (out / "file").touch()
    with sole_writer(out):
        assert [path.name for path in out.iterdir()] == ["file"]


def test_a_folder_that_was_made_for_nothing_is_removed(tmp_path: Path) -> None:
    for existed in (False, True):
        out = tmp_path / f"out-{existed}"
        if existed:
            out.mkdir()
        with pytest.raises(KeyError), sole_writer(out):
            raise KeyError
        assert out.exists() == existed
