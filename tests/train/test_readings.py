from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from train.batches import Batches
from train.crops import CropOptions, cut
from train.data import Dataset, read_data, split
from train.readings import majority, reader_columns
from train.recipe import recipe_of

READ = (
    "path,label,group,reader1,sure1,reader2\n"
    "0.png,a,f0,a,2,a\n"
    "1.png,a,f1,b,2,b\n"
    "2.png,b,f2,,,b\n"
    "3.png,a,f3,b,0,c\n"
    "4.png,c,f4,c,2,\n"
    "5.png,a,f5,a,1,b\n"
)
"""Unanimous, outvoted, read twice, tied, read twice, and two against one."""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for k in range(6):
        assert cv2.imwrite(str(tmp_path / f"{k}.png"), rng.integers(0, 256, (200, 200), np.uint8))
    (tmp_path / "cells.csv").write_text(READ)
    return tmp_path / "cells.csv"


@pytest.mark.parametrize(
    ("read", "held"),
    [("a", "a"), ("aab", "a"), ("bab", "b"), ("ab", None), ("abc", None), ("aabb", None), ("cccab", "c")],
)
def test_the_majority_is_more_than_any_other(read: str, held: str | None) -> None:
    assert majority(read) == held


def test_readers_come_by_their_number() -> None:
    assert reader_columns(["reader10", "label", "reader2", "reader", "reader0", "sure1", "reader1x"]) == [
        "reader2",
        "reader10",
    ]


def test_scores_take_the_majority_and_training_the_shares(table: Path) -> None:
    data = read_data(table)
    assert data.labels == ("a", "b", "c")
    assert [data.labels[k] for k in data.truth] == ["a", "b", "b", "a", "c", "a"]
    assert data.readings is not None
    assert data.readings.tolist() == [[3, 0, 0], [1, 2, 0], [0, 2, 0], [1, 1, 1], [0, 0, 2], [2, 1, 0]]
    np.testing.assert_allclose(data.targets[[1, 3]], [[1 / 3, 2 / 3, 0], [1 / 3] * 3], atol=1e-6)
    assert data.tied.tolist() == [False, False, False, True, False, False]
    assert data.settled().names == ("0.png", "1.png", "2.png", "4.png", "5.png")


def test_one_reading_each_is_as_before(table: Path) -> None:
    table.write_text(READ)
    several = read_data(table)
    table.write_text("".join(",".join(line.split(",")[:3]) + "\n" for line in READ.splitlines()))
    alone = read_data(table)
    assert alone.readings is None
    assert not alone.tied.any()
    assert alone.targets.tolist() == np.eye(3)[alone.truth].tolist()
    assert alone.sha256 != several.sha256


def test_a_batch_holds_the_shares_of_its_crops(table: Path) -> None:
    data = read_data(table)
    recipe = recipe_of("best", mixup=0.0, batch=6)
    _, labels = Batches(data, recipe, seed=0, epoch=0)[0]
    assert sorted(map(tuple, labels.round(3).tolist())) == sorted(map(tuple, data.targets.round(3).tolist()))
    _, labels = Batches(data, recipe_of("paper", batch=6), seed=0, epoch=0)[0]
    allowed = set(map(tuple, data.targets.round(3).tolist()))
    assert set(map(tuple, labels.round(3).tolist())) <= allowed


def test_what_readers_leave_open_is_never_scored(table: Path) -> None:
    data = read_data(table)
    whole = Dataset(
        crops=np.repeat(data.crops, 4, axis=0),
        truth=np.repeat(data.truth, 4),
        labels=data.labels,
        names=tuple(str(k) for k in range(24)),
        groups=tuple(str(k) for k in range(24)),
        readings=None if data.readings is None else np.repeat(data.readings, 4, axis=0),
    )
    training, validation = split(whole, 0.5)
    assert not validation.tied.any()
    assert training.tied.any()


@pytest.mark.parametrize(
    ("reading", "said"),
    [
        ("A", "labels A and a differ only in case"),
        ("../x", "line 2: reader1: label '../x' cannot name a folder"),
        ("d", "unknown label d; known are a, b, c"),
    ],
)
def test_a_reading_must_name_a_class(table: Path, reading: str, said: str) -> None:
    table.write_text(READ.replace("0.png,a,f0,a", f"0.png,a,f0,{reading}"))
    with pytest.raises(ValueError, match=said):
        read_data(table, ["a", "b", "c"])


def test_crops_keep_every_reading_and_lie_where_the_majority_puts_them(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "f.png"), np.full((600, 900), 90, np.uint8))
    (tmp_path / "boxes.csv").write_text(
        "frame,label,xmin,ymin,xmax,ymax,class,reader1,sure1,reader2\n"
        "f.png,WBC,100,100,200,200,x,white,2,white\n"
        "f.png,RBC,300,100,400,200,x,crenated,1,crenated\n"
        "f.png,RBC,500,300,600,400,x,white,0,crenated\n"
    )
    rename = {"WBC": "leukocyte", "RBC": "erythrocyte", "white": "leukocyte"}
    made = cut([tmp_path / "f.png"], tmp_path / "boxes.csv", tmp_path / "out", CropOptions(rename=rename))
    assert made.counts == {"crenated": 1, "erythrocyte": 1, "leukocyte": 1}
    assert any(remark.startswith("of 1 cell the readers settle on no class") for remark in made.remarks)
    with (tmp_path / "out" / "cells.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["label"], row["reader1"], row["reader2"], row["path"].split("/")[0]) for row in rows] == [
        ("leukocyte", "leukocyte", "leukocyte", "leukocyte"),
        ("erythrocyte", "crenated", "crenated", "crenated"),
        ("erythrocyte", "leukocyte", "crenated", "erythrocyte"),
    ]
    assert read_data(tmp_path / "out").tied.tolist() == [False, False, True]


def test_a_reading_that_cannot_name_a_folder_is_refused_before_any_file(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "f.png"), np.full((300, 300), 90, np.uint8))
    (tmp_path / "boxes.csv").write_text(
        "frame,label,xmin,ymin,xmax,ymax,reader1,reader2\nf.png,a,100,100,200,200,../../b,../../b\n"
    )
    with pytest.raises(ValueError, match=r"boxes\.csv, line 2: reader1: label .* cannot name a folder"):
        cut([tmp_path / "f.png"], tmp_path / "boxes.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()
