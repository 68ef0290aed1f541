"""Mutated files of every kind that is read: no command crashes, hangs or shows a traceback."""

from __future__ import annotations

from pathlib import Path

from tests.system.fuzz_files import attempt, fuzz, write_originals


def test_the_originals_are_read(tmp_path: Path) -> None:
    for original in write_originals(tmp_path):
        output = tmp_path / "output.txt"
        assert attempt(original.command(tmp_path / original.name, tmp_path), output, codes=(0,)) == "", (
            output.read_text()
        )


def test_mutated_files(tmp_path: Path) -> None:
    outcomes, findings = fuzz(tmp_path, files=54, seed=20261127)
    assert findings == []
    assert outcomes.total() == 54
