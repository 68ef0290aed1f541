"""The runtime on aarch64, emulated: golden crops in both runtimes, a whole count, and its own tests."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SUITE = ROOT / "tests" / "edge"
FEW = ("model/test_bundle.py", "find/test_crops.py", "count/test_tally.py", "classify/test_classifier.py")
"""Of the runtime's test files those nearest to the arithmetic; a minute."""


def environment(*folders: Path) -> dict[str, str]:
    path = os.pathsep.join(map(str, (ROOT, *folders)))
    return {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}


def leuko(python: Path, *words: str | Path, folders: Sequence[Path] = ()) -> str:
    done = subprocess.run(
        [python, "-m", "edge.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment(*folders),
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def passes(userland: Path, *paths: Path, limit_s: float) -> bool:
    """Run tests in the userland and print what they print."""
    options = ["-p", "no:cacheprovider", "-ra", "--durations=10", "--hypothesis-profile=emulated"]
    done = subprocess.run(
        [userland / "python", "-m", "pytest", *options, *paths],
        check=False,
        cwd=ROOT,
        env=environment(userland / "tests"),
        timeout=limit_s,
    )
    return done.returncode == 0


@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
@pytest.mark.parametrize("bundle", ["phantom3", "hemocytometer"])
def test_golden_crops_come_out_right(userland: Path, bundle: str, runtime: str) -> None:
    # LiteRT is what a device installs; the second runtime lies beside
    folders = [userland / "tests"] if runtime == "tflite-runtime" else []
    words = ("verify", bundle, "--runtime", runtime, "--json")
    answer = json.loads(leuko(userland / "python", *words, folders=folders))
    assert answer["runtimes"][runtime]["largest_step"] <= 3
    assert answer["runtimes"][runtime]["crops"] >= 8


def test_a_count_is_the_same_as_here(userland: Path, tmp_path: Path) -> None:
    leuko(Path(sys.executable), "simulate", tmp_path / "sample", "--frames", "1", "--seed", "5")
    frames = tmp_path / "sample" / "frames"
    there = json.loads(leuko(userland / "python", "count", frames, "--bundle", "phantom3", "--json"))
    here = json.loads(leuko(Path(sys.executable), "count", frames, "--bundle", "phantom3", "--json"))
    assert there["cells"] == here["cells"] > 0
    assert there["identifier"] == here["identifier"]
    moved = sum(abs(there["counts"][label] - n) for label, n in here["counts"].items())
    assert moved <= 1, "one cell on the edge of two classes may fall to either side"


def test_the_tests_of_the_arithmetic_pass(userland: Path) -> None:
    assert passes(userland, *(SUITE / name for name in FEW), limit_s=600)


@pytest.mark.skipif(
    "LEUKO_ARM_SUITE" not in os.environ, reason="about an hour: LEUKO_ARM_SUITE=1 asks for it"
)
def test_the_runtimes_whole_suite_passes(userland: Path) -> None:
    assert passes(userland, SUITE, limit_s=3 * 3600)
