"""Mutations of a shipped bundle: verifying one never crashes or hangs, and never accepts damage."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.fuzz_bundles import MUTATIONS, fuzz


def test_mutated_bundles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # and back again
    outcomes, findings = fuzz(tmp_path, bundles=len(MUTATIONS), seed=20261127)
    assert findings == []
    assert any(kind.endswith(" refused") for kind in outcomes)
