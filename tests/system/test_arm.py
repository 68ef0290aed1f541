"""The shipped bundles on aarch64, emulated: both runtimes, golden crops, and a whole count."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD_LIMIT_S = 400

pytestmark = pytest.mark.arm


@pytest.fixture(scope="session")
def arm_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an aarch64 userland: the one at $LEUKO_ARM_USERLAND, or one that is built now."""
    given = os.environ.get("LEUKO_ARM_USERLAND")
    if given:
        return Path(given) / "python"
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("building the aarch64 userland needs root and apt-get")
    folder = tmp_path_factory.mktemp("arm")
    script = ROOT / "tests" / "system" / "arm_userland.sh"
    try:
        done = subprocess.run(
            [script, folder], capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S
        )
    except subprocess.TimeoutExpired:
        pytest.skip(f"the aarch64 userland was not built within {BUILD_LIMIT_S} s")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        pytest.skip(f"the aarch64 userland cannot be built here: {reason}")
    return folder / "python"


def leuko(python: Path, *words: str | Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, "-m", "edge.cli", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("runtime", ["litert", "tflite-runtime"])
@pytest.mark.parametrize("bundle", ["phantom3", "hemocytometer"])
def test_golden_crops_come_out_right(arm_python: Path, bundle: str, runtime: str) -> None:
    answer = json.loads(leuko(arm_python, "verify", bundle, "--runtime", runtime, "--json"))
    assert answer["runtimes"][runtime]["largest_step"] <= 3
    assert answer["runtimes"][runtime]["crops"] >= 8


def test_a_count_is_the_same_as_here(arm_python: Path, tmp_path: Path) -> None:
    leuko(Path(sys.executable), "simulate", tmp_path / "sample", "--frames", "1", "--seed", "5")
    frames = tmp_path / "sample" / "frames"
    there = json.loads(leuko(arm_python, "count", frames, "--bundle", "phantom3", "--json"))
    here = json.loads(leuko(Path(sys.executable), "count", frames, "--bundle", "phantom3", "--json"))
    assert there["cells"] == here["cells"] > 0
    assert there["identifier"] == here["identifier"]
    moved = sum(abs(there["counts"][label] - n) for label, n in here["counts"].items())
    assert moved <= 1, "one cell on the edge of two classes may fall to either side"
