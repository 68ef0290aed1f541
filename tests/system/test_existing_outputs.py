"""No command writes over what is there already: all refuse it before they work, in the same words."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge.base import ANOTHER_NAME, REPLACE
from edge.cli import main
from edge.simulate import Scene, simulate
from tests.system.command_reference import commands

CASES = {
    # its words, the output, what lies there, the remedy
    "leuko count": ("frames --bundle phantom3 --out o", "o", "o/cells.csv", REPLACE),
    "leuko camera preview": ("simulate --bundle phantom3 --out o.png", "o.png", "o.png", REPLACE),
    "leuko simulate": ("o --frames 1", "o", "o/mine.txt", ANOTHER_NAME),
    "leuko bundle card": ("phantom3 --out o.html", "o.html", "o.html", REPLACE),
    "leuko bundle sign": ("phantom3 --key key.pem --out o.tflite", "o.tflite", "o.tflite", REPLACE),
    "leuko bundle upgrade": ("key.pem --out o.tflite", "o.tflite", "o.tflite", REPLACE),
    "leuko bundle validate": ("phantom3 frames boxes.csv --out o.tflite", "o.tflite", "o.tflite", REPLACE),
    "leuko sessions export": ("latest --out o", "o/frames.csv", "o/frames.csv", REPLACE),
    "leuko label": ("frames stained --out o", "o", "o/mine.txt", ANOTHER_NAME),
    "leuko crops": ("frames boxes.csv --out o", "o", "o/mine.txt", ANOTHER_NAME),
    "leuko data check": ("frames --out o", "o/check.csv", "o/check.csv", REPLACE),
    "leuko data agreement": ("boxes.csv --out o", "o/agreement.html", "o/agreement.html", REPLACE),
    "leuko train": ("data --out o", "o", "o/mine.txt", ANOTHER_NAME),
    "leuko evaluate": ("phantom3 data --out o", "o/evaluation.json", "o/evaluation.json", REPLACE),
    "leuko study": ("peers data --out o", "o", "o/mine.txt", ANOTHER_NAME),
    "leuko convert": ("frames --out o.tflite", "o.tflite", "o.tflite", REPLACE),
    "leuko verify": ("phantom3 run --out o", "o/parity.json", "o/parity.json", REPLACE),
    "leuko firmware render": ("device.toml --out o", "o", "o/mine.txt", ANOTHER_NAME),
    "leuko firmware image": (
        "device.toml --wheels run --user lab --ssh-key key.pem --out o",
        "o",
        "o/mine.txt",
        REPLACE,
    ),
    "leuko firmware bundle-wheels": ("--release trixie --out o", "o", "o/mine.txt", ANOTHER_NAME),
}


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read, in a folder of its own, with a session."""
    folder = tmp_path_factory.mktemp("inputs")
    scene = Scene(width_px=600, height_px=400, leukocytes=4, erythrocytes=2, debris=0)
    list(simulate(folder / "sample", frames=1, scene=scene, fluorescence=True))
    (folder / "sample" / "frames").rename(folder / "frames")
    (folder / "sample" / "fluorescence").rename(folder / "stained")
    (folder / "sample" / "truth.csv").rename(folder / "boxes.csv")
    for label in ("a", "b"):
        (folder / "data" / label).mkdir(parents=True)
        for number in range(4):
            crop = np.random.default_rng(number + 10 * (label == "b")).integers(0, 256, (200, 200), np.uint8)
            cv2.imwrite(str(folder / "data" / label / f"{number}.png"), crop)
    (folder / "key.pem").touch()
    (folder / "run").mkdir()
    (folder / "run" / "config.json").touch()
    profile = run("firmware init --board pi5 --sensor imx477", folder)
    (folder / "device.toml").write_text(profile.stdout, encoding="utf-8")
    assert run("count frames --bundle phantom3 --session", folder).exit_code == 0
    return folder


def run(words: str, folder: Path) -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("LEUKO_HOME", str(folder / "home"))
        return CliRunner().invoke(main, shlex.split(words))


def test_every_command_that_writes_has_a_case() -> None:
    writing = {
        name
        for name, command, _ in commands()
        if {"out", "directory"} & {parameter.name for parameter in command.params}
    }
    assert writing == set(CASES)


@pytest.mark.parametrize("command", CASES)
def test_what_is_there_is_not_replaced(command: str, inputs: Path, tmp_path: Path) -> None:
    words, output, there, remedy = CASES[command]
    folder = tmp_path / "work"
    shutil.copytree(inputs, folder)
    (folder / there).parent.mkdir(exist_ok=True)
    (folder / there).write_text("mine")
    done = run(f"{command.removeprefix('leuko ')} {words}", folder)
    last = done.stderr.splitlines()[-1]
    assert (done.exit_code, done.stdout) == (1, ""), done.stderr
    assert last.startswith(f"Error: {output}")
    assert last.endswith(f"; {remedy}")
    assert (folder / there).read_text() == "mine"
    assert [path.name for path in folder.glob("o*")] == [Path(output).parts[0]]
    if remedy == REPLACE:
        options = next(found for name, found, _ in commands() if name == command).params
        assert "--force" in {name for option in options for name in option.opts}


def test_force_replaces(inputs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "work"
    shutil.copytree(inputs, folder)
    for words, made in (
        ("bundle card phantom3 --out o.html", "o.html"),
        ("count frames --bundle phantom3 --out o", "o/cells.csv"),
        ("evaluate phantom3 cells --out o", "o/evaluation.json"),
        ("data check data --out o", "o/check.csv"),
        ("camera preview simulate --bundle phantom3 --size 400x300 --out o.png", "o.png"),
    ):
        if not (folder / "cells").exists():
            assert run("crops frames boxes.csv --out cells", folder).exit_code == 0
        (folder / made).parent.mkdir(exist_ok=True)
        (folder / made).write_text("old")
        done = run(f"{words} --force", folder)
        assert done.exit_code == 0, done.stderr
        assert (folder / made).read_bytes() != b"old"
