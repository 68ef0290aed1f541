"""``leuko simulate``: what it prints, what it refuses."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli.simulate import simulate

NO_CELLS = ["--cells-per-frame", "0", "--erythrocytes", "0", "--debris", "0"]


def test_stdout_has_the_folder_only(tmp_path: Path) -> None:
    target = tmp_path / "sample"
    result = CliRunner().invoke(simulate, [str(target), "--frames", "1", "--seed", "3", "--fluorescence"])
    assert result.exit_code == 0
    assert result.stdout == f"{target}\n"
    assert "simulated frames: 1" in result.stderr
    names = sorted(path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file())
    assert names == [
        "fluorescence/frame_0001.png",
        "frames/frame_0001.png",
        "masks/frame_0001.png",
        "simulation.json",
        "truth.csv",
    ]


def test_json_is_one_object(tmp_path: Path) -> None:
    result = CliRunner().invoke(simulate, [str(tmp_path), "--frames", "1", "--json", "--separate", *NO_CELLS])
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"directory": str(tmp_path), "frames": 1, "seed": 0}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--mix", "basophil=3"], "unknown leukocyte class"),
        (["--mix", "monocyte=-1,lymphocyte=2"], "at least 0"),
        (["--mix", "monocyte=0"], "all be 0"),
        (["--mix", "monocyte"], "not label=number"),
        (["--mix", "monocyte=1,monocyte=2"], "twice"),
        (["--mix", ""], "not label=number"),
        (["--debris", "nan"], "not a finite number"),
        (["--frames", "0"], "range"),
        (["--seed", "-1"], "range"),
    ],
)
def test_bad_options_are_usage_errors(tmp_path: Path, arguments: list[str], reason: str) -> None:
    result = CliRunner().invoke(simulate, [str(tmp_path / "new"), "--frames", "1", *arguments])
    assert result.exit_code == 2
    assert reason in result.stderr
    assert result.stdout == ""
    assert not (tmp_path / "new").exists()


def test_cells_that_do_not_fit_are_one_line(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        simulate, [str(tmp_path), "--frames", "1", "--separate", "--cells-per-frame", "600"]
    )
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "do not fit" in result.stderr


def test_an_occupied_folder_needs_force_or_is_refused(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "--frames", "1", *NO_CELLS]
    assert CliRunner().invoke(simulate, arguments).exit_code == 0
    again = CliRunner().invoke(simulate, arguments)
    assert (again.exit_code, again.stdout) == (1, "")
    assert "--force" in again.stderr
    assert CliRunner().invoke(simulate, [*arguments, "--force"]).exit_code == 0

    (tmp_path / "simulation.json").unlink()
    foreign = CliRunner().invoke(simulate, [*arguments, "--force"])
    assert foreign.exit_code == 1
    assert "other files" in foreign.stderr


def test_an_unwritable_place_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    result = CliRunner().invoke(simulate, [str(tmp_path / "file" / "below"), "--frames", "1"])
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    result = CliRunner().invoke(simulate, [str(tmp_path), "--frames", "1", *NO_CELLS])
    assert (result.exit_code, result.stdout) == (1, "")
    reason = f"{os.strerror(errno.ENOSPC)}: name a place that can be written"
    assert result.stderr == f"Error: {tmp_path / 'masks' / 'frame_0001.png'}: {reason}\n"
    assert not (tmp_path / "truth.csv").exists()
