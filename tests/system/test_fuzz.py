"""Mutated input of each kind: no command crashes, hangs, shows a traceback or accepts what it should not.

Each fuzzer runs in a process of its own: it forks, which is safe only before threads begin, and the memory
of a fork's parent is the fork's too.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

needs_root = (
    pytest.mark.skipif(os.geteuid() != 0, reason="gives files to root, which needs root"),
    # its parsers are the judges; nothing else can stand in for them
    pytest.mark.skipif(not shutil.which("systemd-sysusers"), reason="needs systemd"),
)


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("bundles", 42),
        ("files", 18),
        ("files", 90),
        pytest.param("profiles", 30, marks=needs_root),
        ("runs", 14),
        ("sessions", 40),
    ],
)
def test_nothing_is_found(tmp_path: Path, name: str, files: int) -> None:
    words = ("-m", f"tests.system.fuzz_{name}", tmp_path / name, "--files", str(files), "--seed", "20261127")
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
    assert f"{files} tried, 0 findings" in done.stdout
