"""Mutated run folders: no command crashes, hangs, shows a traceback or takes another network's answers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_mutated_run_folders(tmp_path: Path) -> None:
    """In a process of its own: what computed with a backend before it forks hangs after it."""
    words = ("-m", "tests.system.fuzz_runs", tmp_path / "runs", "--files", "14", "--seed", "20261127")
    done = subprocess.run([sys.executable, *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr[-3000:]
