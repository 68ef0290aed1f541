"""The crops of a session go into training as they are."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge.cli import main
from edge.session.store import read_session
from edge.session.writer import create_session
from tests.edge.session.test_session import LABELS, cell, header, record
from train.data import list_data, read_data


def leuko(*words: str | Path, code: int = 0) -> Result:
    result = CliRunner().invoke(main, list(map(str, words)))
    assert result.exit_code == code, result.output
    return result


def png(grey: int) -> bytes:
    return cv2.imencode(".png", np.full((200, 200), grey, np.uint8))[1].tobytes()


@pytest.fixture
def session(tmp_path: Path) -> Path:
    """Three frames with two labelled cells and a rejected one each; the second frame has an odd name."""
    with create_session(header(crop_pixel_um=0.125), tmp_path / "home") as made:
        for k, name in enumerate(("a/f1.png", " =x\n.tif#3", "b/f1.png")):
            cells = (
                cell(0, LABELS[0], crop_png=png(10 * k)),
                cell(1, LABELS[0], "low_confidence", crop_png=png(10 * k + 1)),
                cell(2, LABELS[k % 2 + 1], crop_png=png(10 * k + 2)),
            )
            made.add(replace(record(3 * k), name=name, cells=cells))
    return made.path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", ["crops", "class-folders"])
def test_training_reads_them_as_they_are(session: Path, tmp_path: Path, form: str) -> None:
    done = leuko("sessions", "export", session, "--out", tmp_path / "out", "--format", form)
    data = tmp_path / "out" / ("crops/crops.csv" if form == "crops" else "classes")
    assert str(data) in done.stdout
    read = read_data(data)
    assert read.labels == tuple(sorted(LABELS))
    assert read.counts() == {"debris": 1, "granulocyte": 3, "lymphocyte": 2}
    assert read.crops[:, 0, 0].tolist() == [0, 2, 10, 12, 20, 22]
    assert read.pixel_um == 0.125
    assert read.groups == ("a/f1.png",) * 2 + ("=x?.tif#3",) * 2 + ("b/f1.png",) * 2


def test_every_crop_is_listed_and_names_sort(session: Path, tmp_path: Path) -> None:
    leuko("sessions", "export", session, "--out", tmp_path, "--format", "crops")
    folder = tmp_path / "crops"
    files = sorted(path.name for path in folder.glob("*.png"))
    assert files == [f"{3 * k:06}-{n:04}.png" for k in range(3) for n in range(3)]
    labelled, rejected = rows(folder / "crops.csv"), rows(folder / "rejected.csv")
    assert sorted(row["path"] for row in (*labelled, *rejected)) == files
    assert [(row["label"], row["likeliest"], row["rejected_by"]) for row in rejected] == [
        ("", "granulocyte", "low_confidence")
    ] * 3
    assert list(labelled[0]) == [
        *(
            "path",
            "label",
            "group",
            "pixel_um",
            "frame_index",
            "track_id",
            "frame",
            "x",
            "y",
            "width",
            "height",
        ),
        *("probability", "likeliest", "rejected_by", *(f"p_{label}" for label in LABELS)),
    ]
    assert (labelled[2]["frame"], labelled[2]["frame_index"]) == (" =x\n.tif#3", "3")
    with read_session(session) as stored:
        crops = [one.crop_png for frame in stored.frames(crops=True) for one in frame.cells]
    assert [(folder / name).read_bytes() for name in files] == crops
    # the rejected ones have no label yet, which training says
    assert "label is empty" in list_data(folder / "rejected.csv").problems[0]


def test_class_folders_leave_out_what_was_rejected(session: Path, tmp_path: Path) -> None:
    leuko("sessions", "export", session, "--out", tmp_path, "--format", "class-folders")
    assert sorted(path.name for path in (tmp_path / "classes").iterdir()) == ["cells.csv", *sorted(LABELS)]
    assert len(list((tmp_path / "classes").rglob("*.png"))) == 6


def test_a_session_without_crops_names_the_remedy(tmp_path: Path) -> None:
    with create_session(header(), tmp_path) as made:
        made.add(replace(record(0), cells=(cell(0), cell(1))))
    for form in ("crops", "class-folders"):
        words = (
            "sessions",
            "export",
            made.path,
            "--out",
            tmp_path / "out",
            "--format",
            form,
            "--format",
            "csv",
        )
        done = leuko(*words, code=1)
        assert done.stderr == f"Error: {made.id}: no crops were kept: count again with --keep-crops\n"
        assert not (tmp_path / "out").exists()


def test_an_earlier_export_gives_way_only_when_asked_and_other_files_never(
    session: Path, tmp_path: Path
) -> None:
    words = ("sessions", "export", session, "--out", tmp_path, "--format", "crops")
    leuko(*words)
    assert "--force" in leuko(*words, code=1).stderr
    (tmp_path / "crops" / "000099-0000.png").write_bytes(b"of an earlier export")
    leuko(*words, "--force")
    assert not (tmp_path / "crops" / "000099-0000.png").exists()
    (tmp_path / "crops" / "mine.txt").write_text("mine")
    refused = leuko(*words, "--force", code=1).stderr
    assert "mine.txt: no file of an export; give another name" in refused
    assert (tmp_path / "crops" / "mine.txt").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops", "home"]
