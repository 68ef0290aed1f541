"""Mutations of a shipped bundle: verifying one never crashes or hangs, and never accepts damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.fuzz import run_trials
from tests.system.fuzz_bundles import MUTATIONS, prepare


def test_mutated_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # and back again
    outcomes, findings = run_trials(prepare(tmp_path), len(MUTATIONS), seed=20261127)
    assert findings == []
    assert any(kind.endswith(" refused") for kind in outcomes)
