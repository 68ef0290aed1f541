"""A session as CSV, JSON and FCS: the same cells in each, and nothing overwritten unasked."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import flowio  # type: ignore[import-untyped]
import numpy as np
import pytest

from edge.base.cell import Cell
from edge.base.csv_text import unquoted
from edge.base.frame import Frame
from edge.classify.decision import Decision
from edge.count.counted_frame import CountedFrame
from edge.report.files import write_cells, write_cells_header
from edge.report.session_export import TABLE_FORMATS, UNKNOWN, export_session
from edge.report.without_paths import WithoutPaths
from edge.session.files import DamagedSessionError, SessionError
from edge.session.record import FrameRecord, frame_record
from edge.session.store import read_session
from edge.session.writer import create_session
from tests.edge.session.test_session import LABELS, cell, files, finished, header, record

__all__ = ["finished"]
EVERYTHING = ["cells.csv", "cells.fcs", "frames.csv", "session.json"]


def exported(path: Path, folder: Path, *formats: str) -> Path:
    with read_session(path) as session:
        export_session(session, folder, formats)
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fcs(path: Path) -> tuple[dict[str, str], dict[str, list[float]]]:
    """Keywords, and the events of each channel, as flowio reads them."""
    read = flowio.FlowData(path)
    events = np.reshape(read.events, (-1, read.channel_count))
    return read.text, dict(zip(read.pnn_labels, events.T.tolist(), strict=True))


def test_cells_csv_begins_as_a_reports_does(tmp_path: Path) -> None:
    found = [Cell(1, 2, 30, 40, 700.5, True, False), Cell(5, 6, 31, 41, 800, False, True)]
    probabilities = np.array([[0.7, 0.2, 0.1], [0.4, 0.3, 0.3]], np.float32)
    frame = Frame(np.zeros((9, 9), np.uint8), 'a, "b"\n', 4, 7)
    decisions = [Decision("granulocyte"), Decision("granulocyte", "low_confidence")]
    track_ids = np.array([3, 8])
    crops = np.zeros((2, 9, 9), np.uint8)
    counted = CountedFrame(frame, "cd", found, crops, probabilities, decisions, track_ids=track_ids)
    with create_session(header(), tmp_path) as session:
        session.add(frame_record(counted))
    report = io.StringIO()
    write_cells_header(report, LABELS)
    write_cells(report, replace(counted, track_ids=None), pixel_um=0.1)
    expected = list(csv.reader(io.StringIO(report.getvalue())))
    with (exported(session.path, tmp_path / "out", "csv") / "cells.csv").open(newline="") as file:
        written = list(csv.reader(file))
    assert [row[: len(expected[0])] for row in written] == expected
    assert written[0][9:] == [
        *(f"p_{label}" for label in LABELS),
        *("pixel_um", "frame_index", "area_px", "border", "touching", "track_id"),
    ]
    assert [row[5:9] for row in written[1:]] == [
        ["granulocyte", "0.7000", "granulocyte", ""],
        ["rejected", "0.4000", "granulocyte", "low_confidence"],
    ]
    assert written[1][9:] == ["0.700000", "0.200000", "0.100000", "0.1", "4", "700.5", "1", "0", "3"]


def test_frames_csv_has_what_any_frame_has(tmp_path: Path, finished: Path) -> None:
    frames = rows(exported(finished, tmp_path / "out", "csv") / "frames.csv")
    assert [frame["frame_index"] for frame in frames] == ["0", "1", "2", "5"]
    assert frames[0] | {"sha256": ""} == {
        "frame_index": "0",
        "frame": "camera#0",
        "time_ns": "1700000000000000000",
        "sha256": "",
        "failed": "",
        "kind": "",
        "cells": "2",
        "dropped_before": "0",
        "breaches": "too dark",
        "settings.exposure_us": "900",
        "quality.drift": "",
        "quality.focus": "0.25",
    }
    assert (frames[3]["failed"], frames[3]["kind"]) == ("no such file", "unreadable")
    assert (frames[3]["dropped_before"], frames[3]["quality.focus"]) == ("2", "")


def test_json_is_the_session_without_pictures(tmp_path: Path, finished: Path) -> None:
    content = json.loads((exported(finished, tmp_path / "out", "json") / "session.json").read_text())
    with read_session(finished) as session:
        frames = list(session.frames())
        assert content["last_hash"] == session.last_hash
    assert content["header"]["sample_id"] == "S/17 µ"
    assert content["finished"]["result"] == {"counts": {"granulocyte": 6}}
    assert content["totals"]["cells"] == 6
    assert len(content["frames"]) == 4
    for stored, written in zip(frames, content["frames"], strict=True):
        assert written["name"] == stored.name
        assert [c["probabilities"] for c in written["cells"]] == [list(c.probabilities) for c in stored.cells]
    assert set(content["frames"][0]["cells"][0]) == {
        *("x", "y", "width", "height", "area_px", "label", "probabilities", "border", "touching", "track_id"),
        *("likeliest", "rejected_by"),
    }


def test_fcs_is_read_back(tmp_path: Path) -> None:
    begun = header(operator="/Ω/", labels=("a,b", "c", "d"), counted=("c",), sample_id="50 $/l")
    with create_session(begun, tmp_path) as session:
        session.add(replace(record(0), cells=(cell(1, "c", track_id=6), cell(4, "c", "out_of_distribution"))))
        session.add(FrameRecord(1, "b", 0, failed="gone"))
        session.add(replace(record(7), cells=(cell(2, "a,b"),)))
        seal = session.finish("enough")
    text, events = fcs(exported(session.path, tmp_path / "out", "fcs") / "cells.fcs")
    assert (text["datatype"], text["mode"], text["tot"], text["par"]) == ("F", "L", "3", "15")
    assert list(events) == [
        *("frame", "x", "y", "width", "height", "area_px", "label", "p_a;b", "p_c", "p_d"),
        *("border", "touching", "track_id", "likeliest", "rejected_by"),
    ]
    assert events["frame"] == [0, 0, 7]
    assert (events["x"], events["y"]) == ([1, 4, 2], [2, 8, 4])
    assert (events["width"], events["height"]) == ([30] * 3, [40] * 3)
    assert events["area_px"] == [99.5] * 3
    assert [text[f"leuko_label_{k:.0f}"] for k in events["label"]] == ["c", "rejected", "a,b"]
    assert [text[f"leuko_label_{k:.0f}"] for k in events["likeliest"]] == ["c", "c", "a,b"]
    assert events["rejected_by"] == [0, 2, 0]
    assert (text["leuko_reason_1"], text["leuko_reason_2"]) == ("low_confidence", "out_of_distribution")
    assert events["track_id"] == [6, UNKNOWN, UNKNOWN]
    assert (events["border"], events["touching"]) == ([0, 1, 1], [0, 0, 0])
    for name, p in (("p_a;b", 0.7), ("p_c", 0.2), ("p_d", 0.1)):
        assert events[name] == [float(np.float32(p))] * 3
    for k, name in enumerate(events, 1):
        assert max(events[name]) < float(text[f"p{k}r"])
    assert text["smno"] == "50 /l", "flowio's reader drops dollar signs"
    assert b"50 $//l" in (tmp_path / "out" / "cells.fcs").read_bytes()
    assert text["op"].strip() == "/Ω/"
    assert (text["date"], text["btim"]) == ("28-JUL-2026", "14:25:30")
    assert (text["leuko_bundle"], text["leuko_bundle_sha256"]) == (begun.bundle, begun.bundle_sha256)
    assert text["leuko_hash"] == seal
    assert "diagnosis" in text["com"]


def test_fcs_ranges_are_positive(tmp_path: Path) -> None:
    with create_session(header(), tmp_path) as session:
        session.add(replace(record(0), cells=(cell(1, LABELS[0]),)))
    text, events = fcs(exported(session.path, tmp_path / "out", "fcs") / "cells.fcs")
    assert events["track_id"] == [UNKNOWN]
    assert all(float(text[f"p{k}r"]) >= 1 for k in range(1, len(events) + 1))


@pytest.mark.parametrize("name", ["=1+2.png", "+a.png", "-a.png", "@a.png", "\ta.png", "'=a.png"])
def test_a_frames_name_is_no_formula_in_any_table(tmp_path: Path, name: str) -> None:
    with create_session(header(), tmp_path) as session:
        session.add(replace(record(0), name=name, cells=(cell(1, LABELS[0]),)))
        session.add(FrameRecord(1, name, 0, failed="=gone"))
    folder = exported(session.path, tmp_path / "out", "csv")
    (of_cell,) = rows(folder / "cells.csv")
    frame, failed = rows(folder / "frames.csv")
    assert of_cell["frame"] == frame["frame"] == failed["frame"] == f"'{name}"
    assert (failed["failed"], unquoted(of_cell["frame"])) == ("'=gone", name)


def test_a_session_without_cells_is_exported_too(tmp_path: Path) -> None:
    with create_session(header(sample_id=""), tmp_path) as session:
        pass
    out = exported(session.path, tmp_path / "out", *TABLE_FORMATS)
    text, events = fcs(out / "cells.fcs")
    assert (text["tot"], list(events.values())) == ("0", [[]] * 15)
    assert "smno" not in text
    assert rows(out / "cells.csv") == rows(out / "frames.csv") == []
    assert json.loads((out / "session.json").read_text())["frames"] == []


def test_all_files_show_one_moment(tmp_path: Path) -> None:
    """What is counted during an export is in none of its files."""
    with create_session(header(), tmp_path) as session:
        session.add(record(0))
        with read_session(session.path) as stored, stored.snapshot():
            assert stored.count_frames() == 1
            session.add(record(1))
            export_session(stored, tmp_path / "out", list(TABLE_FORMATS))
        assert session.count_frames() == 2
    assert len(rows(tmp_path / "out" / "frames.csv")) == 1
    assert len(rows(tmp_path / "out" / "cells.csv")) == 2
    assert json.loads((tmp_path / "out" / "session.json").read_text())["totals"]["frames_read"] == 1
    assert fcs(tmp_path / "out" / "cells.fcs")[0]["tot"] == "2"


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A session of files that were named absolutely, counted in somebody's home."""
    parameters = {
        "folder": "/home/anna",
        "report": "/home/anna/out",
        "bundle": "/opt/models/b.tflite",
        "analysis": {"pixel_um": 0.1},
        "files": ["/home/anna/day 1/a.png", "/mnt/secret project/plate/b.png"],
    }
    sources = ("/home/anna/day 1", "/mnt/secret project/plate")
    result = {"sources": list(sources), "remarks": ["no pixel in /home/anna/day 1/a.png, half of it"]}
    with create_session(header(parameters=parameters, sources=sources), tmp_path) as session:
        session.add(replace(record(0), name="/home/anna/day 1/a.png"))
        session.add(replace(record(1), name="/mnt/secret project/plate/b.png#3"))
        session.add(FrameRecord(2, "c.png", 0, failed="cannot open '/home/anna/c.png'"))
        session.finish("all frames", result)
    return session.path


