from __future__ import annotations

import csv
import errno
import importlib.util
import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.find.crops import crop_cells
from edge.model.bundle import load_bundle
from edge.simulate.frame import simulate_frame
from train.data import Dataset
from train.evaluate import evaluation, measure, read_wrong_labels
from train.predict import Predictions

MEASURES = {
    "accuracy",
    "precision",
    "recall",
    "f1",
    "confusion",
    "labels",
    "cells",
    "intervals",
    "sampling",
    "calibration_error",
    "calibration",
    "brier_score",
    "coverage",
    "reject",
}
KEYS = MEASURES | {
    *("unanimous", "without", "test_time_views", "trained_on", "model", "data", "notices", "use", "software")
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Crops of one simulated frame in class folders, of 20 "patients"; no monocyte, and one wrong label."""
    folder = tmp_path_factory.mktemp("data")
    frame = simulate_frame(0)
    truth = [t for t in frame.truth if not (t.cell.touching or t.cell.border) and t.label != "monocyte"]
    boxes = [t.cell for t in truth]
    rows = ["path,label,group"]
    for k, (t, crop) in enumerate(zip(truth, crop_cells(frame.image, boxes), strict=True)):
        label = "erythrocyte" if k == 0 else t.label
        (folder / label).mkdir(exist_ok=True)
        assert cv2.imwrite(str(folder / label / f"{k}.png"), crop)
        rows.append(f"{label}/{k}.png,{label},patient {k % 20}")
    (folder / "cells.csv").write_text("\n".join(rows) + "\n")
    return folder


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["evaluate", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def some_predictions(cells: int, seed: int = 0, **extras: object) -> Predictions:
    """Random probabilities of three classes on grey crops, whose truth is mostly the most probable one."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.full(3, 0.3), cells).astype(np.float32)
    truth = np.where(rng.random(cells) < 0.7, probabilities.argmax(axis=1), rng.integers(0, 3, cells))
    names = tuple(f"a <b>/{k}.png" for k in range(cells))
    crops = rng.integers(0, 255, (cells, 20, 20)).astype(np.uint8)
    dataset = Dataset(crops, truth, ("a <b>", "b", "c"), names, names)
    model = {"kind": "run", "name": "some run", "sha256": "0" * 64}
    return Predictions(dataset, probabilities, model, **extras)  # type: ignore[arg-type]


def test_json_on_real_files(data: Path) -> None:
    code, out, err = run("phantom3", data, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert set(found) == KEYS
    cells = sum(1 for _ in data.glob("*/*.png"))
    assert found["cells"] == cells
    assert 0.9 < found["accuracy"] < 1
    low, high = found["intervals"]["accuracy"]
    assert low <= found["accuracy"] <= high
    assert found["sampling"]["unit"] == "group"
    assert found["sampling"]["units"] == 20
    assert sum(b["cells"] for b in found["calibration"]["reliability"]) == cells
    assert found["coverage"]["curve"][-1]["coverage"] == 1
    assert found["coverage"]["curve"][-1]["accuracy"] == found["accuracy"]
    assert found["model"] == {
        "kind": "bundle",
        "name": "phantom3 2",
        "sha256": load_bundle("phantom3").sha256,
    }
    assert found["reject"]["below"] == load_bundle("phantom3").manifest.reject_below
    assert found["notices"] == ["demonstration model, simulated cells"]
    # no monocyte is in the data: its recall is undefined, not 0
    assert found["recall"]["monocyte"] is None
    assert found["intervals"]["recall"]["monocyte"] is None


def test_the_table(data: Path) -> None:
    code, out, err = run("phantom3", data)
    assert (code, err) == (0, "")
    # no monocyte is in the data, nor was one answered
    assert re.search(r"^monocyte +0 +– +– +–$", out, re.MULTILINE)
    assert re.search(r"^erythrocyte +\d+ +1\.000 \(0\.\d\d–1\.00\) +0\.\d{3} \(", out, re.MULTILINE)
    assert re.search(r"^truth +→ debris +→ erythrocyte ", out, re.MULTILINE)
    assert re.search(r"^accuracy 0\.\d{4} \(0\.\d\d–[01]\.\d\d\) on \d+ cells$", out, re.MULTILINE)
    assert (
        "95 % intervals: Clopper–Pearson on effective numbers of cells, because cells of one of the 20 "
        in out
    )
    assert "expected calibration error 0." in out
    assert "below the bundle's threshold of 0.5" in out
    assert out.endswith("simulated cells\nresearch use only, not for diagnosis\n")


def test_the_folder(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "result"
    code, printed, err = run("phantom3", data, "--json", "--out", out)
    assert (code, err) == (
        0,
        f"written to {out}: evaluation.html, evaluation.json, predictions.csv\n",
    )
    found = json.loads(printed)
    assert json.loads((out / "evaluation.json").read_text()) == found
    with (out / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    labels = found["labels"]
    assert list(rows[0]) == ["path", "truth", "answer", *(f"probability_{label}" for label in labels)]
    # every measure follows from the table
    probabilities = np.array([[row[f"probability_{label}"] for label in labels] for row in rows], np.float32)
    truth = np.array([labels.index(row["truth"]) for row in rows])
    assert [row["answer"] for row in rows] == [labels[k] for k in probabilities.argmax(axis=1)]
    groups = [f"patient {int(Path(row['path']).stem) % 20}" for row in rows]
    again = measure(truth, probabilities, labels, groups, found["reject"]["below"])
    assert json.loads(json.dumps(again)) == {key: found[key] for key in MEASURES}
    page = (out / "evaluation.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    assert 'title="erythrocyte/0.png"><img alt="erythrocyte → granulocyte ' in page
    assert sorted(path.name for path in out.iterdir()) == [
        "evaluation.html",
        "evaluation.json",
        "predictions.csv",
    ]


def test_the_same_cells_give_the_same_bytes(data: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert run("phantom3", data, "--out", tmp_path / name)[0] == 0
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_bundle_needs_the_base_install_only(data: Path) -> None:
    code = (
        "import sys\n"
        "for name in ('keras', 'tensorflow', 'matplotlib', 'cleanlab', 'scipy', 'sklearn'):\n"
        "    sys.modules[name] = None\n"
        "from edge.cli import main\n"
        "main()\n"
    )
    for extra in (["--json"], []):
        words = [
            sys.executable,
            "-c",
            code,
            "evaluate",
            "phantom3",
            str(data),
            "--test-time-views",
            "8",
            *extra,
        ]
        result = subprocess.run(words, capture_output=True, text=True, check=False)
        assert (result.returncode, result.stderr) == (0, "")
        assert "accuracy" in result.stdout


def test_out_without_matplotlib_names_the_extra(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, out, err = run("phantom3", data, "--out", tmp_path / "result")
    assert (code, out) == (1, "")
    assert err == "Error: leuko evaluate --out needs the train extra: pip install 'leuko-edge[train]'\n"
    assert not (tmp_path / "result").exists()


def test_without_wrong_labels_every_measure_is_repeated(data: Path, tmp_path: Path) -> None:
    every = json.loads(run("phantom3", data, "--json")[1])
    doubts = tmp_path / "doubts.csv"
    names = sorted(path.relative_to(data).as_posix() for path in data.glob("*/*.png"))
    mistaken = "erythrocyte/0.png"
    rows = [f"{names[0]}, Wrong ,x\n", f"{names[1]},right,\n", f"{names[2]},,\n", f"{mistaken},wrong,\n"]
    doubts.write_text("path,verdict,note\n" + "".join(rows))
    out = tmp_path / "result"
    code, printed, _ = run("phantom3", data, "--json", "--without", doubts, "--out", out)
    assert code == 0
    found = json.loads(printed)
    without = found["without"]
    assert set(without) == MEASURES | {"left_out"}
    assert sorted(without["left_out"]) == [names[0], mistaken]
    assert without["cells"] == every["cells"] - 2
    assert every["accuracy"] < without["accuracy"] == 1
    assert {key: found[key] for key in KEYS - {"without"}} == {key: every[key] for key in KEYS - {"without"}}
    table = run("phantom3", data, "--without", doubts)[1]
    assert f"on {every['cells']} cells" in table
    assert "without 2 labels that a person marked as wrong:" in table
    assert f"on {every['cells'] - 2} cells" in table
    page = (out / "evaluation.html").read_text()
    assert "Without labels that are plainly wrong" in page
    assert f"all {every['cells']:,} cells" in page
    assert page.count(f'title="{names[0]}"') >= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"path,doubt\na.png,1\n", ": column verdict is missing"),
        (
            b"path,verdict\nelse/1.png,wrong\n",
            ": 'else/1.png' not in the data: give the table of these cells",
        ),
        (b"path,verdict\nx,\ny,\n", ": 'x' and 1 more not in the data: give the table of these cells"),
        (b"path,verdict\n\xff\xfe\n", " is not a CSV file"),
        (b"", ": column path, verdict is missing"),
    ],
)
def test_unusable_verdicts_are_one_line(content: bytes, message: str, data: Path, tmp_path: Path) -> None:
    table = tmp_path / "doubts.csv"
    table.write_bytes(content)
    code, out, err = run("phantom3", data, "--without", table)
    assert (code, out) == (1, "")
    assert err.startswith(f"Error: {table}{message}")
    assert err.count("\n") == 1


def test_verdicts_by_a_spreadsheet(tmp_path: Path) -> None:
    table = tmp_path / "doubts.csv"
    table.write_bytes("\ufeffverdict,path\r\nwrong,é/1.png\r\n,é/2.png\r\n".encode())
    assert read_wrong_labels(table, ["é/2.png", "é/1.png", "é/3.png"]).tolist() == [False, True, False]


def test_all_labels_wrong_is_one_line(data: Path, tmp_path: Path) -> None:
    table = tmp_path / "doubts.csv"
    names = [path.relative_to(data).as_posix() for path in data.glob("*/*.png")]
    table.write_text("path,verdict\n" + "".join(f"{name},wrong\n" for name in names))
    code, _, err = run("phantom3", data, "--without", table)
    assert (code, err) == (1, "Error: every label is marked as wrong: no cell is left to score\n")


def test_bad_input_is_one_line(data: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "data" / "neutrophil"
    foreign.mkdir(parents=True)
    assert cv2.imwrite(str(foreign / "1.png"), np.zeros((200, 200), np.uint8))
    code, _, err = run("phantom3", foreign.parent)
    assert code == 1
    assert err.startswith(f"Error: {foreign.parent}: unknown label neutrophil; known are debris, ")
    code, _, err = run("nothing", data)
    assert code == 1
    assert err.startswith("Error: no bundle nothing: ")
    taken = tmp_path / "file"
    taken.write_text("")
    code, _, err = run("phantom3", data, "--out", taken / "below")
    assert (code, err.count("\n")) == (1, 1)
    assert str(taken) in err
    assert run("phantom3", tmp_path / "absent")[0] == 1


def test_a_full_disk_is_one_line(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib", reason="needs the train extra")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, out, err = run("phantom3", data, "--out", tmp_path)
    assert (code, out) == (1, "")
    full_one = f"Error: {tmp_path / 'predictions.csv'}: No space left on device"
    assert err == f"{full_one}: name a place that can be written with --out\n"


def test_images_of_another_size_are_rescaled(data: Path, tmp_path: Path) -> None:
    for path in data.glob("*/*.png"):
        target = tmp_path / path.parent.name / path.name
        target.parent.mkdir(exist_ok=True)
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        assert cv2.imwrite(str(target), cv2.resize(image, (260, 240)))
    code, out, _ = run("phantom3", tmp_path, "--json")
    assert code == 0
    found = json.loads(out)
    # class folders do not name groups
    assert found["sampling"]["unit"] == "cell"
    assert found["sampling"]["units"] == found["cells"]


def test_test_time_views_give_every_view_the_same_answer(data: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned"
    for path in data.glob("*/*.png"):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert image is not None
        (turned / path.parent.name).mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(turned / path.parent.name / path.name), np.rot90(image[:, ::-1]))
    (turned / "cells.csv").write_text((data / "cells.csv").read_text())
    old_name = "--views"  # scripts keep working with it
    upright, other = (
        json.loads(run("phantom3", folder, old_name, "8", "--json")[1]) for folder in (data, turned)
    )
    assert upright["test_time_views"] == 8
    assert upright["confusion"] == other["confusion"]
    assert upright["brier_score"] == pytest.approx(other["brier_score"], abs=1e-5)
    one = ("--test-time-views", "1", "--json")
    assert run("phantom3", data, *one)[1] != run("phantom3", turned, *one)[1]


def test_the_page_shows_the_most_confident_mistakes_first() -> None:
    pytest.importorskip("matplotlib", reason="needs the train extra")
    from train.report.evaluation import MISTAKES, evaluation_page

    predictions = some_predictions(400)
    found = evaluation(predictions, "some data")
    page = evaluation_page(predictions, found)
    mistakes = predictions.mistakes
    assert len(mistakes) > MISTAKES
    assert (np.diff(predictions.confidence[mistakes]) <= 0).all()
    assert f"The most confident first, {MISTAKES} of {len(mistakes)}" in page
    shown = re.findall(r'<figure title="a &lt;b&gt;/(\d+)\.png"><img alt="([^"]*)"', page)
    assert [int(number) for number, _ in shown] == mistakes[:MISTAKES].tolist()
    labels, k = predictions.dataset.labels, mistakes[0]
    truth, answer = labels[predictions.dataset.truth[k]], labels[predictions.answers[k]]
    expected = f"{truth} → {answer} {predictions.confidence[k]:.2f} {k}.png"
    assert shown[0][1] == expected.replace("<", "&lt;").replace(">", "&gt;")
    assert "<b>" not in page
    assert page.count("<svg") == 2


def test_a_page_without_a_mistake() -> None:
    pytest.importorskip("matplotlib", reason="needs the train extra")
    from train.report.evaluation import evaluation_page

    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 0]]
    names = ("1", "2", "3")
    crops = np.zeros((3, 8, 8), np.uint8)
    dataset = Dataset(crops, probabilities.argmax(axis=1), ("a", "b", "c"), names, names)
    model = {"kind": "run", "name": "some run", "sha256": "0" * 64}
    predictions = Predictions(dataset, probabilities, model)
    found = evaluation(predictions, "some data")
    assert found["reject"] is None
    assert found["calibration_error"] == 0
    page = evaluation_page(predictions, found)
    assert "Every answer is right" in page
    # three right answers do not exclude mistakes
    assert "1.000 (0.29–1.00)" in page


@pytest.mark.parametrize(("pixel_um", "noticed"), [(None, False), (0.102, False), (0.2, True)])
def test_crops_of_another_scale_get_a_notice(pixel_um: float | None, noticed: bool) -> None:
    predictions = some_predictions(30, pixel_um=0.1)
    scaled = replace(predictions, dataset=replace(predictions.dataset, pixel_um=pixel_um))
    notices = evaluation(scaled, "some data")["notices"]
    assert any("a pixel is 0.2 µm wide here and 0.1 µm in" in notice for notice in notices) is noticed


def test_notices() -> None:
    found = evaluation(some_predictions(30, trained_on=20, notice="made up"), "some data")
    assert found["notices"] == [
        "made up",
        "the model was trained on 20 of these 30 cells: the scores say little about new cells",
    ]
    predictions = some_predictions(30)
    one_group = replace(predictions.dataset, groups=("slide",) * 30)
    alone = evaluation(replace(predictions, dataset=one_group), "some data")
    assert alone["intervals"]["accuracy"] is None
    assert alone["notices"] == [
        "all cells are of one group: how groups differ is unknown, so there are no intervals"
    ]
    few_groups = replace(predictions.dataset, groups=tuple(f"patient {k % 19}" for k in range(30)))
    few = evaluation(replace(predictions, dataset=few_groups), "some data")
    assert few["intervals"]["accuracy"] is None
    assert few["notices"] == [
        "the cells are of 19 groups, and how groups differ shows from 20 on: there are no intervals"
    ]


def test_rejecting_keeps_the_answers_at_the_threshold() -> None:
    truth = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.5, 0.5], [0.75, 0.25], [0.75, 0.25], [0.125, 0.875]], np.float32)
    found = measure(truth, probabilities, ["a", "b"], list("wxyz"), reject_below=0.75)
    assert found["reject"] == {"below": 0.75, "rejected": 1, "coverage": 0.75, "accuracy": 2 / 3}
    none_left = measure(truth, probabilities, ["a", "b"], list("wxyz"), reject_below=0.9)
    assert none_left["reject"] == {"below": 0.9, "rejected": 4, "coverage": 0.0, "accuracy": None}


def test_a_long_coverage_curve_is_thinned() -> None:
    predictions = some_predictions(1000)
    curve = evaluation(predictions, "some data")["coverage"]["curve"]
    assert len(curve) == 100
    assert curve[0]["coverage"] == pytest.approx(0.01)
    assert curve[-1]["coverage"] == 1
    kept = predictions.confidence >= curve[29]["threshold"]
    assert curve[29]["coverage"] == pytest.approx(kept.mean())


def test_where_readers_agree_is_scored_apart_and_where_none_leads_not_at_all(
    data: Path, tmp_path: Path
) -> None:
    """The one wrong label is outvoted, one cell is left open, another is the same to two of three."""
    with (data / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row |= {"path": str(data / row["path"]), "reader1": row["label"], "reader2": row["label"]}
    rows[0] |= {"reader1": "lymphocyte", "reader2": "lymphocyte"}
    rows[1]["reader1"], rows[1]["reader2"] = "monocyte", "erythrocyte"
    assert rows[1]["label"] not in ("monocyte", "erythrocyte")
    rows[2]["reader2"] = "monocyte"
    table = tmp_path / "read.csv"
    with table.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    code, out, err = run("phantom3", table, "--json", "--out", tmp_path / "out")
    assert code == 0, err
    found = json.loads(out)
    assert found["cells"] == len(rows) - 1
    assert found["unanimous"]["cells"] == len(rows) - 3
    assert found["unanimous"]["accuracy"] == 1
    assert "1 cell is left out: their readers settle on no label" in found["notices"]
    words = f"on the {len(rows) - 3} cells that all of their readers call the same"
    assert words in (tmp_path / "out" / "evaluation.html").read_text()
    assert words in " ".join(run("phantom3", table)[1].split())
