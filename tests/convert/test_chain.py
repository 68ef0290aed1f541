"""A bundle's answers to annotated frames: what it misses, mistakes and invents becomes part of it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge.cli import main
from edge.model import load_bundle

FRAMES = 2


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample")
    words = ["simulate", str(folder), "--frames", str(FRAMES), "--seed", "3", "--force"]
    assert CliRunner().invoke(main, words).exit_code == 0
    return folder


def rows_of(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(table: Path, rows: list[dict[str, str]]) -> Path:
    with table.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return table


def validate(frames: Path, boxes: Path, out: Path, *more: str) -> Result:
    words = ["bundle", "validate", "phantom3", str(frames), str(boxes), "--out", str(out), *more]
    return CliRunner().invoke(main, words)


def test_every_annotated_cell_has_an_answer_or_is_missed(sample: Path, tmp_path: Path) -> None:
    out, truth = tmp_path / "b.tflite", rows_of(sample / "truth.csv")
    columns = ("frame", "label", "x", "y", "width", "height")
    invented = {"frame": truth[0]["frame"], "label": "Granulo", "x": "2", "y": "2"}
    gone = next(row for row in truth if row["label"] == "lymphocyte")
    annotated = [
        invented | {"width": "9", "height": "9"},
        *({name: row[name] for name in columns} for row in truth if row is not gone),
    ]
    boxes = write(tmp_path / "boxes.csv", annotated)
    done = validate(sample / "frames", boxes, out, "--rename", "Granulo=granulocyte", "--json")
    assert done.exit_code == 0, done.output
    old, bundle = load_bundle("phantom3"), load_bundle(out)
    answers = bundle.manifest.answers
    assert answers is not None
    assert answers.frames == FRAMES
    assert json.loads(done.stdout)["answers"]["missed"] == list(answers.missed)
    labels = bundle.manifest.labels
    cells = Counter(row["label"].replace("Granulo", "granulocyte") for row in annotated)
    found = {
        k: sum(row) + missed for k, row, missed in zip(labels, answers.cells, answers.missed, strict=True)
    }
    assert found == cells
    assert answers.missed[labels.index("granulocyte")] >= 1  # the one that is not there
    assert sum(answers.false) >= 1  # the one that nobody annotated
    right = np.trace(np.array(answers.cells)[:, :-1]) / np.sum(answers.cells)
    assert right > 0.9
    assert (bundle.flatbuffer, bundle.manifest.confusion) == (old.flatbuffer, old.manifest.confusion)


def test_frames_that_nobody_annotated_and_unknown_labels_are_refused(sample: Path, tmp_path: Path) -> None:
    truth, out = rows_of(sample / "truth.csv"), tmp_path / "b.tflite"
    first = [row for row in truth if row["frame"] == truth[0]["frame"]]
    done = validate(sample / "frames", write(tmp_path / "one.csv", first), out)
    assert done.exit_code == 1
    assert "has no box in" in done.stderr
    strange = write(tmp_path / "strange.csv", [dict(truth[0]) | {"label": "WBC"}])
    done = validate(sample / "frames", strange, out)
    assert done.exit_code == 1
    assert "WBC is no label of the bundle" in done.stderr
    assert "pass --rename" in done.stderr
    assert not out.exists()
