"""``leuko count`` as an operator types it, with good and bad input."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from edge.cli import main
from edge.simulate import Scene, simulate

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared" / "data"


def leuko(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edge.cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )


@pytest.fixture(scope="module")
def plain(sample: Path) -> dict[str, Any]:
    """What a count of the sample prints with --json."""
    done = leuko("count", "--bundle", "phantom3", sample, "--json")
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sample") / "sample"
    scene = Scene(width_px=1200, height_px=1000, leukocytes=18, erythrocytes=6, debris=5)
    list(simulate(folder, frames=2, seed=4, scene=scene))
    return folder / "frames"


def test_counting_a_folder(sample: Path, tmp_path: Path) -> None:
    done = leuko("count", "--bundle", "phantom3", sample, "--out", tmp_path / "result", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert summary["frames"] == {"read": 2, "failed": [], "unlisted": {}}
    assert summary["cells"] == sum(summary["counts"].values()) + summary["rejected"] > 30
    assert summary["notice"] == "demonstration model, simulated cells"
    assert sum(f["value"] for f in summary["fractions"].values()) == pytest.approx(1)
    for fraction in summary["fractions"].values():
        assert 0 <= fraction["low"] < fraction["value"] < fraction["high"] <= 1
    with (tmp_path / "result" / "cells.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == summary["cells"]
    assert list(rows[0]) == [
        *("frame", "x", "y", "width", "height", "label", "probability"),
        *("likeliest", "rejected_by", *(f"p_{label}" for label in summary["counts"])),
        "pixel_um",
    ]
    assert {row["pixel_um"] for row in rows} == {"0.125"}
    assert json.loads((tmp_path / "result" / "summary.json").read_text())["counts"] == summary["counts"]
    page = (tmp_path / "result" / "report.html").read_text()
    assert "demonstration model, simulated cells" in page
    assert "research use only" in page.lower()
    assert len(list((tmp_path / "result" / "annotated").iterdir())) == 2

    again = leuko("count", "--bundle", "phantom3", sample, "--out", tmp_path / "result")
    assert again.returncode == 1
    assert "holds a count; give another name, or pass --force" in again.stderr
    forced = leuko("count", "--bundle", "phantom3", sample, "--out", tmp_path / "result", "--force", "--json")
    assert json.loads(forced.stdout)["identifier"] == summary["identifier"]
    other = leuko("count", "--bundle", "phantom3", sample, "--reject-below", "0.9", "--json")
    assert json.loads(other.stdout)["identifier"] != summary["identifier"]


def test_the_table_says_what_it_is(sample: Path) -> None:
    done = leuko("count", "--bundle", "phantom3", sample)
    assert done.returncode == 0, done.stderr
    for words in ("granulocyte", "95 % interval", "demonstration model", "research use only"):
        assert words in done.stdout
    assert "--pixel-um" in done.stderr


def test_bad_files_are_reported_and_the_rest_is_counted_the_same(
    sample: Path, plain: dict[str, Any], tmp_path: Path
) -> None:
    whole = (sample / "frame_0001.png").read_bytes()
    for name, content in {
        "a_cut.png": whole[: len(whole) // 2],
        "b_empty.png": b"",
        "c_text.jpg": b"not an image",
        "d_frame.png": whole,
        "e_frame.png": (sample / "frame_0002.png").read_bytes(),
        "f_flipped.png": whole[:5000] + bytes([whole[5000] ^ 1]) + whole[5001:],
    }.items():
        (tmp_path / name).write_bytes(content)
    done = leuko("count", "--bundle", "phantom3", tmp_path, "--json")
    assert done.returncode == 3
    summary = json.loads(done.stdout)
    assert summary["counts"] == plain["counts"]
    assert summary["identifier"] == plain["identifier"]
    assert [Path(f["name"]).name for f in summary["frames"]["failed"]] == [
        "a_cut.png",
        "b_empty.png",
        "c_text.jpg",
        "f_flipped.png",
    ]
    assert all(f["reason"] for f in summary["frames"]["failed"])


@pytest.mark.parametrize(
    ("words", "code", "reason"),
    [
        (("absent",), 1, "absent"),
        ((ROOT / "pyproject.toml",), 1, "not a PNG"),
        ((ROOT / "edge",), 1, "without images"),
        (("absent", "--bundle", "nonesuch"), 1, "no bundle nonesuch"),
        (("absent", "--bundle", ROOT / "pyproject.toml"), 1, "not a TFLite model"),
        (("absent", "--pixel-um", "0"), 2, "--pixel-um"),
        (("absent", "--reject-below", "nan"), 2, "not a finite number"),
        (("absent", "--max-diameter-um", "inf"), 2, "not a finite number"),
        (("",), 2, "empty name"),
        (("absent", "--out", ""), 2, "empty name"),
        ((), 2, "SOURCE"),
    ],
)
def test_bad_input_gets_one_line(words: tuple[str | Path, ...], code: int, reason: str) -> None:
    done = CliRunner().invoke(main, ["count", "--bundle", "phantom3", *map(str, words)])
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == code
    assert done.stdout == ""
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert reason in errors[0]


def test_reasons_are_in_the_json_even_when_nothing_was_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    done = leuko("count", "--bundle", "phantom3", tmp_path, "--out", tmp_path / "result", "--json")
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    assert summary["frames"]["read"] == 0
    assert summary["frames"]["failed"][0]["reason"] == "the file is empty"
    assert not list((tmp_path / "result").iterdir())


@pytest.mark.parametrize("signal", [2, 15])
def test_a_stopped_count_keeps_what_it_counted(sample: Path, tmp_path: Path, signal: int) -> None:
    result = tmp_path / "result"
    # many readings of one file, under as many names
    many = tmp_path / "many"
    many.mkdir()
    for k in range(200):
        (many / f"{k}.png").write_bytes((sample / "frame_0001.png").read_bytes())
    words = [
        sys.executable,
        "-m",
        "edge.cli",
        "count",
        "--bundle",
        "phantom3",
        many,
        "--count-repeats",
        "--out",
        result,
        "--json",
    ]
    with subprocess.Popen(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as run:
        while run.poll() is None and len(list((result / "annotated").glob("*.jpg"))) < 2:
            pass
        run.send_signal(signal)
        out, _ = run.communicate(timeout=60)
    assert run.returncode == 130
    summary = json.loads(out)
    assert summary["stopped"] is True
    assert 2 <= summary["frames"]["read"] < 200
    with (result / "cells.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == summary["cells"]
    assert "Stopped before the last frame" in (result / "report.html").read_text()


def test_gates_that_exclude_each_other_are_refused(sample: Path) -> None:
    done = leuko(
        "count", "--bundle", "phantom3", sample, "--min-diameter-um", "50", "--max-diameter-um", "20"
    )
    assert done.returncode == 1
    assert "diameter" in done.stderr.splitlines()[-1]


def test_a_place_that_cannot_be_written_is_named(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = leuko("count", "--bundle", "phantom3", sample, "--out", tmp_path / "file" / "result")
    assert done.returncode == 1
    assert re.search(r"^Error: .*file", done.stderr, re.MULTILINE)
    assert "Traceback" not in done.stderr


def test_real_frames(tmp_path: Path) -> None:
    frames = SHARED / "hemocytometer" / "frames"
    if not frames.is_dir():
        pytest.skip("no real frames: ../shared/data is absent")
    chosen = [frames / f"frame_0{n}.jpg" for n in (462, 466, 470, 474)]
    done = leuko("count", *chosen, "--bundle", "hemocytometer", "--out", tmp_path / "result", "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    with (SHARED / "hemocytometer" / "boxes.csv").open(newline="") as file:
        names = {path.name for path in chosen}
        truth = [row["label"] for row in csv.DictReader(file) if row["frame"] in names]
    assert abs(summary["counts"]["leukocyte"] - truth.count("WBC")) <= 0.25 * truth.count("WBC") + 1
    with (tmp_path / "result" / "cells.csv").open(newline="") as file:
        boxes = np.array([[float(r[k]) for k in ("x", "y", "width", "height")] for r in csv.DictReader(file)])
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, 0] + boxes[:, 2] <= 4908).all()
    assert (boxes[:, 1] + boxes[:, 3] <= 3264).all()
