from __future__ import annotations

import csv
import json
import re
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

pytest.importorskip("keras", reason="needs the train extra")

from train.cli.study import study
from train.fit import FitObserver, fit
from train.recipe import TrainingJob
from train.study import STUDIES
from train.study import results as read
from train.study import runs as source

LABELS = ("bright", "dark")
FIGURES = {"loss.svg", "accuracy.svg", "scores.svg", "channels.svg"}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("study") / "data"
    for label, grey in zip(LABELS, (200, 50), strict=True):
        (folder / label).mkdir(parents=True)
        for k in range(5):
            image = np.random.default_rng(k).normal(grey, 9, (200, 200)).clip(0, 255).astype(np.uint8)
            assert cv2.imwrite(str(folder / label / f"{k}.png"), image)
    return folder


@pytest.fixture(scope="module")
def patch() -> Any:
    with pytest.MonkeyPatch.context() as context:
        yield context


def invoke(data: Path, out: Path, *options: str) -> Result:
    arguments = ["ablation", str(data), "--out", str(out), "--seeds", "1", "--width", "0.05", "--epochs", "2"]
    return CliRunner().invoke(study, [*arguments, *options])


@pytest.fixture(scope="module")
def calls(data: Path, patch: pytest.MonkeyPatch) -> tuple[Path, Result, Result]:
    """The folder of a study that was stopped within its second run, the first and the second call."""
    patch.setitem(STUDIES, "ablation", ("fusion", "ablation3"))
    out = data.parent / "study"

    def stopped(job: TrainingJob, run: Path, observer: FitObserver) -> None:
        if run.name == "ablation3-s0":
            observer = replace(observer, on_epoch=lambda row: (_ for _ in ()).throw(KeyboardInterrupt))
        fit(job, run, observer)

    patch.setattr(source, "fit", stopped)
    first = invoke(data, out, "--note", "simulated & small")
    assert (out / "study.md").is_file()  # a half-finished study shows what it has
    assert "Unfinished: 1 of 2 runs." in (out / "study.md").read_text()
    assert (out / "runs" / "ablation3-s0" / "checkpoint.keras").is_file()
    patch.setattr(source, "fit", fit)
    return out, first, invoke(data, out, "--note", "simulated & small")


def test_a_stopped_study_resumes_within_the_run(calls: tuple[Path, Result, Result]) -> None:
    out, first, second = calls
    assert first.exit_code == 1
    assert second.exit_code == 0, second.output
    epochs = re.findall(r"^(\S+) ×0.05 seed (\d)  epoch (\d)/2  loss", second.stderr, re.MULTILINE)
    assert epochs == [("ablation3", "0", "2")]
    assert f"{out / 'runs' / 'ablation3-s0'} finished, 2 of 2" in second.stderr
    assert not list(out.glob("runs/*/checkpoint.keras"))


def test_a_finished_study_is_only_read(data: Path, calls: tuple[Path, Result, Result]) -> None:
    out = calls[0]
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    again = invoke(data, out, "--note", "simulated & small", "--json")
    assert again.exit_code == 0
    assert again.stderr == ""
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before
    summary = json.loads(again.stdout)
    assert summary["runs"] == {"finished": 2, "planned": 2}
    assert summary["networks"]["fusion"]["lead_points"] is None
    assert summary["networks"]["ablation3"]["paper_lead_points"] == 1.31
    assert summary["networks"]["ablation3"]["lead_points"]["n"] == 1


def test_tables_agree_with_the_run_folders(calls: tuple[Path, Result, Result]) -> None:
    out, _, second = calls
    with (out / "study.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["network"], row["seed"]) for row in rows] == [("fusion", "0"), ("ablation3", "0")]
    for row in rows:
        run = out / "runs" / f"{row['network']}-s{row['seed']}"
        scores = json.loads((run / "metrics.json").read_text())
        with (run / "history.csv").open(newline="") as file:
            history = [float(epoch["validation_accuracy"]) for epoch in csv.DictReader(file)]
        assert float(row["validation_accuracy"]) == pytest.approx(scores["accuracy"], abs=1e-6)
        assert float(row["mean_validation_accuracy"]) == pytest.approx(np.mean(history), abs=1e-5)
        recall = scores["recall"]["dark"]
        assert row["recall_dark"] == ("" if recall is None else f"{recall:.6f}")
        assert (row["epochs"], row["crop_px"], row["width"]) == ("2", "200", "0.05")
    assert "fusion leads by" in second.stdout
    splits = {(run / "split.csv").read_text() for run in out.glob("runs/*")}
    assert splits == {(out / "split.csv").read_text()}  # one split for all


def test_page_and_figures(calls: tuple[Path, Result, Result]) -> None:
    out = calls[0]
    assert {path.name for path in out.glob("*.svg")} == FIGURES
    for figure in out.glob("*.svg"):
        ET.fromstring(figure.read_text())
        assert figure.stat().st_size < 60_000
    markdown, page = (out / "study.md").read_text(), (out / "study.html").read_text()
    for name in FIGURES:
        assert f"({name})" in markdown
    assert page.count("<svg") == len(FIGURES)
    assert "> simulated & small" in markdown
    assert "simulated &amp; small" in page
    assert "Unfinished" not in markdown
    for text in ("research use only", "×0.05", "0.05 times the paper&#x27;s channels"):
        assert text.lower() in page.lower()


def test_other_settings_are_one_line(data: Path, tmp_path: Path, calls: tuple[Path, Result, Result]) -> None:
    out = calls[0]
    other = invoke(data, out, "--width", "0.1")
    assert other.exit_code == 1
    assert other.stderr == f"Error: {out} was started with another width; give another name\n"
    changed = invoke(data, out, "--validation", str(data))
    assert changed.exit_code == 1
    assert (
        changed.stderr == f"Error: {out} was started with another training, validation; give another name\n"
    )
    (tmp_path / "letter.txt").write_text("dear reader")
    foreign = invoke(data, tmp_path)
    assert foreign.stderr == f"Error: {tmp_path} holds other files; give another name\n"
    (tmp_path / "empty").mkdir()
    empty = invoke(tmp_path / "empty", tmp_path / "new")
    assert empty.exit_code == 1
    assert empty.stderr.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_the_maps_are_those_that_are_vectorised(calls: tuple[Path, Result, Result]) -> None:
    maps = read.last_maps(calls[0] / "runs" / "fusion-s0", channels=5)
    assert maps.shape == (2, 5, 7, 7)
    assert (maps >= 0).all()
    assert maps.any()
