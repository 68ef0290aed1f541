from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.cli import COMMANDS
from train.cli.crops import crops
from train.cli.evaluate import evaluate
from train.cli.train import train
from train.images import write_png

LABELS = ("bright", "dark")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    for label, grey in zip(LABELS, (200, 50), strict=True):
        (folder / label).mkdir(parents=True)
        for k in range(6):
            image = np.random.default_rng(k).normal(grey, 9, (200, 200)).clip(0, 255).astype(np.uint8)
            assert cv2.imwrite(str(folder / label / f"{k}.png"), image)
    return folder


def test_the_modules_import_nothing_heavy() -> None:
    modules = ", ".join(
        sorted({command.module for command in COMMANDS.values() if command.module.startswith("train.")})
    )
    code = f"import sys, {modules}; print({{'keras', 'tensorflow', 'matplotlib'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"


def test_train_then_evaluate(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("keras", reason="needs the train extra")
    run = str(tmp_path / "run")
    options = ["--width", "0.05", "--epochs", "1", "--batch", "4", "--validation-fraction", "0"]
    options += ["--balance", "1"]
    first = CliRunner().invoke(train, [str(data), "--out", run, *options])
    assert (first.exit_code, first.stdout) == (0, "")
    assert first.stderr.splitlines()[-1].startswith("epoch 1/1  loss ")
    again = CliRunner().invoke(train, [str(data), "--out", run, *options])
    assert (again.exit_code, again.stderr) == (0, f"{run} was finished before\n")
    other = CliRunner().invoke(train, [str(data), "--out", run, *options, "--seed", "1"])
    assert other.exit_code == 1
    assert other.stderr == f"Error: {run} was started with another seed; give another name\n"

    folds = CliRunner().invoke(train, [str(data), "--out", run, *options, "--folds", "2"])
    assert folds.exit_code == 0, folds.stderr
    assert json.loads((tmp_path / "run" / "config.json").read_text())["recipe"]["balance"] == 1
    *_, last_fold, _ = folds.stderr.splitlines()
    assert last_fold.startswith("fold 2/2, epoch 1/1  loss ")
    assert (tmp_path / "run" / "out_of_fold.csv").is_file()

    result = CliRunner().invoke(evaluate, [run, str(data), "--json"])
    assert result.exit_code == 0
    scores = json.loads(result.stdout)
    assert (scores["labels"], scores["cells"]) == (list(LABELS), 12)
    assert scores["model"]["kind"] == "run"
    assert scores["notices"] == [
        "the model was trained on 12 of these 12 cells: the scores say little about new cells"
    ]
    table = CliRunner().invoke(evaluate, [run, str(data)])
    assert "accuracy" in table.stdout
    assert "→ bright" in table.stdout


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_the_missing_extra_is_named(
    command: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    arguments = {"train": [str(data), "--out", str(tmp_path / "run")], "evaluate": [str(tmp_path), str(data)]}
    result = CliRunner().invoke({"train": train, "evaluate": evaluate}[command], arguments[command])
    assert result.exit_code == 1
    assert result.stderr == f"Error: leuko {command} needs the train extra: pip install 'leuko-edge[train]'\n"


@pytest.mark.parametrize("options", [[], ["--validation-fraction", "0"], ["--folds", "2"]])
def test_one_class_is_refused_in_one_line(tmp_path: Path, options: list[str]) -> None:
    for k in range(4):
        write_png(tmp_path / "data" / "granulocyte" / f"{k}.png", np.full((200, 200), 40 * k, np.uint8))
    words = [str(tmp_path / "data"), "--out", str(tmp_path / "run"), *options]
    done = CliRunner().invoke(train, words)
    reason = "fewer than two classes (granulocyte): there is nothing to tell apart"
    assert (done.exit_code, done.stderr) == (1, f"Error: {reason}\n")
    assert not (tmp_path / "run").exists()


def test_usage_errors(data: Path, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "run")]
    both = CliRunner().invoke(
        train, [str(data), *out, "--validation", str(data), "--validation-fraction", "0.1"]
    )
    assert both.exit_code == 2
    narrow = CliRunner().invoke(train, [str(data), *out, "--network", "hep2", "--width", "0.5"])
    assert narrow.exit_code == 1
    assert narrow.stderr == "Error: hep2 has no width factor: leave --width out\n"
    paper = CliRunner().invoke(train, [str(data), *out, "--recipe", "paper", "--balance", "1"])
    assert paper.exit_code == 2
    assert "no --balance" in paper.stderr
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("frame,label,xmin,ymin,xmax,ymax\n")
    renamed = CliRunner().invoke(crops, [str(data), str(boxes), *out, "--rename", "WBC"])
    assert renamed.exit_code == 2
    assert "OLD=NEW" in renamed.stderr


def test_crops(data: Path, tmp_path: Path) -> None:
    boxes = tmp_path / "boxes.csv"
    boxes.write_text("frame,label,xmin,ymin,xmax,ymax\n0.png,WBC,10,10,90,90\n0.png,RBC,50,50,99,99\n")
    out = tmp_path / "cut"
    arguments = [str(data / "bright"), str(boxes), "--out", str(out), "--rename", "WBC=leukocyte,RBC=other"]
    result = CliRunner().invoke(crops, arguments)
    assert (result.exit_code, result.stdout) == (0, "leukocyte: 1\nother: 1\n")
    assert (out / "leukocyte" / "0_0000.png").is_file()
    again = CliRunner().invoke(crops, arguments)
    assert again.exit_code == 1
    assert again.stderr == f"Error: {out} holds other files; give another name\n"
