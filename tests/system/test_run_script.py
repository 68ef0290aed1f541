"""The script that a newcomer runs: its usage, and that it is plain POSIX shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("words", [[], ["nonsense"]])
def test_usage_names_every_command(words: list[str]) -> None:
    done = subprocess.run([ROOT / "run", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    for command in ("demo", "test", "leuko"):
        assert f"./run {command}" in done.stderr


@pytest.mark.parametrize("script", ["run", ".ci/run", "tests/system/arm_userland.sh"])
def test_scripts_are_plain_shell(script: str) -> None:
    shell = shutil.which("dash") or "sh"
    assert subprocess.run([shell, "-n", ROOT / script], check=False).returncode == 0