def test_the_folders_of_the_machine_stay_there(tmp_path: Path, elsewhere: Path) -> None:
    out = exported(elsewhere, tmp_path / "out", *TABLE_FORMATS, "crops")
    for path in out.rglob("*"):
        if path.is_file():
            assert not [word for word in (b"anna", b"secret", b"/opt") if word in path.read_bytes()], path
    assert [row["frame"] for row in rows(out / "frames.csv")] == ["day 1/a.png", "plate/b.png#3", "c.png"]
    content = json.loads((out / "session.json").read_text())
    assert content["header"]["sources"] == ["day 1", "plate"]
    assert content["header"]["parameters"] == {
        "folder": ".",
        "report": "out",
        "bundle": "b.tflite",
        "analysis": {"pixel_um": 0.1},
        "files": ["day 1/a.png", "plate/b.png"],
    }
    assert content["finished"]["result"]["remarks"] == ["no pixel in day 1/a.png, half of it"]
    assert content["frames"][2]["failed"] == "cannot open 'c.png'"


@pytest.mark.parametrize(
    ("folders", "text", "expected"),
    [
        (["/a", "/a/b"], "/a/b/c.png", "b/c.png"),
        (["/a", "/ab", "/a b"], "/ab/c /a/d /a b/e", "c d e"),
        (["/a/b", "/a/bc"], "/a/c/x '/a/bc/y' (/a/b/z) /a/b", "/a/c/x 'y' (z) /a/b"),
        (["/a"], "x/a/b:/a/c,/a/d/a/e", "x/a/b:c,d/a/e"),
        (["/a /b"], "/a /b/a /b/c", "a /b/c"),
        (["/.*"], "/x/y /.*/z", "/x/y z"),
        (["/é/𝄞", "/é"], "/é/𝄞/x", "𝄞/x"),
    ],
)
def test_the_outermost_folder_is_left_out_wherever_a_path_begins(
    tmp_path: Path, folders: list[str], text: str, expected: str
) -> None:
    sources = tuple(f"{folder}/x" for folder in folders)
    with create_session(header(parameters={"folder": "/elsewhere"}, sources=sources), tmp_path) as session:
        session.add(replace(record(0, cells=0), name=text))
        (frame,) = WithoutPaths(session).frames()
    assert frame.name == expected


