"""What a new user types wrongly is refused with what to type instead, and never taken for another number."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main


def last_line(*words: str | Path, code: int) -> str:
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == code, done.stderr
    assert done.stdout == ""
    return done.stderr.splitlines()[-1]


@pytest.mark.parametrize(
    ("option", "text", "reason"),
    [
        ("--pixel-um", "0,125", "'0,125' is not a number: write 0.125"),
        ("--pixel-um", "1,250", "'1,250' is not a number: write 1.250 or 1250"),
        ("--pixel-um", "0.125um", "write it without um, in the unit that --help names"),
        ("--pixel-um", "0.1 µm", "write it without µm, in the unit that --help names"),
        ("--pixel-um", "125", "125.0 is not in the range 0.005<=x<=10.0."),
        ("--pixel-um", "a tenth", "'a tenth' is not a number"),
        ("--pixel-um", "nan", "nan is not a finite number."),
        ("--until-halfwidth", "5", "'5' is not in the range 0 to 0.5: write 0.05 for 5 %"),
        ("--until-halfwidth", "5%", "write 0.05 for 5 %"),
        ("--until-halfwidth", "2,5 %", "write 0.025 for 2.5 %"),
        ("--reject-below", "90", "'90' is not in the range 0 to 1: write 0.9 for 90 %"),
        ("--reject-below", "-1", "-1.0 is not in the range 0<=x<=1."),
        ("--until-cells", "1,000", "'1,000' is not a whole number: write 1000"),
        ("--until-cells", "1'000", "write 1000"),
        ("--until-cells", "2.5", "'2.5' is not a whole number"),
        ("--until-cells", "400 cells", "write it without cells"),
        ("--until-cells", "0", "0 is not in the range"),
    ],
)
def test_a_number_that_is_none_names_the_one_meant(option: str, text: str, reason: str) -> None:
    line = last_line("count", "frames", "--bundle", "phantom3", option, text, code=2)
    assert line.startswith(f"Error: Invalid value for '{option}'")
    assert reason in line


def test_a_depth_in_mm_and_a_dilution_as_a_ratio(tmp_path: Path) -> None:
    words = (
        "calibrate",
        "volume",
        "--calibration",
        tmp_path / "calibration.toml",
        "--depth-uncertainty-um",
        "exact",
    )
    assert "0.1 is not in the range 2" in last_line(*words, "--depth-um", "0.1", code=2)
    ratio = last_line(*words, "--depth-um", "100", "--dilution", "1:20", code=2)
    assert "'1:20' is not a number: write 20" in ratio


def test_a_decimal_comma_in_a_calibration_is_named(tmp_path: Path) -> None:
    path = tmp_path / "calibration.toml"
    path.write_text("version = 1\n[pixel]\npixel_um = 0,0727 # my own\n")
    line = last_line("count", tmp_path, "--bundle", "phantom3", "--calibration", path, code=1)
    assert line.endswith("write pixel_um = 0.0727, with a point")


def test_a_name_that_is_not_there_names_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "truth.csv").touch()
    line = last_line("crops", tmp_path, tmp_path / "truth.cvs", "--out", tmp_path / "out", code=1)
    assert (
        line == f"Error: {tmp_path / 'truth.cvs'}: no such file or folder; is {tmp_path / 'truth.csv'} meant?"
    )
    line = last_line("train", tmp_path / "absent" / "data", "--out", tmp_path / "out", code=1)
    assert line == f"Error: {tmp_path / 'absent' / 'data'}: no such file or folder"


def test_a_file_for_a_folder_and_a_folder_for_a_file_are_named(tmp_path: Path) -> None:
    file = tmp_path / "file.csv"
    file.touch()
    assert last_line("train", tmp_path, "--out", file, code=1) == f"Error: {file} is a file: name a folder"
    line = last_line("bundle", "upgrade", tmp_path, "--out", tmp_path / "b.tflite", code=1)
    assert line == f"Error: {tmp_path} is a folder: name a file"
    line = last_line("crops", file, tmp_path, "--out", tmp_path / "out", code=2)
    assert line.endswith("is a folder; BOXES, the CSV, comes last: leuko crops FRAMES BOXES")


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        (["cuont", "frames"], "'count'"),
        (["bundle", "shw"], "'show'"),
        (["sessions", "lst"], "'list'"),
        (["count", "--bundel", "x"], "'--bundle'"),
        (["firmware", "instal"], "'install'"),
    ],
)
def test_an_unknown_command_or_option_names_the_nearest(words: list[str], nearest: str) -> None:
    assert nearest in last_line(*words, code=2)


def test_the_two_names_of_an_option_are_not_given_together() -> None:
    line = last_line("count", "x", "--profile", "a.toml", "--calibration=b.toml", code=2)
    assert line == "Error: --profile is the former name of --calibration: give one of the two"
