"""A thousand mutations of a bundle, or five: nothing crashes, hangs or is taken for the real one.

The law: a device that requires signatures accepts the signed file and no mutation of it, whatever hashes
the forger recomputed. A device that does not require them accepts a mutation only if it is exactly the file
that `edge.model.write_bundle` makes of some content, which is another bundle with another SHA-256; damage
never is.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from tests.system import fuzz_bundle

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fuzz")
    fuzz_bundle.prepare(folder)
    return folder


@pytest.mark.parametrize("mutations", [1000, 5000])
def test_no_mutation_is_accepted(folder: Path, mutations: int) -> None:
    words = [sys.executable, "-m", "tests.system.fuzz_bundle", folder, "0", str(mutations)]
    done = subprocess.run([*map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False)
    at = (folder / "at").read_text().strip() if (folder / "at").exists() else "none"
    assert done.returncode == 0, f"mutation {at}: exit {done.returncode}\n{done.stderr}"
    results: dict[str, int] = json.loads(done.stdout)
    assert sum(results.values()) == 2 * mutations
    assert not [kind for kind in results if kind.startswith("signed ") and kind.endswith(" accepted")]
    careful = {mutation.__name__ for mutation in fuzz_bundle.FORGERY}
    accepted = {kind.split()[1] for kind in results if kind.endswith(" accepted")}
    assert accepted == careful, "a forger can always make another unsigned bundle, and only a forger"


@pytest.mark.parametrize("number", range(len(fuzz_bundle.DAMAGE)))
def test_the_command_line_refuses_in_one_line(folder: Path, number: int) -> None:
    content = (folder / "unsigned.tflite").read_bytes()
    kind, _, changed = fuzz_bundle.mutated(number, content)
    path = folder / f"{kind}.tflite"
    path.write_bytes(changed)
    for words in (("verify", path), ("bundle", "show", path)):
        result = CliRunner().invoke(main, [*map(str, words)])
        assert result.exit_code == 1
        assert result.stderr.startswith("Error: ")
        assert result.stderr.count("\n") == 1
        assert not result.stdout