def test_many_long_folders_and_names_are_shortened_in_time_with_their_length(tmp_path: Path) -> None:
    """A regular expression of these took minutes, and half a gigabyte."""
    sources = tuple(f"/aaaaaaaa{k:05}/x" for k in range(20_000))
    named = header(parameters={"a": f"/{'-' * 1_000_000}/b"}, sources=sources)
    with create_session(named, tmp_path) as session:
        session.add(replace(record(0, cells=0), name=" /aaaaaaaa9" * 50_000 + " /aaaaaaaa00007/y"))
        began = time.process_time()
        (frame,) = WithoutPaths(session).frames()
    assert frame.name.endswith("9 y")
    assert time.process_time() - began < 2


def test_settings_without_end_make_no_table(tmp_path: Path) -> None:
    with create_session(header(), tmp_path) as session:
        for k in range(3):
            settings = {f"{k} {n}": n for n in range(50)}
            session.add(replace(record(k, cells=0), settings=settings))
        with pytest.raises(DamagedSessionError, match="more than 100 different settings"):
            export_session(session, tmp_path / "out", ["csv"])
    assert not (tmp_path / "out" / "frames.csv").exists()


def test_they_are_exported_when_asked_for(tmp_path: Path, elsewhere: Path) -> None:
    with read_session(elsewhere) as session:
        export_session(session, tmp_path / "out", ["csv", "json"], with_paths=True)
    assert rows(tmp_path / "out" / "frames.csv")[0]["frame"] == "/home/anna/day 1/a.png"
    content = json.loads((tmp_path / "out" / "session.json").read_text())
    assert content["header"]["parameters"]["folder"] == "/home/anna"


def test_earlier_files_stay_without_force(tmp_path: Path, finished: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "session.json").write_text("mine")
    with read_session(finished) as session:
        with pytest.raises(FileExistsError, match="give another name, or pass --force to replace it"):
            export_session(session, out, list(TABLE_FORMATS))
        assert files(out) == ["session.json"], "nothing else was written"
        assert (out / "session.json").read_text() == "mine"
        paths = export_session(session, out, list(TABLE_FORMATS), replace=True)
    assert files(out) == EVERYTHING == sorted(path.name for path in paths)
    assert json.loads((out / "session.json").read_text())["id"] == "2026-07-28T142530Z"


def test_an_unreadable_session_leaves_no_file(tmp_path: Path, finished: Path) -> None:
    with closing(sqlite3.connect(finished)) as database:
        database.executescript("UPDATE cell SET probabilities = 'no JSON' WHERE frame_index = 2")
    with read_session(finished) as session, pytest.raises(SessionError, match="damaged"):
        export_session(session, tmp_path / "out", ["csv"])
    assert files(tmp_path / "out") == []
