"""What reads foreign files keeps its promises on the corpus, and on a minute of coverage-guided mutations."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("target", TARGETS)
def test_the_corpus_keeps_every_promise(target: str) -> None:
    files = sorted((CORPUS / target).iterdir())
    assert files
    for file in files:
        TARGETS[target](file.read_bytes())


@pytest.mark.parametrize("target", TARGETS)
def test_a_minute_of_mutations_breaks_no_promise(target: str) -> None:
    if importlib.util.find_spec("atheris") is None:
        pytest.skip("atheris has no wheel for this machine")  # it has them for Linux on x86-64 alone
    # one seed, so that a change and not chance decides; by hand each run takes another
    words = (sys.executable, "-m", "tests.fuzz", target, "--seconds", "60", "--seed", "1")
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Done " in done.stderr
