"""Mutated files of every kind that is read: no command crashes, hangs or shows a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.fuzz import attempt, run_trials
from tests.system.fuzz_files import prepare, write_originals


def test_the_originals_are_read(tmp_path: Path) -> None:
    for original in write_originals(tmp_path):
        output = tmp_path / "output.txt"
        assert attempt(original.command(tmp_path / original.name, tmp_path), output, codes=(0,)) == "", (
            output.read_text()
        )


@pytest.mark.parametrize("files", [18, 54])
def test_mutated_files(tmp_path: Path, files: int) -> None:
    outcomes, findings = run_trials(prepare(tmp_path), files, seed=20261127)
    assert findings == []
    assert outcomes.total() == files
