from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from train import augment, data, table
from train.check import drift, inventory
from train.check.doubts import Doubts
from train.check.duplicates import (
    SAME_PICTURE,
    THUMBNAIL_PX,
    Pair,
    Repeats,
    clusters,
    correlation,
    dihedral,
    find_pairs,
    pixel_digest,
)
from train.check.findings import Status, worst
from train.check.runs import read_run
from train.check.survey import Survey, survey
from train.cli.data import data as command
from train.images import square


def a_cell(seed: int, side: int = 96) -> NDArray[np.uint8]:
    """A cell with an inside of its own on an even ground, as under a microscope."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2 + rng.uniform(-2, 2, (2, 1, 1))
    radius = np.hypot(x * rng.uniform(0.85, 1.15), y) / side
    inside = cv2.GaussianBlur(rng.normal(0, 400, (side, side)), (0, 0), side / 20)
    image = 150 + np.where(radius < 0.32, inside, 0) - 60 * np.exp(-(((radius - 0.33) / 0.03) ** 2))
    noisy: NDArray[np.uint8] = (image + rng.normal(0, 1, image.shape)).clip(0, 255).astype(np.uint8)
    return noisy


def write(path: Path, image: NDArray[np.integer[Any]], *options: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image, options)


def pairs_of(crops: list[NDArray[np.uint8]]) -> list[Pair]:
    small = np.stack([square(crop, THUMBNAIL_PX) for crop in crops])
    return list(find_pairs([pixel_digest(crop) for crop in crops], small).pairs)


def indices(pairs: list[Pair]) -> list[tuple[int, int]]:
    return [(pair.first, pair.second) for pair in pairs]


def answers(found: Survey) -> dict[str, tuple[str, str]]:
    return {result.question: (result.status.value, result.answer) for result in found.results}


def messages(found: Survey, question: str) -> list[str]:
    (result,) = [result for result in found.results if result.question == question]
    return [
        " ".join(filter(None, (finding.path, finding.other, finding.message))) for finding in result.findings
    ]


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    """Two classes of six frames each, one cell of either in every frame."""
    folder = tmp_path / "clean"
    rows = ["path,label,group,pixel_um"]
    for k in range(12):
        for label in ("a", "b"):
            write(folder / label / f"{k}.png", a_cell(2 * k + (label == "b")))
            rows.append(f"{label}/{k}.png,{label},frame_{k}.png,0.1")
    (folder / "cells.csv").write_text("\n".join(rows) + "\n")
    return folder


def a_run(
    folder: Path, rows: list[tuple[str, str, str, float]], labels: tuple[str, ...] = ("a", "b")
) -> Path:
    """Write a run's tables; a row is path, label, fold and the probability of the first label."""
    folder.mkdir()
    with (folder / "split.csv").open("w", newline="") as file:
        parts = [
            (name, label, name, "validation" if fold == "validation" else "training")
            for name, label, fold, _ in rows
        ]
        csv.writer(file).writerows([("path", "label", "group", "part"), *parts])
    with (folder / "out_of_fold.csv").open("w", newline="") as file:
        table = [(name, label, fold, p, 1 - p) for name, label, fold, p in rows]
        csv.writer(file).writerows([("path", "label", "fold", *labels), *table])
    return folder


# what pixels say


@given(st.integers(0, 7), st.integers(0, 500))
@settings(max_examples=25)
def test_any_turned_or_mirrored_copy_is_found(turn: int, seed: int) -> None:
    crops = [a_cell(seed + k) for k in range(5)]
    crops.append(np.ascontiguousarray(dihedral(crops[2])[turn]))
    assert pairs_of(crops) == [Pair(2, 5, 1.0, copy=True)]


@given(st.integers(0, 7), st.integers(0, 500), st.integers(60, 95))
@settings(max_examples=25)
def test_a_turned_copy_that_was_saved_again_and_relit_is_found(turn: int, seed: int, quality: int) -> None:
    crops = [a_cell(seed + k) for k in range(5)]
    turned = np.ascontiguousarray(dihedral(crops[2])[turn])
    _, jpeg = cv2.imencode(".jpg", (turned * 0.9 + 12).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, quality])
    crops.append(cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE).astype(np.uint8))
    (pair,) = pairs_of(crops)
    assert (pair.first, pair.second, pair.copy) == (2, 5, False)
    assert pair.similarity >= 0.995


@given(st.integers(-4, 4), st.integers(-4, 4), st.integers(0, 500))
@settings(max_examples=25)
def test_a_repeated_cell_beside_its_place_is_found(right: int, down: int, seed: int) -> None:
    crops = [a_cell(seed + k) for k in range(7)]
    again = cv2.GaussianBlur(np.roll(crops[3], (down, right), (0, 1)), (0, 0), 1.0).astype(np.int16)
    again += np.random.default_rng(seed).normal(0, 2, again.shape).astype(np.int16)
    assert indices(pairs_of([*crops, again.clip(0, 255).astype(np.uint8)])) == [(3, 7)]


