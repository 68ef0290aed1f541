"""No command counts with a bundle that nobody chose."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.model.bundle import SHIPPED


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LEUKO_HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


@pytest.fixture(scope="module")
def frames(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("choice") / "sample"
    assert CliRunner().invoke(main, ["simulate", str(folder), "--frames", "1"]).exit_code == 0
    return folder / "frames"


@pytest.mark.parametrize(
    "words",
    [
        ("count", "FRAMES"),
        ("count", "--camera", "simulate"),
        ("count", "FRAMES", "--pixel-um", "0.125", "--json"),
    ],
)
def test_without_a_bundle_the_answer_lists_what_each_counts(
    home: Path, frames: Path, words: tuple[str, ...]
) -> None:
    done = CliRunner().invoke(main, [str(frames) if word == "FRAMES" else word for word in words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Error: No --bundle" in done.stderr
    (real,) = [line for line in done.stderr.splitlines() if line.startswith("  hemocytometer ")]
    assert real.split("  ")[2] == "counts leukocyte; tells apart echinocyte, erythrocyte, other"
    (simulated,) = [line for line in done.stderr.splitlines() if line.startswith("  phantom3 ")]
    assert "counts granulocyte, lymphocyte, monocyte; tells apart debris, erythrocyte" in simulated
    assert "(demonstration model, simulated cells)" in simulated
    assert "device.toml" in done.stderr


def test_the_devices_bundle_is_counted_with(home: Path, frames: Path) -> None:
    """By a shipped name, by a path, by a path from its own folder; and --bundle comes first."""
    shutil.copy(SHIPPED / "phantom3.tflite", home / "own.tflite")
    for named in ("phantom3", str(home / "own.tflite"), "own.tflite"):
        (home / "device.toml").write_text(f'bundle = "{named}"\nrequire_signed = false\n')
        done = CliRunner().invoke(main, ["count", str(frames), "--json"])
        assert done.exit_code == 0, done.stderr
        assert json.loads(done.stdout)["bundle"]["name"] == "phantom3"
    done = CliRunner().invoke(main, ["count", str(frames), "--bundle", "hemocytometer", "--json"])
    assert json.loads(done.stdout)["bundle"]["name"] == "hemocytometer"
    (home / "device.toml").write_text('bundle = "absent.tflite"\nrequire_signed = false\n')
    done = CliRunner().invoke(main, ["count", str(frames)])
    assert done.exit_code == 1
    assert f"no bundle {home / 'absent.tflite'}" in done.stderr
