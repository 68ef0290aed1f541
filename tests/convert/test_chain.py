"""A bundle's answers to annotated frames: what it misses, mistakes and invents becomes part of it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result

from benchmarks.whole_chain import Chain
from edge.classify import Classifier
from edge.cli import main
from edge.model import load_bundle
from train.boxes import MOST_BOXES, of_frames, read_boxes

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


def test_frames_of_one_name_in_two_folders_have_their_own_boxes(sample: Path, tmp_path: Path) -> None:
    """As the same frames under two names; boxes that may be of either are refused."""
    truth, names = rows_of(sample / "truth.csv"), {}
    for k, frame in enumerate(sorted((sample / "frames").iterdir())):
        moved = tmp_path / f"p{k}" / "0001.png"
        moved.parent.mkdir()
        moved.symlink_to(frame)
        names[frame.name] = f"p{k}/0001.png"
    columns = ("label", "x", "y", "width", "height")
    rows = [
        {"frame": names[Path(row["frame"]).name]} | {name: row[name] for name in columns} for row in truth
    ]
    out, frames = tmp_path / "b.tflite", str(tmp_path / "p1")
    boxes = write(tmp_path / "boxes.csv", rows)
    assert validate(tmp_path / "p0", boxes, out).exit_code == 0
    one = load_bundle(out).manifest.answers
    words = ["bundle", "validate", "phantom3", str(tmp_path / "p0"), frames, str(boxes), "--out", str(out)]
    assert CliRunner().invoke(main, [*words, "--force"]).exit_code == 0
    both = load_bundle(out).manifest.answers
    assert validate(sample / "frames", sample / "truth.csv", out, "--force").exit_code == 0
    same = load_bundle(out).manifest.answers
    assert one is not None
    assert both is not None
    assert same is not None
    assert (both.cells, both.missed, both.false) == (same.cells, same.missed, same.false)
    assert one.validated == sum(row["frame"] == "p0/0001.png" for row in rows)
    # boxes of one of them alone are not the other's
    write(boxes, [row for row in rows if row["frame"] == "p0/0001.png"])
    done = CliRunner().invoke(main, [*words, "--force"])
    assert done.exit_code == 1
    assert f"has no box in {frames}/0001.png" in done.stderr
    write(boxes, [row | {"frame": "0001.png"} for row in rows])
    done = CliRunner().invoke(main, [*words, "--force"])
    assert done.exit_code == 1
    assert "0001.png may be" in done.stderr
    # those of another patient, alone
    write(boxes, [row for row in rows if row["frame"] == "p1/0001.png"])
    done = validate(tmp_path / "p0", boxes, out, "--force")
    assert "Warning: the boxes seem to miss the cells" in done.stderr


@pytest.mark.parametrize("moved_px", [0, 3])
def test_a_cell_that_the_table_lists_twice_is_refused(sample: Path, tmp_path: Path, moved_px: int) -> None:
    truth, out = rows_of(sample / "truth.csv"), tmp_path / "b.tflite"
    truth = [{name: row[name] for name in ("frame", "label", "x", "y", "width", "height")} for row in truth]
    again = truth[5] | {"x": str(int(truth[5]["x"]) + moved_px), "label": "monocyte"}
    done = validate(sample / "frames", write(tmp_path / "boxes.csv", [*truth, again]), out)
    assert done.exit_code == 1
    assert f"lies on another, at x {again['x']}, y {again['y']}: give each cell one row" in done.stderr
    assert not out.exists()


def test_the_pixel_size_is_that_of_the_table_else_of_the_files(sample: Path, tmp_path: Path) -> None:
    """Frames at half the bundle's size."""
    folder, out, rows = tmp_path / "half", tmp_path / "b.tflite", rows_of(sample / "truth.csv")
    folder.mkdir()
    for path in (sample / "frames").iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        half = cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        cv2.imwrite(str(folder / path.name), half)
    edges = ("x", "y", "width", "height")
    halves = [
        {"frame": row["frame"], "label": row["label"]} | {name: str(int(row[name]) // 2) for name in edges}
        for row in rows
    ]
    um = 2 * load_bundle("phantom3").manifest.pixel_um
    stated = write(tmp_path / "stated.csv", [row | {"pixel_um": str(um)} for row in halves])
    done = validate(folder, stated, out)
    assert done.exit_code == 0, done.output
    assert f"pixel {um:.4g} µm, from the table" in done.stderr
    answers = load_bundle(out).manifest.answers
    assert answers is not None
    assert answers.missed[1:] == (0, 0, 0, 0)  # of debris, some is too small for a cell
    for path in folder.iterdir():
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        tifffile.imwrite(
            path.with_suffix(".ome.tif"), image, metadata={"PhysicalSizeX": um, "PhysicalSizeY": um}
        )
        path.unlink()
    renamed = [row | {"frame": row["frame"].replace(".png", ".ome.tif")} for row in halves]
    done = validate(folder, write(tmp_path / "silent.csv", renamed), out, "--force")
    assert done.exit_code == 0, done.output
    assert f"pixel {um:.4g} µm, from the files" in done.stderr
    assert load_bundle(out).manifest.answers.missed == answers.missed  # type: ignore[union-attr]  # as before
    wrong = write(tmp_path / "wrong.csv", [row | {"pixel_um": "0.125"} for row in renamed])
    done = validate(folder, wrong, out, "--force")
    assert done.exit_code == 1
    assert "pass the right one as --pixel-um" in done.stderr
    done = validate(folder, wrong, out, "--force", "--pixel-um", str(um))
    assert done.exit_code == 0, done.output
    assert "pixel_um of the table is 0.125, and" in done.stderr


def test_a_frame_of_too_many_boxes_is_refused(sample: Path, tmp_path: Path) -> None:
    box = {"frame": "frame_0001.png", "label": "lymphocyte", "x": "1", "y": "1", "width": "9", "height": "9"}
    boxes = write(tmp_path / "boxes.csv", [box] * (MOST_BOXES + 1))
    done = validate(sample / "frames", boxes, tmp_path / "b.tflite")
    assert done.exit_code == 1
    assert "5,001 boxes in frame_0001.png" in done.stderr


def test_the_majority_of_several_readers_is_the_truth(sample: Path, tmp_path: Path) -> None:
    """Readers outvote the label of one lymphocyte, and settle on nothing for another, found or not."""
    out, truth = tmp_path / "b.tflite", rows_of(sample / "truth.csv")
    columns = ("frame", "label", "x", "y", "width", "height")
    rows = [{name: row[name] for name in columns} | {"reader1": row["label"], "reader2": ""} for row in truth]
    lymphocytes = [row for row in rows if row["label"] == "lymphocyte"]
    outvoted, open_one = lymphocytes[:2]
    outvoted |= {"label": "monocyte", "reader1": "Lympho", "reader2": "Lympho"}
    open_one |= {"reader1": "monocyte", "reader2": "granulocyte"}
    nowhere = {"frame": rows[0]["frame"], "label": "monocyte", "reader1": "granulocyte", "reader2": ""}
    rows.append(nowhere | {"x": "2", "y": "2", "width": "9", "height": "9"})
    boxes = write(tmp_path / "boxes.csv", rows)
    done = validate(sample / "frames", boxes, out, "--rename", "Lympho=lymphocyte", "--json")
    assert done.exit_code == 0, done.output
    several = load_bundle(out).manifest.answers
    alone = write(tmp_path / "alone.csv", [{name: row[name] for name in columns} for row in truth])
    assert validate(sample / "frames", alone, tmp_path / "c.tflite", "--json").exit_code == 0
    one = load_bundle(tmp_path / "c.tflite").manifest.answers
    assert several is not None
    assert one is not None
    assert several.source.endswith(f"{FRAMES} frames, majority of 3 readings")
    assert one.validated - several.validated == 1  # the one that they leave open
    assert (several.missed, several.false) == (one.missed, one.false)
    lymphocyte = load_bundle(out).manifest.labels.index("lymphocyte")
    lost = np.array(one.cells) - np.array(several.cells)
    assert lost.sum() == lost[lymphocyte].sum() == 1


def test_the_benchmark_of_the_chain_agrees(sample: Path, tmp_path: Path) -> None:
    """Its cells called right are the diagonal of the bundle's answers, wherever none is rejected."""
    truth = rows_of(sample / "truth.csv")
    rows = [row | {"reader1": row["label"]} for row in truth]
    rows[0]["reader1"] = next(row["label"] for row in rows if row["label"] != rows[0]["label"])
    boxes = write(tmp_path / "boxes.csv", rows)
    chain = Chain(Classifier(load_bundle("phantom3")), of_frames(read_boxes(boxes), [sample / "frames"]), 0.3)
    chain.run([str(sample / "frames")])
    found = chain.summary()
    annotated = sum(row["annotated"] for row in found["labels"].values())
    assert annotated == len(truth) - 1  # one is left open
    assert found["unanimous"]["cells"] == len(truth) - 1
    assert found["unanimous"]["accuracy"] > 0.9
    assert found["unanimous"]["interval"] is None  # of two frames
    assert validate(sample / "frames", boxes, tmp_path / "b.tflite").exit_code == 0
    answers = load_bundle(tmp_path / "b.tflite").manifest.answers
    assert answers is not None
    right = [row["right"] for row in found["labels"].values()]
    assert right == np.diagonal(np.array(answers.cells)[:, :-1]).tolist()