@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
@settings(max_examples=25)
def test_crops_of_noise_are_not_similar(seed: int, crops: int) -> None:
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (crops, 64, 64), np.uint8)
    assert find_pairs([pixel_digest(crop) for crop in noise], noise).pairs == ()


def test_similarity_is_not_enough_for_cells_of_one_kind() -> None:
    y, x = np.mgrid[:96, :96] - 47.5
    rng = np.random.default_rng(0)
    discs = []
    for _ in range(30):
        radius = np.hypot(x * rng.uniform(0.9, 1.1), y * rng.uniform(0.9, 1.1))
        disc = 150 - 60 * np.exp(-(((radius - 30) / 4) ** 2)) + 40 * np.exp(-((radius / 14) ** 2))
        discs.append((disc + rng.normal(0, 6, disc.shape)).astype(np.uint8))
    small = [square(disc, THUMBNAIL_PX) for disc in discs]
    similar = sum(correlation(small[i], small[j]) > 0.9 for i in range(30) for j in range(i))
    assert similar > 50
    assert len(pairs_of(discs)) <= 2


def round_cells(n: int, seed: int) -> list[NDArray[np.uint8]]:
    """Independent cells with nothing inside but a little shade."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:96, :96] - 47.5
    cells = []
    for radius, edge, tilt, angle in zip(
        rng.uniform(20, 36, n),
        rng.uniform(2, 6, n),
        rng.uniform(0, 0.6, n),
        rng.uniform(0, 7, n),
        strict=True,
    ):
        disc = -60 * np.exp(-(((np.hypot(x, y) - radius) / edge) ** 2))
        shade = tilt * (x * np.cos(angle) + y * np.sin(angle)) * (np.hypot(x, y) < radius)
        cells.append((150 + disc + shade + rng.normal(0, 1, disc.shape)).astype(np.uint8))
    return cells


def test_similar_pairs_are_dismissed_if_there_are_as_many_mirrored_ones() -> None:
    cells = round_cells(250, 1)
    small = np.stack([square(cell, THUMBNAIL_PX) for cell in cells])
    repeats = find_pairs([pixel_digest(cell) for cell in cells], small)
    assert repeats.dismissed > 0
    assert repeats.by_chance > 0.25 * repeats.dismissed
    assert any(correlation(small[i], small[j]) >= SAME_PICTURE for i in range(250) for j in range(i))
    assert repeats.pairs == ()


def test_many_repeated_cells_stay_among_similar_round_ones() -> None:
    cells = [*round_cells(40, 2), *(a_cell(seed) for seed in range(20))]
    rng = np.random.default_rng(0)
    for cell in cells[40:]:
        again = np.roll(cv2.GaussianBlur(cell, (0, 0), 1.0), rng.integers(-4, 5, 2), (0, 1))
        cells.append((again + rng.normal(0, 2, again.shape)).clip(0, 255).astype(np.uint8))
    assert {(40 + k, 60 + k) for k in range(20)} <= set(indices(pairs_of(cells)))


def test_copies_of_an_oblong_image_are_found_by_its_pixels() -> None:
    image = a_cell(0)[:60]
    assert len({pixel_digest(variant) for variant in dihedral(image)}) == 1
    assert pixel_digest(image.reshape(96, 60)) != pixel_digest(image)


def test_flat_crops_are_copies_and_nothing_else() -> None:
    flat = [np.full((80, 80), grey, np.uint8) for grey in (90, 90, 140)]
    assert pairs_of(flat) == [Pair(0, 1, 1.0, copy=True)]
    assert find_pairs([], np.zeros((0, 64, 64), np.uint8)) == Repeats(())


@given(
    st.lists(
        st.tuples(st.integers(0, 20), st.integers(0, 20)).filter(lambda ends: ends[0] != ends[1]), max_size=25
    )
)
def test_clusters_are_the_connected_crops(ends: list[tuple[int, int]]) -> None:
    found = clusters([Pair(min(pair), max(pair), 1.0, copy=False) for pair in ends])
    assert sorted(index for cluster in found for index in cluster) == sorted(
        {i for pair in ends for i in pair}
    )
    assert all(len(cluster) > 1 for cluster in found)
    home = {index: k for k, cluster in enumerate(found) for index in cluster}
    assert all(home[i] == home[j] for i, j in ends)


# drift


@given(st.lists(st.floats(1, 250), min_size=8, max_size=40), st.randoms(use_true_random=False))
def test_the_trend_has_the_sign_of_the_order(values: list[float], random: object) -> None:
    rising = np.sort(np.array(values))
    slope, p_value = drift.trend(rising)
    assert slope >= 0
    assert 0 <= p_value <= 1
    backwards, same = drift.trend(rising[::-1])
    assert backwards == pytest.approx(-slope)
    assert same == pytest.approx(p_value)
    if len(set(values)) == len(values):
        assert p_value < 0.01
        assert slope > 0


def test_the_trend_test_agrees_with_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(3).normal(100, 5, 60) + np.arange(60) * 0.08
    slope, p_value = drift.trend(values)
    assert slope == pytest.approx(stats.theilslopes(values).slope)
    # scipy's normal approximation has no correction for continuity
    assert p_value == pytest.approx(
        stats.kendalltau(values, np.arange(60), method="asymptotic").pvalue, rel=0.1
    )


def test_few_chance_trends_and_no_outliers_among_equal_values() -> None:
    rng = np.random.default_rng(0)
    chances = [drift.trend(rng.normal(100, 5, 30))[1] for _ in range(200)]
    assert sum(p < drift.SIGNIFICANCE for p in chances) <= 8
    assert not drift.outliers(np.full(20, 100.0)).any()
    assert drift.outliers(np.array([100.0] * 19 + [80.0])).tolist() == [False] * 19 + [True]
    assert drift.trend(np.full(20, 100.0)) == (0.0, 1.0)


# whole sets


def test_a_clean_set_has_no_findings(clean: Path) -> None:
    found = survey(clean)
    assert found.trainable
    assert {status for status, _ in answers(found).values()} == {"ok"}
    assert answers(found)["classes"][1] == "a 12, b 12"
    assert found.sets[0].pixel_um == pytest.approx(0.1 * 96 / 200)


def test_every_problem_is_named_not_only_the_first(clean: Path) -> None:
    (clean / "a" / "1.png").write_bytes(b"")
    (clean / "b" / "2.png").unlink()
    write(clean / "b" / "12bit.png", a_cell(90).astype(np.uint16) * 16)
    with (clean / "cells.csv").open("a") as file:
        file.write("a/3.png,b,x,0.1\n,a,x,0.1\nb/12bit.png,b,x,0.1\nb/4.png ,b,x,0.1\n")
    found = survey(clean)
    assert not found.trainable
    assert messages(found, "files") == [
        "line 26: a/3.png is listed in line 8 already",
        "line 27: path is empty",
        "line 29: 'b/4.png ' has control characters, or spaces at an end",
        "a/1.png cannot be read: the file is empty",
        "b/2.png cannot be read: no such file or directory",
        "b/12bit.png cannot be read: 16-bit samples that use at most 12 bits: "
        "scale them to 16 or save 8 bits",
    ]
    assert len(found.crops) == 22


def test_copies_labels_and_repeated_cells(clean: Path) -> None:
    (clean / "cells.csv").unlink()
    (clean / "a" / "same file.png").write_bytes((clean / "a" / "3.png").read_bytes())
    write(clean / "b" / "turned.png", np.rot90(a_cell(0)).copy())
    write(clean / "a" / "saved again.jpg", a_cell(8), cv2.IMWRITE_JPEG_QUALITY, 90)
    found = survey(clean)
    assert found.trainable
    assert messages(found, "copies") == [
        "b/turned.png a/0.png the same pixels, perhaps turned or mirrored",
        "a/same file.png a/3.png the same file twice",
    ]
    assert messages(found, "two labels") == ["a/0.png b/turned.png the same cell is a here and b there"]
    (again,) = messages(found, "repeated cells")
    expected = "a/4.png a/saved again.jpg apparently the same cell (correlation 1.000)"
    assert again == f"{expected}: a random split may separate them"


@pytest.mark.parametrize(
    ("problem", "status", "question", "message"),
    [
        ("empty class", "error", "files", "class c has no images"),
        ("one image", "error", "classes", "c a single image, which cannot be split"),
        ("one class", "error", "classes", "a fewer than two classes: there is nothing to tell apart"),
        ("scales", "error", "files", "read at 200 px, crops have pixels of 0.024 to 0.048 µm"),
        ("sizes", "warning", "images", "b images are 0.50 times as large as the others'"),
        ("depths", "warning", "images", "b the only class of 16 bits: the camera may give it away"),
        ("one group", "warning", "classes", "b f all 12 images are of one group"),
        ("dark class", "warning", "brightness of classes", "b darker than a crop of another class in 100%"),
        ("dark frame", "warning", "brightness", "frame_5.png brightness 89, median of the groups 149"),
        ("drift", "warning", "brightness", "brightness drifts: +"),
    ],
)
def test_each_problem_has_its_line(
    clean: Path, problem: str, status: str, question: str, message: str
) -> None:
    table = clean / "cells.csv"
    if problem in ("empty class", "one image", "one class", "sizes", "depths"):
        table.unlink()
    match problem:
        case "empty class":
            (clean / "c").mkdir()
        case "one image":
            write(clean / "c" / "1.png", a_cell(99))
        case "one class":
            for path in (clean / "b").iterdir():
                path.unlink()
            (clean / "b").rmdir()
        case "scales" | "sizes":
            for path in (clean / "b").iterdir():
                write(path, cv2.resize(cv2.imread(str(path), 0), (48, 48)).astype(np.uint8))
        case "depths":
            for path in (clean / "b").iterdir():
                write(path, cv2.imread(str(path), 0).astype(np.uint16) * 257)
        case "one group":
            rows = table.read_text().splitlines()
            table.write_text(
                "\n".join(row.replace(row.split(",")[2], "f") if ",b," in row else row for row in rows)
            )
        case "dark class":
            for path in (clean / "b").iterdir():
                write(path, (a_cell(int(path.stem) + 60) * 0.6).astype(np.uint8))
        case "dark frame":
            for label in "ab":
                write(clean / label / "5.png", (a_cell(50 + ord(label)) * 0.6).astype(np.uint8))
        case "drift":
            for k in range(12):
                for label in "ab":
                    bright = a_cell(200 + 2 * k + ord(label)) * (0.7 + 0.03 * k)
                    write(clean / label / f"{k}.png", bright.astype(np.uint8))
    found = survey(clean)
    assert answers(found)[question][0] == status
    assert any(line.startswith(message) for line in messages(found, question)), messages(found, question)
    assert found.trainable == (status != "error")


def test_images_that_are_no_crops_are_named(clean: Path) -> None:
    (clean / "cells.csv").unlink()
    write(clean / "a" / "dot.png", np.full((1, 1), 9, np.uint8))
    write(clean / "a" / "frame.png", cv2.resize(a_cell(300), (500, 500)).astype(np.uint8))
    write(clean / "b" / "black.png", np.zeros((96, 96), np.uint8))
    write(clean / "b" / "16.png", a_cell(301).astype(np.uint16) * 257)
    assert cv2.imwritemulti(str(clean / "b" / "stack.tif"), [a_cell(302), a_cell(303)])
    found = survey(clean)
    assert answers(found)["images"][0] == "warning"
    lines = messages(found, "images")
    for line in (
        "images of 8 and 16 bits are mixed",
        "a/dot.png 1×1 px where the median side is 96 px: not a single cell?",
        "a/dot.png all one grey level (9): it shows no cell",
        "a/frame.png 500×500 px where the median side is 96 px: not a single cell?",
        "b/black.png all one grey level (0): it shows no cell",
        "b/stack.tif only the first of 2 pages is read: save each as a file of its own",
    ):
        assert line in lines
    assert sum("not a single cell" in line for line in lines) == 2


def test_the_pixel_that_files_state_is_compared_with_the_lists(clean: Path) -> None:
    for k in range(12):
        for label in ("a", "b"):
            path = clean / label / f"{k}.png"
            image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
            tifffile.imwrite(path, image, resolution=(50_000, 50_000), resolutionunit=3)
    (line,) = messages(survey(clean), "images")[1:]
    assert line == (
        "the images state another pixel than the 0.1 µm that is used (from the column pixel_um): 0.2 µm "
        "(resolution tags) in 24 of 24; correct the column, or the files"
    )
    table = clean / "cells.csv"
    table.write_text(table.read_text().replace(",0.1\n", ",0.2\n"))
    assert answers(survey(clean))["images"][0] == "ok"
    table.write_text(table.read_text().replace(",0.2\n", ",\n"))
    (line,) = messages(survey(clean), "images")[1:]
    assert line.startswith(
        "the files state a pixel of 0.2 µm (resolution tags): write it into the column pixel_um"
    )


def test_questions_without_images_are_not_run(tmp_path: Path) -> None:
    write(tmp_path / "1.png", a_cell(0))
    found = survey(tmp_path)
    assert messages(found, "files") == [
        "1 image lies in the folder itself: put them into one folder per class"
    ]
    assert answers(found)["files"] == ("error", "0 read, 1 problem with the list")
    others = [answer for question, answer in answers(found).items() if question not in ("files", "classes")]
    assert set(others) == {("not run", "no images")}


def test_few_groups_are_not_followed(clean: Path) -> None:
    (clean / "cells.csv").unlink()
    assert answers(survey(clean))["focus"] == ("not run", "needs 8 groups")


def test_a_second_set_is_searched_for_cells_of_the_first(clean: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    write(other / "a" / "1.png", a_cell(300))
    write(other / "b" / "1.png", a_cell(301))
    assert answers(survey(clean, validation=other))["split"] == ("ok", "24 to train on, 2 to validate on")
    write(other / "a" / "2.png", np.flipud(a_cell(6)).copy())
    found = survey(clean, validation=other)
    assert answers(found)["split"][1].endswith("; 1 of these is in training too")
    assert messages(found, "split") == [
        f"a/3.png {other}/a/2.png in training and again in validation (correlation 1.000)"
    ]


def test_a_known_split_does_not_hide_repeated_cells(clean: Path, tmp_path: Path) -> None:
    write(clean / "b" / "11.png", cv2.GaussianBlur(a_cell(1), (0, 0), 1.0).astype(np.uint8))
    names = [f"{label}/{k}.png" for k in range(12) for label in "ab"]
    run = a_run(
        tmp_path / "run", [(name, name[0], "validation" if "/5" in name else "1", 0.5) for name in names]
    )
    assert answers(survey(clean))["repeated cells"] == ("warning", "2 crops show 1 cell (1 pair)")
    assert answers(survey(clean, split=run))["repeated cells"] == answers(survey(clean))["repeated cells"]


def test_a_runs_split_is_searched_and_its_groups_compared(clean: Path, tmp_path: Path) -> None:
    names = [f"{label}/{k}.png" for k in range(12) for label in "ab"]
    rows = [(name, name[0], "validation" if k > 20 else "1", 0.5) for k, name in enumerate(names)]
    run = a_run(tmp_path / "run", rows)
    write(clean / "b" / "11.png", a_cell(0))
    found = survey(clean, split=run)
    assert answers(found)["split"] == (
        "warning",
        "21 to train on, 3 to validate on; 1 of these is in training too",
    )
    assert messages(found, "split")[0] == "frame_10.png a group in both training and validation"
    assert read_run(run).parts(names[:21], names[21:]) == ["training"] * 21 + ["validation"] * 3


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        ("no run", "is not a run folder: it has no split.csv"),
        ("no folds", "run has no out-of-fold predictions: repeat its leuko train command with --folds 5"),
        ("more files", "was made from other data: a/1.png is not among its files"),
        ("fewer files", "was made from other data: a/9.png is not in the data, nor 1 other"),
        ("relabelled", "was made from other data: a/0.png was b, not a"),
        ("cut", "out_of_fold.csv is damaged .*, line 4: fewer fields than the header"),
        (
            "cut after a row",
            "out_of_fold.csv is cut short, it lacks 1 crop of the run: repeat its leuko train",
        ),
        ("no numbers", "out_of_fold.csv is damaged"),
        ("empty", "out_of_fold.csv is damaged"),
    ],
)
def test_a_run_that_does_not_fit_gets_one_line(tmp_path: Path, spoil: str, message: str) -> None:
    names, given = ["a/0.png", "a/1.png", "b/0.png"], ["a", "a", "b"]
    rows = [(name, label, "1", 0.5) for name, label in zip(names, given, strict=True)]
    match spoil:
        case "more files":
            rows = [rows[0], rows[2]]
        case "fewer files":
            rows += [("a/9.png", "a", "2", 0.5), ("b/9.png", "b", "2", 0.5)]
        case "relabelled":
            rows[0] = ("a/0.png", "b", "1", 0.5)
    run = a_run(tmp_path / "run", rows)
    table = run / "out_of_fold.csv"
    match spoil:
        case "no run":
            table.unlink()
            (run / "split.csv").unlink()
        case "no folds":
            table.unlink()
        case "cut":
            table.write_text(table.read_text()[:-9])
        case "cut after a row":
            table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
        case "no numbers":
            table.write_text(table.read_text().replace("0.5", "x"))
        case "empty":
            table.write_text("")
    with pytest.raises(ValueError, match=message) as caught:
        read_run(run, folds=True).predictions(names, given)
    assert "\n" not in str(caught.value)


def test_predictions_are_of_the_whole_data_or_of_either_part_in_the_datas_order(tmp_path: Path) -> None:
    rows = [("b/0.png", "b", "2", 0.25), ("a/0.png", "a", "1", 0.75), ("x/0.png", "a", "validation", 1.0)]
    run = a_run(tmp_path / "run", rows)
    predictions = read_run(run, folds=True).predictions(["a/0.png", "b/0.png"], ["a", "b"])
    assert predictions.probabilities.tolist() == [[0.75, 0.25], [0.25, 0.75]]
    assert predictions.truth.tolist() == [0, 1]
    assert read_run(run, folds=True).predictions(["x/0.png"], ["a"]).probabilities.tolist() == [[1.0, 0.0]]
    assert read_run(run, folds=True).predictions(
        ["x/0.png", "b/0.png", "a/0.png"], ["a", "b", "a"]
    ).truth.tolist() == [
        0,
        1,
        0,
    ]
    assert read_run(run).parts(["x/0.png"], None) == ["validation"]
    assert read_run(run).parts(["a/0.png", "x/0.png", "b/0.png"], None) == [
        "training",
        "validation",
        "training",
    ]


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("config.json", '{"training": ', "config.json is damaged"),
        ("config.json", "[]", "config.json is damaged"),
        ("config.json", "[" * 200_000, r"config.json is damaged \(nested too deeply\)"),
        ("config.json", '{"training": ' + '{"cells":' * 90_000, "config.json is damaged"),
        ("config.json", '{"training": {"cells": [1]}}', r"training: cells is \[1\]; expected a whole number"),
        ("config.json", '{"training": {"cells": "24"}}', 'training: cells is "24"; expected a whole number'),
        ("config.json", '{"training": {"counts": {}}}', "training: cells is missing"),
        ("config.json", '{"training": [24]}', r"config.json is damaged \(training: no settings\)"),
        ("config.json", '{"validation": {"cells": 1e999}}', "validation: cells is"),
        (
            "config.json",
            '{"training": {"cells": 30}}',
            "split.csv has 24 training crops, config.json 30",
        ),
        ("split.csv", "path,label\na/0.png,a\n", "split.csv is damaged"),
        ("split.csv", "path,label,group,part\na/0.png,a,f,trai", "split.csv is damaged"),
        ("out_of_fold.csv", "path,label\n", "out_of_fold.csv is damaged"),
    ],
)
def test_a_damaged_run_is_refused_before_any_image_is_opened(
    clean: Path, tmp_path: Path, file: str, content: str, message: str
) -> None:
    run = doubting_run(clean, tmp_path / "run")
    (run / file).write_text(content)
    steps: list[str] = []
    with pytest.raises(ValueError, match=message):
        survey(clean, model=run, on_step=lambda stage, total: steps.append(stage))
    assert steps == []


# the command


def doubting_run(clean: Path, folder: Path) -> Path:
    names = [f"{label}/{k}.png" for k in range(12) for label in "ab"]
    sure = {"a": 0.95, "b": 0.05, "a/7.png": 0.02, "b/2.png": 0.9}
    return a_run(folder, [(name, name[0], "1", sure.get(name, sure[name[0]])) for name in names])


def test_labels_in_doubt_wait_for_a_verdict_that_is_kept(clean: Path, tmp_path: Path) -> None:
    pytest.importorskip("cleanlab", reason="needs the train extra")
    run, out = doubting_run(clean, tmp_path / "run"), tmp_path / "out"
    arguments = ["check", str(clean), "--model", str(run), "--out", str(out), "--force"]
    result = CliRunner().invoke(command, arguments)
    assert (result.exit_code, result.stderr) == (0, "")
    assert "2 of 24; the networks' out-of-fold accuracy is 0.917" in result.stdout
    table = out / "doubts.csv"
    lines = table.read_text().splitlines()
    assert lines == [
        "rank,path,label,suggested,label_probability,suggested_probability,verdict",
        "1,a/7.png,a,b,0.02,0.98,",
        "2,b/2.png,b,a,0.1,0.9,",
    ]
    page = (out / "check.html").read_text()
    assert "1: a 0.02 → b 0.98" in page
    assert "write “wrong” into the column “verdict” of doubts.csv" in page

    table.write_text(
        "\n".join([lines[0], lines[1] + "wrong", "9,b/4.png,b,a,0.3,0.7,right", lines[2]]) + "\n"
    )
    assert CliRunner().invoke(command, arguments).exit_code == 0
    assert table.read_text().splitlines() == [
        lines[0],
        lines[1] + "wrong",
        lines[2],
        ",b/4.png,b,a,0.3,0.7,right",
    ]
    table.write_bytes(b"\xff\xfe\x00 a spreadsheet")
    refused = CliRunner().invoke(command, arguments)
    assert refused.exit_code == 1
    assert refused.stderr.startswith(f"Error: {table} is not a CSV file in UTF-8")
    assert refused.stderr.count("\n") == 1
    assert table.read_bytes().endswith(b"a spreadsheet")


def test_weak_networks_doubt_no_label(clean: Path, tmp_path: Path) -> None:
    names = [f"{label}/{k}.png" for k in range(12) for label in "ab"]
    run = a_run(tmp_path / "run", [(name, name[0], "1", 0.1 + 0.03 * k) for k, name in enumerate(names)])
    found = survey(clean, model=run)
    assert answers(found)["doubtful labels"] == (
        "warning",
        "too weak to doubt labels: the networks' out-of-fold accuracy is 0.500",
    )
    (line,) = messages(found, "doubtful labels")
    assert line.startswith("always naming the largest class gives 0.500")
    assert found.doubts is not None
    assert found.doubts.found == ()
    assert Doubts(0.9, 0.85).too_weak
    assert not Doubts(0.9, 0.5).too_weak


def test_the_missing_extra_is_named(clean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = doubting_run(clean, tmp_path / "run")
    for module in ("cleanlab", "cleanlab.filter", "matplotlib"):
        monkeypatch.setitem(sys.modules, module, None)
    monkeypatch.delitem(sys.modules, "train.report.figure", raising=False)
    monkeypatch.delitem(sys.modules, "train.report.check", raising=False)
    assert CliRunner().invoke(command, ["check", str(clean)]).exit_code == 0
    for option in ("--model", "--out"):
        result = CliRunner().invoke(command, ["check", str(clean), option, str(run)])
        assert result.exit_code == 1
        assert result.stderr == (
            f"Error: leuko data check {option} needs the train extra: pip install 'leuko-edge[train]'\n"
        )


def test_the_current_folder_holds_no_settings_of_matplotlib(clean: Path, tmp_path: Path) -> None:
    """Its own way would print the key's escape, and let TeX draw the letters."""
    (tmp_path / "matplotlibrc").write_bytes(b"evil\x1b[31m : 1\ntext.usetex : True\n\xff\n")
    script = f"from edge.cli import main; main(['data', 'check', {str(clean)!r}, '--out', 'out'])"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    words = [sys.executable, "-P", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr
    assert "evil" not in done.stderr
    assert [path.name for path in (tmp_path / "out").glob("*.html")] == ["check.html"]


def test_no_image_is_opened_after_many_that_cannot_be_read(
    clean: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "MOST_UNREADABLE", 3)
    rows = [f"none/{k}.png,a" for k in range(200)]
    (clean / "cells.csv").write_text("\n".join(["path,label", *rows]) + "\n")
    opened: list[int] = []
    found = inventory.take_inventory(clean / "cells.csv", opened.append)
    assert [name for name, _ in found.unreadable] == ["none/0.png", "none/1.png", "none/2.png"]
    assert found.problems == ("3 of its images cannot be read: the others were not opened",)
    assert len(opened) == 2


def test_the_object_and_the_table(clean: Path, tmp_path: Path) -> None:
    write(clean / "b" / "11.png", a_cell(0))
    (clean / "b" / "4.png").write_bytes(b"no image")
    out = tmp_path / "out"
    result = CliRunner().invoke(command, ["check", str(clean), "--json", "--out", str(out)])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert set(found) == {
        "data",
        "trainable",
        "cells",
        "labels",
        "groups",
        "sizes",
        "bit_depths",
        "pixel_um",
        "unreadable",
        "repeated",
        "split",
        "drift",
        "doubts",
        "out_of_fold_accuracy",
        "findings",
    }
    assert found["trainable"] is False
    assert (found["cells"], found["labels"], found["groups"]) == (23, {"a": 12, "b": 11}, 12)
    assert found["sizes"] == [{"width_px": 96, "height_px": 96, "cells": 23}]
    assert found["bit_depths"] == {"8": 23}
    assert [unread["path"] for unread in found["unreadable"]] == ["b/4.png"]
    assert found["repeated"] == {
        "cells": 1,
        "crops": 2,
        "by_chance": 0,
        "dismissed": 0,
        "pairs": [
            {
                "path": "a/0.png",
                "other": "b/11.png",
                "similarity": 1.0,
                "copy": True,
                "crosses_split": False,
                "same_label": False,
            }
        ],
    }
    assert (found["split"], found["doubts"]) == (None, None)
    assert set(found["drift"]) == {"brightness", "focus"}
    with (out / "check.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["question"], row["status"], row["path"]) for row in rows] == [
        (finding["question"], finding["status"], finding["path"]) for finding in found["findings"]
    ]
    page = (out / "check.html").read_text()
    for text in (
        "No network can be trained on this set",
        "b/4.png",
        "One cell, two labels",
        "<svg",
        "frame_11",
    ):
        assert text in page
    assert "<script" not in page

    table = CliRunner().invoke(command, ["check", str(clean)])
    assert (table.exit_code, table.stderr) == (1, "")
    assert "b/4.png: cannot be read" in table.stdout


def test_the_terminal_shows_every_error_and_names_the_rest(clean: Path, tmp_path: Path) -> None:
    for k in range(7):
        (clean / "a" / f"{k}.png").write_bytes(b"")
        write(clean / "b" / f"{k}.png", np.zeros((96, 96), np.uint8))
    printed = CliRunner().invoke(command, ["check", str(clean)]).stdout
    assert printed.count("cannot be read: the file is empty") == 7
    assert printed.count("all one grey level") == 5
    assert "more: --out DIR writes all to check.csv" in printed
    out = tmp_path / "out"
    printed = CliRunner().invoke(command, ["check", str(clean), "--out", str(out)]).stdout
    assert f"more: all are in {out}/check.csv" in printed.replace("\n", " ")
    assert "--out DIR" not in printed


def test_the_chart_has_few_short_ticks_and_a_legend_only_where_needed(clean: Path, tmp_path: Path) -> None:
    table = clean / "cells.csv"
    table.write_text(table.read_text().replace("frame_", "a_recording_with_a_long_name_of_2026_11_frame_"))
    charts = []
    for dark in (False, True):
        if dark:
            write(clean / "a" / "5.png", (a_cell(10) * 0.5).astype(np.uint8))
            write(clean / "b" / "5.png", (a_cell(11) * 0.5).astype(np.uint8))
        result = CliRunner().invoke(command, ["check", str(clean), "--out", str(tmp_path / "out"), "--force"])
        assert result.exit_code == 0
        page = (tmp_path / "out" / "check.html").read_text()
        charts.append(page[page.index("<svg") : page.index("</svg>")])
    for chart in charts:
        assert 4 <= chart.count("…") <= 5 * 2
        assert "a_recording" not in chart
    assert "outlier" not in charts[0]
    assert "outlier" in charts[1]


def test_names_from_files_do_nothing_on_page_and_terminal(tmp_path: Path) -> None:
    rows = ["path,label,group"]
    for k, label in enumerate(("[red]<b>x", "y")):
        for copy in range(2):
            write(tmp_path / f"{k}{copy}.png", a_cell(k))
            rows.append(f"{k}{copy}.png,{label},g&{k}{copy}")
    (tmp_path / "cells.csv").write_text("\n".join(rows) + "\n")
    out = tmp_path / "out"
    result = CliRunner().invoke(command, ["check", str(tmp_path), "--out", str(out)])
    assert result.exit_code == 0
    assert "[red]<b>x 2" in result.stdout
    page = (out / "check.html").read_text()
    assert "<b>x" not in page
    assert "&lt;b&gt;x" in page


@pytest.mark.parametrize(
    ("make", "message"),
    [
        ("nothing", "no images found"),
        ("photo", "is not a CSV file in UTF-8"),
        ("columns", "column label is missing"),
    ],
)
def test_what_is_no_set_gets_one_line(tmp_path: Path, make: str, message: str) -> None:
    path = tmp_path / "set"
    if make == "nothing":
        path.mkdir()
    else:
        path.write_bytes(b"path\n1.png\n" if make == "columns" else b"\x89PNG\xff\xfe")
    result = CliRunner().invoke(command, ["check", str(path)])
    assert result.exit_code == 1
    assert message in result.output
    assert "Traceback" not in result.output


def test_the_worst_status_wins() -> None:
    assert worst([]) is Status.OK
    assert worst([Status.WARNING, Status.OK, Status.ERROR]) is Status.ERROR


# the paper's table


def test_the_expansion_has_the_papers_totals_only_for_other_counts_than_the_paper_states() -> None:
    """The paper's factors follow from its counts; its totals do not.

    1540, 444 and 211 images times 6, 24 and 50 are 9,240, 10,656 and 10,550. The totals that it prints,
    10,266, 10,392 and 10,400, are the same factors times 1711, 433 and 208.
    """
    stated, printed = [1540, 444, 211], [10_266, 10_392, 10_400]
    factors = augment.expansion_factors(stated)
    assert factors == [6, 24, 50]

    def totals(counts: list[int]) -> list[int]:
        truth = np.repeat(np.arange(3), counts)
        listed: list[int] = np.bincount(truth[augment.expansion(truth, factors)[:, 0]]).tolist()
        return listed

    assert totals(stated) == [9_240, 10_656, 10_550]
    assert totals([1711, 433, 208]) == printed
    assert [total % factor for total, factor in zip(printed, factors, strict=True)] == [0, 0, 0]


@pytest.mark.parametrize(("row", "kept"), [("0.png,a", 1), ("0.png,", 0), ("0.png,a,frame 1,b", 1)])
def test_of_a_list_full_of_problems_some_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: str, kept: int
) -> None:
    for module in (table, data):
        monkeypatch.setattr(module, "MOST_PROBLEMS", 3)
    write(tmp_path / "0.png", a_cell(1))
    (tmp_path / "cells.csv").write_text("path,label,group\n" + f"{row}\n" * 9)
    found = inventory.take_inventory(tmp_path / "cells.csv")
    assert len(found.crops) <= kept
    assert len(found.problems) == 4
    assert found.problems[-1] == "3 lines have problems: what follows was not read"
