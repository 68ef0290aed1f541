"""Mutated sessions: no command crashes, hangs or shows a traceback, and no file breaks another one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_mutated_sessions(tmp_path: Path) -> None:
    """In a process of its own, because the memory of a fork's parent is the fork's too."""
    words = ("-m", "tests.system.fuzz_sessions", tmp_path / "sessions", "--files", "40", "--seed", "20261127")
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
