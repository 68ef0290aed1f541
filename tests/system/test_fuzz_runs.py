"""Mutated run folders: no command crashes, hangs, shows a traceback or takes another network's answers."""

from __future__ import annotations

from pathlib import Path

from tests.system.fuzz_runs import FILES, fuzz


def test_mutated_run_folders(tmp_path: Path) -> None:
    outcomes, findings = fuzz(tmp_path, runs=2 * len(FILES), seed=20261127)
    assert findings == []
    assert outcomes.total() == 2 * len(FILES)
