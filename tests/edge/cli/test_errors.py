"""A place that cannot be written: the answer names the setting, and what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main

NOWHERE = "/proc/no"
"""Nobody, not even root, can make a folder there."""


def _last_line(*arguments: str, home: str | Path) -> str:
    result = CliRunner().invoke(main, list(arguments), env={"LEUKO_HOME": str(home)})
    assert result.exit_code == 1, result.output
    return result.output.splitlines()[-1]


@pytest.mark.parametrize("folder", [NOWHERE, f"{NOWHERE}/a/b"])
def test_an_option_is_named(folder: str, tmp_path: Path) -> None:
    arguments = ("camera", "preview", "simulate", "--size", "64x64", "--out", f"{folder}/x.png")
    line = _last_line(*arguments, "--bundle", "phantom3", home=tmp_path)
    assert line.endswith("name a place that can be written with --out"), line
    line = _last_line(
        "calibrate",
        "volume",
        "--depth-um",
        "100",
        "--depth-uncertainty-um",
        "exact",
        "--calibration",
        f"{folder}/c.toml",
        home="",
    )
    assert (
        line
        == f"Error: {NOWHERE}: No such file or directory: name a place that can be written with --calibration"
    )


def test_an_argument_needs_no_name(tmp_path: Path) -> None:
    line = _last_line("simulate", NOWHERE, "--frames", "1", home=tmp_path)
    assert line == f"Error: {NOWHERE}: No such file or directory: name a place that can be written"


def test_the_folder_of_state_is_named() -> None:
    line = _last_line(
        "calibrate", "volume", "--depth-um", "100", "--depth-uncertainty-um", "exact", home=NOWHERE
    )
    assert (
        line == f"Error: {NOWHERE}: No such file or directory: set LEUKO_HOME to a folder that can be written"
    )


@pytest.mark.parametrize(
    "command",
    [
        "calibrate volume --depth-um 100 --depth-uncertainty-um 1",
        "count . --bundle phantom3",
        "sessions list",
    ],
)
def test_a_file_is_no_folder_of_state(command: str, tmp_path: Path) -> None:
    file = tmp_path / "state"
    file.write_bytes(b"")
    assert _last_line(*command.split(), home=file) == f"Error: {file}: a file: set LEUKO_HOME to a folder"
