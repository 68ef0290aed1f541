"""Mutated sessions: no command crashes, hangs or shows a traceback, and no file breaks another one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.fuzz_sessions import fuzz


def test_mutated_sessions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path / "home"))  # which each trial sets
    outcomes, findings = fuzz(tmp_path, files=40, seed=20261127)
    assert findings == []
    assert outcomes.total() == 40
