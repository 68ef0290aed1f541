"""docs/files.md names every column and key of every file, and none that does not exist."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import fields, replace
from pathlib import Path

import flowio  # type: ignore[import-untyped]
import pytest

from edge.find.quality import Quality
from edge.report.crop_export import CROP_COLUMNS
from edge.report.files import CELL_COLUMNS, PIXEL_COLUMN, result_summary
from edge.report.session_export import FRAME_COLUMNS, SESSION_CELL_COLUMNS, described, export_session
from edge.session.record import FrameRecord, Header, frame_record
from edge.session.store import read_session
from edge.session.tables import TABLES
from edge.session.writer import create_session
from edge.simulate.write import COLUMNS as TRUTH_COLUMNS
from tests.edge.report.test_report import counted_frame, run_of
from tests.edge.session.test_session import LABELS, ROOT, cell, header, record
from train.label.write import MEASURES
from train.run import Epoch
from train.table import FoldCrop, LabelledCrop, SplitCrop, SuggestedLabel, Verdict

PAGE = (ROOT / "docs" / "files.md").read_text("utf-8")


def documented(heading: str, column: str) -> list[str]:
    """Return the names in the first column of a table: that under a heading with this title of the column."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    table = re.split(rf"(?m)^\| {re.escape(column)} \|.*\n\|---\|---\|\n", section)[1].split("\n\n")[0]
    return [name for row in table.splitlines() for name in re.findall("`([^`]+)`", row.split("|")[1])]


def explained(heading: str, key: str) -> set[str]:
    """Return the names in the second column of a row."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    (row,) = (
        line for line in section.splitlines() if line.startswith("|") and f"`{key}`" in line.split("|")[1]
    )
    return set(re.findall("`([^`]+)`", row.split("|")[2]))


def listed(table: str) -> list[str]:
    """Return the columns of a table of training or simulation."""
    (row,) = (line for line in PAGE.splitlines() if line.startswith(f"| `{table}`"))
    text = re.sub(r"\(a person writes .*?\)", "", row.split("|")[2])
    return re.findall("`([^`]+)`", text)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("session")
    with create_session(header(sample_id="S", operator="O", calibration_sha256="ef" * 32), folder) as session:
        session.add(
            replace(record(0), cells=(cell(0, crop_png=b"png"), cell(1, LABELS[0], "low_confidence")))
        )
        session.add(FrameRecord(1, "gone", 0, failed="gone"))
        session.finish("enough", {})
    with read_session(session.path) as stored:
        export_session(stored, folder / "out", ["csv", "json", "fcs", "crops"])
        (folder / "out" / "show.json").write_text(json.dumps(described(stored)))
    return folder / "out"


def first_row(path: Path) -> list[str]:
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file))


def test_columns_of_a_count_and_a_session(exported: Path) -> None:
    of_count = documented("`cells.csv` of a count", "column")
    assert of_count == [*CELL_COLUMNS, "p_LABEL", PIXEL_COLUMN, "track_id"]
    of_session = documented("`cells.csv` of a session", "column")
    assert of_session == list(SESSION_CELL_COLUMNS)
    written = ["p_LABEL" if name.startswith("p_") else name for name in first_row(exported / "cells.csv")]
    assert list(dict.fromkeys(written)) == [*of_count[:-1], *of_session]
    frames = documented("`frames.csv` of a session", "column")
    assert frames == [*FRAME_COLUMNS, "settings.NAME", "quality.NAME"]
    assert documented("Quality of a frame", "measure") == [one.name for one in fields(Quality)]


def test_columns_of_crops(exported: Path) -> None:
    heading = "`crops.csv`, `rejected.csv` and `cells.csv` of exported crops"
    names = documented(heading, "column")
    assert tuple(names[: len(CROP_COLUMNS)]) == CROP_COLUMNS
    for table in ("crops.csv", "rejected.csv"):
        written = [
            "p_LABEL" if name.startswith("p_") else name for name in first_row(exported / "crops" / table)
        ]
        assert list(dict.fromkeys(written)) == names


def test_keys_of_a_count() -> None:
    heading = "`summary.json`, and `--json` of a count"
    summary = result_summary(run_of([counted_frame(0)]))
    names = documented(heading, "key")
    assert sorted(names) == sorted(summary)
    assert len(names) == len(set(names))
    for key in ("corrected", "frames", "quality", "bundle", "pixel"):
        assert set(summary[key]) <= explained(heading, key), key


def test_keys_of_a_session(exported: Path) -> None:
    heading = "`session.json`, and `--json` of `sessions show`"
    content = json.loads((exported / "session.json").read_text())
    assert sorted(documented(heading, "key")) == sorted(content)
    assert set(content) - {"frames"} == set(json.loads((exported / "show.json").read_text()))
    assert sorted(documented(heading, "key of `header`")) == sorted(one.name for one in fields(Header))
    assert sorted(content["header"]) == sorted(one.name for one in fields(Header))
    assert sorted(documented(heading, "key of a frame")) == sorted(content["frames"][0])
    assert explained(heading, "totals") == set(content["totals"])
    assert explained(heading, "finished") == set(content["finished"])
    box = {"x", "y", "width", "height"}
    cells = content["frames"][0]["cells"][0]
    section = PAGE.split(f"\n## {heading}\n")[1]
    (row,) = (line for line in section.splitlines() if line.startswith("| `cells` |"))
    assert set(re.findall("`([^`]+)`", row.split("|")[2])) - {"labels"} == set(cells) - box
    assert set(frame_record(counted_frame(0)).facts) <= explained(heading, "facts")


def test_channels_and_keywords(exported: Path) -> None:
    read = flowio.FlowData(exported / "cells.fcs")
    channels = ["p_LABEL" if name.startswith("p_") else name for name in read.pnn_labels]
    assert documented("`cells.fcs`", "channel") == list(dict.fromkeys(channels))
    named = {name.removeprefix("$").lower() for name in documented("`cells.fcs`", "keyword")}
    written = {re.sub(r"_\d+$", "_n", name) for name in read.text if name.startswith("leuko_")}
    assert {name for name in named if name.startswith("leuko_")} == written
    assert {name for name in named if not name.startswith("leuko_")} <= set(read.text)


def test_columns_of_the_sessions_tables() -> None:
    heading = "Tables of a session's file (SQLite)"
    assert documented(heading, "column of `frame`") == [*TABLES.frame_columns, "hash"]
    assert documented(heading, "column of `cell`") == ["frame_index", *TABLES.cell_columns]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("truth.csv", [*TRUTH_COLUMNS, "particle"]),
        ("cells.csv", LabelledCrop.columns()),
        ("labels.csv", [*SuggestedLabel.columns(), *MEASURES]),
        ("history.csv", Epoch.columns()),
        ("split.csv", SplitCrop.columns()),
        ("out_of_fold.csv", FoldCrop.columns()),
        ("doubts.csv", Verdict.columns()),
    ],
)
def test_columns_of_training(table: str, columns: list[str]) -> None:
    assert listed(table) == columns
