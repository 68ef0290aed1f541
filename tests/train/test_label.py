"""``leuko label`` on a small simulated sample: fields, files, the command, and bad input."""

from __future__ import annotations

import csv
import errno
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from benchmarks.label_suggestions import MIXES, score
from edge.base.cell import Cell
from edge.simulate.frame import simulate_frame
from edge.simulate.scene import Scene, SimulatedFrame
from edge.simulate.write import simulate
from train.boxes import corners, match_boxes
from train.cli.label import PIXELS_UM, label
from train.data import read_data
from train.label.field import label_field
from train.label.focus import BLURRED, out_of_focus, sharpness
from train.label.register import MismatchError, take_off
from train.label.suggest import SUGGESTED

PIXEL_UM = 0.125
SCENE = Scene(
    width_px=900,
    height_px=700,
    mix=(("granulocyte", 1.0), ("lymphocyte", 1.0), ("monocyte", 1.0)),
    leukocytes=9,
    erythrocytes=3,
    debris=2,
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two pairs of frames."""
    folder = tmp_path_factory.mktemp("sample")
    assert len(list(simulate(folder, frames=2, seed=7, scene=SCENE, fluorescence=True))) == 2
    return folder


@pytest.fixture(scope="module")
def frame() -> SimulatedFrame:
    return simulate_frame(7, 0, scene=SCENE, fluorescence=True)


@pytest.fixture(scope="module")
def labelled(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("labelled")
    result = run(sample / "frames", sample / "fluorescence", "--out", out)
    assert result.exit_code == 0, result.stderr
    return out


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(label, [str(word) for word in words])


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def stain_of(frame: SimulatedFrame) -> NDArray[np.uint8]:
    assert frame.fluorescence is not None
    return frame.fluorescence


# a field


@pytest.mark.parametrize("shift", [(0, 0), (31, -22), (-40, 13)])
def test_a_shifted_field_gets_the_same_answers(frame: SimulatedFrame, shift: tuple[int, int]) -> None:
    x, y = shift
    straight = label_field(frame.image, stain_of(frame), pixel_um=PIXEL_UM)
    moved = label_field(frame.image, take_off(stain_of(frame), -x, -y), pixel_um=PIXEL_UM)
    assert np.hypot(moved.shift.x_px - x, moved.shift.y_px - y) * PIXEL_UM < 0.5
    same = [
        a.suggestion.label == b.suggestion.label
        for a, b in zip(straight.cells, moved.cells, strict=True)
        if "beyond" not in b.suggestion.reason and not b.cell.border
    ]
    assert len(same) > 8
    assert all(same)


def test_a_shift_of_a_hazy_frame_makes_no_nuclei(frame: SimulatedFrame) -> None:
    hazy = np.clip(stain_of(frame).astype(int) + 60, 0, 255).astype(np.uint8)
    moved = label_field(frame.image, take_off(hazy, 60, 40), pixel_um=PIXEL_UM)
    straight = label_field(frame.image, stain_of(frame), pixel_um=PIXEL_UM)
    found, expected = (sum(one.nucleus is not None for one in f.cells) for f in (moved, straight))
    assert expected - 4 <= found <= expected


def test_the_coarsest_pixel_changes_no_suggestion(frame: SimulatedFrame) -> None:
    """Touching cells may merge there, and a cell may become unsure."""
    by = 5
    assert PIXEL_UM * by == PIXELS_UM[1]
    small = (
        np.asarray(cv2.resize(image, None, fx=1 / by, fy=1 / by, interpolation=cv2.INTER_AREA), np.uint8)
        for image in (frame.image, stain_of(frame))
    )
    fine = label_field(frame.image, stain_of(frame), pixel_um=PIXEL_UM).cells
    coarse = label_field(*small, pixel_um=PIXEL_UM * by).cells
    first, second = (
        np.array([(c.x, c.y, c.x + c.width, c.y + c.height) for c in (one.cell for one in cells)], float)
        for cells in (fine, coarse)
    )
    pairs = match_boxes(float(by) * second, first, 0.5)
    apart = [(k, j) for k, j in pairs if not fine[j].cell.touching]
    assert len(apart) >= 8
    for k, j in apart:
        assert coarse[k].suggestion.label in (fine[j].suggestion.label, "unsure")


def test_suggestions_hold_the_bar_on_a_frame() -> None:
    result = score([41], 1, MIXES["blood"]).summary()
    assert result["refused"] == []
    assert result["right"] == pytest.approx(1.0, abs=0.05)
    assert result["unsure"] == pytest.approx(0.0, abs=0.15)


def test_frames_that_do_not_match_are_refused_with_a_reason(frame: SimulatedFrame) -> None:
    other = stain_of(simulate_frame(8, 0, scene=SCENE, fluorescence=True))
    blank = np.full_like(frame.image, 160)
    dark = np.random.default_rng(0).poisson(6, frame.image.shape).astype(np.uint8)
    for bright, stain, reason in (
        (frame.image, other, "different fields"),
        (frame.image, stain_of(frame)[:, ::-1].copy(), "different fields"),
        (frame.image, take_off(stain_of(frame), 96, 0), r"shifted by 1[12]\.\d µm, more than 10 µm"),
        (frame.image, stain_of(frame)[:-1], "different size, 900×700 px and 900×699 px"),
        (frame.image, dark, "no nuclei"),
        (frame.image, np.zeros_like(dark), "no nuclei"),
        (blank, stain_of(frame), "no cells"),
    ):
        with pytest.raises(MismatchError, match=reason):
            label_field(bright, stain, pixel_um=PIXEL_UM)


# focus


def test_cells_out_of_focus_are_distinguished() -> None:
    """Every third leukocyte of a frame is replaced by itself, seen with the focal plane 4 µm higher."""
    size = {"width_px": 1300, "height_px": 1000, "separate": True, "leukocytes": 16, "erythrocytes": 4}
    sharp, blurred = (
        simulate_frame(3, 0, scene=Scene(focus_um=(height, 0.05), **size))  # type: ignore[arg-type]
        for height in (6.6, 10.6)
    )
    assert sharp.truth == blurred.truth
    whole = [t for t in sharp.truth if not t.cell.border and t.label != "debris"]
    whole.sort(key=lambda t: t.label == "erythrocyte")
    image, expected = sharp.image.copy(), []
    for k, t in enumerate(whole):
        expected.append(t.label in SUGGESTED and k % 3 == 0)
        if expected[-1]:
            cell = t.cell
            box = slice(cell.y, cell.y + cell.height), slice(cell.x, cell.x + cell.width)
            image[box] = blurred.image[box]
    values = np.array([sharpness(image, t.cell, PIXEL_UM) for t in whole])
    found = out_of_focus(values, np.array([t.label in SUGGESTED for t in whole]))
    assert sum(expected) >= 4
    np.testing.assert_array_equal(found, expected)


def test_focus_is_relative_to_cells_of_the_kind() -> None:
    sharp = np.array([2.0, 2.2, 1.9, 2.0 * BLURRED * 0.9, 0.5, 0.55, 0.5 * BLURRED * 0.9])
    kind = np.array([True] * 4 + [False] * 3)
    assert out_of_focus(sharp, kind).tolist() == [False, False, False, True, False, False, True]
    assert out_of_focus(np.array([]), np.array([], bool)).tolist() == []
    flat = np.full((50, 50), 100, np.uint8)
    assert sharpness(flat, Cell(10, 10, 20, 20, 1.0, border=False, touching=False), PIXEL_UM) == 0


# the folder that is written


def test_crops_and_table(sample: Path, labelled: Path, frame: SimulatedFrame) -> None:
    rows = rows_of(labelled / "labels.csv")
    assert {row["group"] for row in rows} == {"frame_0001.png", "frame_0002.png"}
    assert all(row["label"] == "" and row["pixel_um"] == "0.125" for row in rows)
    for row in rows[:3]:
        crop = cv2.imread(str(labelled / row["path"]), cv2.IMREAD_UNCHANGED)
        assert crop is not None
        assert crop.shape == (200, 200)
        nucleus = cv2.imread(str(labelled / "nuclei" / Path(row["path"]).name), cv2.IMREAD_UNCHANGED)
        assert nucleus is not None
        assert nucleus.shape == (200, 200)
    first = [row for row in rows if row["group"] == "frame_0001.png"]
    boxes = [[float(row[k]) for k in ("x", "y", "width", "height")] for row in first]
    found = np.array([(x, y, x + width, y + height) for x, y, width, height in boxes])
    for k, j in match_boxes(found, corners(t.cell for t in frame.truth), 0.3):
        known, row = frame.truth[j], first[k]
        if known.label in SUGGESTED and not known.cell.touching and not known.cell.border:
            assert row["suggestion"] in (known.label, "unsure")
            assert float(row["area_ratio"]) > 0.2
        elif known.label == "erythrocyte" and not known.cell.touching:
            assert (row["suggestion"], row["reason"], row["lobes"]) == ("unsure", "no nucleus", "")
    assert any(row["border"] == "1" for row in rows) or any(row["touching"] == "1" for row in rows)
    parameters = json.loads((labelled / "labelling.json").read_text())
    assert parameters["classes"] == ["granulocyte", "lymphocyte", "monocyte", "erythrocyte", "debris"]
    assert len(parameters["fields"]) == 2
    assert parameters["refused"] == []


def test_json_and_other_names_and_scale(sample: Path, tmp_path: Path) -> None:
    shutil.copytree(sample / "frames", tmp_path / "bf")
    shutil.copytree(sample / "fluorescence", tmp_path / "fl")
    for path in (tmp_path / "fl").iterdir():
        path.rename(path.with_name(f"dapi {path.name}"))
    words = ("--pixel-um", "0.125", "--scale", "0.5", "--classes", "platelet", "--json")
    result = run(tmp_path / "bf", tmp_path / "fl", "--out", tmp_path / "out", *words)
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    rows = rows_of(tmp_path / "out" / "labels.csv")
    assert sum(answer["suggestions"].values()) == len(rows)
    assert (answer["fields"], answer["refused"]) == (2, [])
    assert {row["pixel_um"] for row in rows} == {"0.0625"}
    assert "platelet" in json.loads((tmp_path / "out" / "labelling.json").read_text())["classes"]
    assert "pixel size assumed" not in result.stderr


def test_the_pixel_is_what_the_files_state(sample: Path, tmp_path: Path) -> None:
    for name in ("frames", "fluorescence"):
        (tmp_path / name).mkdir()
        for path in (sample / name).iterdir():
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            tifffile.imwrite(
                tmp_path / name / f"{path.stem}.tif", image, resolution=(76_923, 76_923), resolutionunit=3
            )
    folders = (tmp_path / "frames", tmp_path / "fluorescence")
    result = run(*folders, "--out", tmp_path / "out", "--json")
    assert "pixel 0.13 µm, from the files (resolution tags)" in result.stderr
    assert {row["pixel_um"][:4] for row in rows_of(tmp_path / "out" / "labels.csv")} == {"0.13"}
    result = run(*folders, "--out", tmp_path / "given", "--pixel-um", "0.2", "--json")
    assert (
        "than the 0.2 µm that is used (from --pixel-um): 0.13 µm (resolution tags) in 2 of 2" in result.stderr
    )


@pytest.mark.parametrize(("pixel_um", "median"), [(0.25, 18), (0.0875, 6), (0.125, None)])
def test_cells_of_another_size_than_leukocytes_are_remarked(
    sample: Path, tmp_path: Path, pixel_um: float, median: float | None
) -> None:
    result = run(
        *(sample / "frames", sample / "fluorescence", "--out", tmp_path / "out"),
        *("--pixel-um", str(pixel_um), "--bit-depth", "12", "--json"),
    )
    *size, idle = json.loads(result.stdout)["remarks"]
    assert idle == "--bit-depth 12 has no effect on files without 16-bit samples: leave it out"
    assert len(size) == (median is not None)
    for remark in size:
        assert float(remark.split("median diameter of ")[1].split()[0]) == pytest.approx(median, abs=1)
        assert f"check the pixel size, {pixel_um:g} µm (--pixel-um)" in remark
        assert remark in result.stderr


def test_what_does_not_match_is_refused_and_the_others_are_labelled(sample: Path, tmp_path: Path) -> None:
    bright, stain = tmp_path / "bf", tmp_path / "fl"
    shutil.copytree(sample / "frames", bright)
    shutil.copytree(sample / "fluorescence", stain)
    shutil.copy(bright / "frame_0001.png", bright / "alone.png")
    shutil.copy(bright / "frame_0001.png", bright / "broken.png")
    (stain / "broken.png").write_bytes((stain / "frame_0001.png").read_bytes()[:5000])
    shutil.copy(bright / "frame_0001.png", bright / "swapped.png")
    shutil.copy(stain / "frame_0002.png", stain / "swapped.png")
    assert cv2.imwritemulti(str(stain / "stack.tif"), [np.zeros((9, 9), np.uint8)] * 2)
    shutil.copy(bright / "frame_0001.png", bright / "stack.png")
    # in colour, as some cameras write; grey comes out the same
    for path in (bright / "frame_0002.png", stain / "frame_0002.png"):
        assert cv2.imwrite(str(path), cv2.cvtColor(cv2.imread(str(path), 0), cv2.COLOR_GRAY2BGR))
    result = run(bright, stain, "--out", tmp_path / "out")
    assert result.exit_code == 3
    refused = [line for line in result.stderr.splitlines() if line.startswith("refused: ")]
    assert len(refused) == 4
    assert f"alone.png: no frame of this name in {stain}" in refused[0]
    assert "fl/broken.png cannot be read: truncated" in refused[1]
    assert "fl/stack.tif holds several images" in refused[2]
    assert "frames of different fields" in refused[3]
    assert "pairs labelled: 2, refused: 4" in result.stderr
    listed = json.loads((tmp_path / "out" / "labelling.json").read_text())["refused"]
    assert len(listed) == 4
    assert {row["group"] for row in rows_of(tmp_path / "out" / "labels.csv")} == {
        "frame_0001.png",
        "frame_0002.png",
    }


def one_line(result: Result, reason: str) -> None:
    assert (result.exit_code, result.stdout) == (1, "")
    last = result.stderr.splitlines()[-1]
    assert last.startswith("Error: ")
    assert reason in last
    assert "Traceback" not in result.stderr


def test_bad_folders_are_one_line(sample: Path, labelled: Path, tmp_path: Path) -> None:
    frames, stain, out = sample / "frames", sample / "fluorescence", tmp_path / "out"
    empty = tmp_path / "empty"
    empty.mkdir()
    one_line(run(frames, empty, "--out", out), "a folder without images")
    one_line(run(frames, stain, "--out", labelled), "holds other files; give another name")
    one_line(run(frames, stain, "--out", out, "--classes", "a/b"), "label 'a/b' cannot name a folder")
    one_line(run(frames, stain, "--out", out, "--classes", ".a"), "label '.a' cannot name a folder")
    one_line(run(frames, stain, "--out", out, "--classes", "backgrounds"), "crops that hold no cell")
    for name in ("unsure", "exclude", "no nucleus"):
        one_line(run(frames, stain, "--out", out, "--classes", name), "it marks what is left out")
    for names in ("a,,b", "a,", ","):
        nameless = run(frames, stain, "--out", out, "--classes", names)
        assert (nameless.exit_code, "has a class without a name" in nameless.stderr) == (2, True)
    for pixel_um in ("10", "0.63", "0.019"):
        beyond = run(frames, stain, "--out", out, "--pixel-um", pixel_um)
        assert (beyond.exit_code, "is not in the range 0.02<=x<=0.625" in beyond.stderr) == (2, True)
    one_line(run(frames, stain, "--out", frames / "frame_0001.png" / "x"), "ot a directory")
    assert run(frames, frames, "--out", out).exit_code == 2
    assert run(frames, "--out", out).exit_code == 2
    assert run(frames, frames / "frame_0001.png", "--out", out).exit_code == 2
    assert run(frames, stain, "--out", out, "--unflagged").exit_code == 2
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(stain / "frame_0001.png", other / "x7.png")
    shutil.copy(stain / "frame_0002.png", other / "y8.png")
    one_line(run(frames, other, "--out", out), "no names pair between")
    shutil.copy(stain / "frame_0001.png", other / "frame_0002.png")
    one_line(run(frames, other, "--out", out), "no pair of frames matches: ")
    shutil.copy(stain / "frame_0001.png", other / "frame_0002.tif")
    one_line(run(frames, other, "--out", out), "frame_0002.png and frame_0002.tif have the same name")
    assert not out.exists()


def test_a_full_disk_is_one_line(sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, data: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    result = run(sample / "frames", sample / "fluorescence", "--out", tmp_path / "x")
    one_line(result, os.strerror(errno.ENOSPC))
    assert not (tmp_path / "x" / "labelling.json").exists()


# class folders


def test_confirmed_labels_become_class_folders(labelled: Path, tmp_path: Path) -> None:
    rows = rows_of(labelled / "labels.csv")
    chosen = ["granulocyte", "granulocyte", "monocyte", "erythrocyte", "unsure", "exclude", ""]
    for row, name in zip(rows, chosen, strict=False):
        row["label"] = name
    table = write_rows(tmp_path / "my labels.csv", rows)
    words = ("--apply", table, "--data", labelled, "--out")
    result = run(*words, tmp_path / "a")
    assert (result.exit_code, result.stdout) == (0, "granulocyte: 2\nmonocyte: 1\nerythrocyte: 1\n")
    assert f"{len(rows) - 6} unconfirmed" in result.stderr
    assert "1 unsure, 1 exclude" in result.stderr
    data = read_data(tmp_path / "a")
    assert data.labels == ("erythrocyte", "granulocyte", "monocyte")
    assert data.pixel_um == 0.125
    assert set(data.groups) == {"frame_0001.png"}
    crop = cv2.imread(str(labelled / rows[0]["path"]), cv2.IMREAD_GRAYSCALE)
    np.testing.assert_array_equal(data.crops[0], crop)
    kept = rows_of(tmp_path / "a" / "cells.csv")[0]
    assert kept["lobes"] == rows[0]["lobes"]
    assert list(kept)[:4] == ["path", "label", "group", "pixel_um"]

    accepted = json.loads(run(*words, tmp_path / "b", "--accept-suggestions", "--json").stdout)
    sure = sum(row["suggestion"] in SUGGESTED for row in rows[6:])
    assert sum(accepted["classes"].values()) == sure + 4
    flags = [any(row[k] == "1" for k in ("touching", "border", "out_of_focus")) for row in rows]
    assert any(flags)
    clean = json.loads(run(*words, tmp_path / "c", "--accept-suggestions", "--unflagged", "--json").stdout)
    assert clean["flags"] == {"touching": 0, "border": 0, "out_of_focus": 0}
    assert sum(clean["classes"].values()) + clean["left_out"]["flagged"] == sure + 4


def test_an_unconfirmed_table_is_refused(labelled: Path, tmp_path: Path) -> None:
    result = run("--apply", labelled / "labels.csv", "--out", tmp_path / "x")
    one_line(result, "no cell is left")
    assert "--accept-suggestions" in result.stderr
    assert not (tmp_path / "x").exists()


Edit = Callable[[list[dict[str, str]]], None]


def put(column: str, value: str) -> Edit:
    def edit(rows: list[dict[str, str]]) -> None:
        rows[1][column] = value

    return edit


def drop(column: str) -> Edit:
    def edit(rows: list[dict[str, str]]) -> None:
        for row in rows:
            del row[column]

    return edit


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (put("label", "granulocite"), "unknown label 'granulocite'; known are granulocyte, lymphocyte"),
        (put("suggestion", "../x"), "unknown label '../x'"),
        (put("path", "crops/frame_0009_0000.png"), "crops/frame_0009_0000.png is not in"),
        (put("path", "../crops/frame_0001_0000.png"), "is not a crop of"),
        (put("path", "crops/../labels.csv"), "is not a crop of"),
        (put("path", "/etc/passwd"), "is not a crop of"),
        (put("path", "crops/.."), "is not a crop of"),
        (put("path", "labels.csv"), "is not a crop of"),
        (put("path", ""), "is not a crop of"),
        (put("path", "crops/frame_0001_0000.png"), "comes twice"),
        (put("touching", "yes"), "line 3: touching is 'yes': it must be 0 or 1"),
        (put("border", ""), "line 3: border is '': it must be 0 or 1"),
        (put("out_of_focus", "2"), "line 3: out_of_focus is '2'"),
        (put("pixel_um", "-1"), "line 3: pixel_um is -1: it must be 0.005 to 10 µm"),
        (put("pixel_um", "inf"), "line 3: pixel_um is 'inf': it must be a number"),
        (put("pixel_um", "nan"), "line 3: pixel_um is 'nan'"),
        (put("pixel_um", "0,125"), "line 3: pixel_um is '0,125'"),
        (put("pixel_um", ""), "line 3: pixel_um is ''"),
        (put("x", "7"), "lists other cells than"),
        (drop("height"), "lists other cells than"),
        (lambda rows: rows.pop(), "lists other cells than"),
        (drop("label"), "column label is missing"),
        (drop("path"), "column path is missing"),
    ],
)
def test_an_edited_table_is_checked_before_anything_is_written(
    labelled: Path, tmp_path: Path, edit: Edit, reason: str
) -> None:
    rows = rows_of(labelled / "labels.csv")
    rows[0]["label"] = "monocyte"
    edit(rows)
    table = write_rows(tmp_path / "labels.csv", rows)
    one_line(run("--apply", table, "--data", labelled, "--out", tmp_path / "x"), reason)
    assert not (tmp_path / "x").exists()


def test_a_folder_of_an_earlier_version_has_its_cells_in_its_own_table(
    labelled: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "before"
    shutil.copytree(labelled, folder)
    stated = json.loads((folder / "labelling.json").read_text())
    del stated["cells"]
    (folder / "labelling.json").write_text(json.dumps(stated))
    rows = rows_of(labelled / "labels.csv")
    rows[0]["label"] = "monocyte"
    words = ("--data", folder, "--out")
    assert run("--apply", write_rows(tmp_path / "a.csv", rows), *words, tmp_path / "x").exit_code == 0
    rows[1]["x"] = "7"
    one_line(
        run("--apply", write_rows(tmp_path / "a.csv", rows), *words, tmp_path / "y"), "lists other cells"
    )


def test_other_files_are_no_tables(labelled: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "x")
    picture = next((labelled / "crops").iterdir())
    one_line(run("--apply", picture, "--data", labelled, *out), "save it as UTF-8")
    one_line(run("--apply", picture, *out), "no labelling.json")
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    shutil.copy(labelled / "labels.csv", damaged)
    for content, reason in (
        ("[", "Expecting value"),
        ("[" * 200_000, "nested too deeply"),
        ("[]", "not an object"),
        ("{}", "classes are no list of names"),
        ('{"classes": "ab"}', "classes are no list of names"),
        ('{"classes": ["a", ["b"]]}', "classes are no list of names"),
        ('{"classes": ["a", "../b"]}', "cannot name a folder"),
        ('{"classes": ["a", "A"]}', "differ only in case"),
        ('{"classes": ["a", "b"], "cells": 3}', "cells is no digest"),
    ):
        (damaged / "labelling.json").write_text(content)
        result = run("--apply", damaged / "labels.csv", *out)
        one_line(result, "labelling.json: damaged (")
        one_line(result, reason)
        one_line(result, "run leuko label again")
    (damaged / "labelling.json").write_bytes(b" " * (5 << 20))
    one_line(run("--apply", damaged / "labels.csv", *out), "larger than 4 MiB")
    table = labelled / "labels.csv"
    one_line(
        run("--apply", table, "--accept-suggestions", "--out", labelled),
        "holds other files; give another name",
    )
    assert run("--apply", table, labelled, labelled, *out).exit_code == 2
    assert run("--apply", table, *out, "--scale", "2").exit_code == 2
    header = table.read_text().splitlines()[0]
    (tmp_path / "long.csv").write_text(f"{header}\n{',' * 40}\n")
    one_line(run("--apply", tmp_path / "long.csv", "--data", labelled, *out), "line 2: more fields")
    (tmp_path / "short.csv").write_text(
        "\n".join([*table.read_text().splitlines()[:3], "crops/a.png,,unsure"])
    )
    one_line(run("--apply", tmp_path / "short.csv", "--data", labelled, *out), "line 4: fewer fields")


@pytest.mark.parametrize(
    ("separator", "encoding"), [(";", "utf-8"), (";", "utf-8-sig"), ("\t", "utf-16"), (",", "utf-16")]
)
def test_what_a_spreadsheet_saves_is_read_alike(
    labelled: Path, tmp_path: Path, separator: str, encoding: str
) -> None:
    text = (labelled / "labels.csv").read_text(encoding="utf-8")
    counts = []
    for name, saved, form in (("plain", text, "utf-8"), ("saved", text.replace(",", separator), encoding)):
        table = tmp_path / f"{name}.csv"
        table.write_text(saved, encoding=form)
        out = tmp_path / name
        assert run("--apply", table, "--data", labelled, "--out", out, "--accept-suggestions").exit_code == 0
        counts.append(read_data(out).counts())
    assert counts[0] == counts[1]
    assert sum(counts[0].values()) > 0


def test_another_encoding_of_labels_is_named(labelled: Path, tmp_path: Path) -> None:
    text = (labelled / "labels.csv").read_text(encoding="utf-8")
    table = tmp_path / "saved.csv"
    table.write_text(text.replace("no nucleus", "10 µm"), encoding="latin-1")
    one_line(run("--apply", table, "--data", labelled, "--out", tmp_path / "x"), "save it as UTF-8")


def test_a_disk_that_takes_no_more_names_the_file_written(labelled: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk: both fail in the middle of writing."""
    resource = pytest.importorskip("resource")
    least, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    out = tmp_path / "classes"
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, most))
    try:
        result = run("--apply", labelled / "labels.csv", "--accept-suggestions", "--out", out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (least, most))
    one_line(result, f"Error: {out}")
    assert os.strerror(errno.EFBIG) in result.stderr


def test_cells_without_a_nucleus_are_counted_apart_as_when_suggested(labelled: Path, tmp_path: Path) -> None:
    rows = rows_of(labelled / "labels.csv")
    bare = sum(row["reason"] == "no nucleus" for row in rows)
    unsure = sum(row["suggestion"] == "unsure" for row in rows) - bare
    assert bare > 0
    words = ("--apply", labelled / "labels.csv", "--accept-suggestions", "--json", "--out", tmp_path / "x")
    left_out = json.loads(run(*words).stdout)["left_out"]
    assert (left_out.get("unsure", 0), left_out["no nucleus"]) == (unsure, bare)
