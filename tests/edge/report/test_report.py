from __future__ import annotations

import csv
import io
import json
import re
import resource
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from edge.base.cell import Cell
from edge.base.constants import RESEARCH_USE
from edge.base.frame import FailedFrame, Frame
from edge.classify.decision import Decision, decide_labels
from edge.count.better import Errors
from edge.count.concentration import FieldVolume, estimate_concentration
from edge.count.correction import Correction, Validation, correct_counts
from edge.count.counted_frame import CountedFrame
from edge.count.intervals import Estimate
from edge.count.result import LEUKOCYTES, CountResult
from edge.count.size_gates import GateEffect
from edge.count.tally import tally_decisions
from edge.count.totals import Spread
from edge.find.crops import Normalisation
from edge.model.manifest import Manifest, Quantisation, TrainingData
from edge.report.annotated import OKABE_ITO, SIDE_PX, abbreviations, annotate, colours
from edge.report.files import CELL_COLUMNS, probability_columns, result_summary
from edge.report.page import FAILED_SHOWN, GALLERY_CELLS, LEAST_SURE_CELLS, PAGE_FRAMES
from edge.report.terminal import print_result
from edge.report.words import CORRECTED_IF, per_ul, which_to_report, width_is_of
from edge.report.writer import ReportWriter

LABELS = ("granulocyte", "lymphocyte", "monocyte", "erythrocyte", "debris")
HOSTILE = '</title><script>alert("1")</script>&amp;\'\n\x1b[31m[red]\ud7ff.png'
MANIFEST = Manifest(
    name="phantom3",
    version="1.0",
    labels=LABELS,
    counted=LABELS[:3],
    crop_px=200,
    crop_um=25.0,
    normalisation=Normalisation(0, 1 / 255, 0.0),
    input=Quantisation(1 / 255, -128),
    output=Quantisation(0.1, 0),
    sha256="ab" * 32,
    test_time_views=8,
    margin=1.5,
    temperature=1.0,
    reject_below=0.5,
    confusion=((9, 1, 0, 0, 0), (0, 7, 1, 0, 0), (0, 0, 6, 0, 0), (0, 0, 0, 5, 0), (0, 0, 0, 0, 0)),
    training=TrainingData("simulated <cells>", "cd" * 32),
    intended_use="Demonstration.",
    licence="Apache-2.0",
    notice="demonstration model, simulated cells",
)

VALIDATED = replace(MANIFEST, confusion=tuple(tuple(map(int, row)) for row in 90 * np.eye(5) + 2))


def counted_frame(
    index: int = 0, cells: int = 6, name: str | None = None, shape: tuple[int, int] = (300, 400)
) -> CountedFrame:
    rng = np.random.default_rng(index)
    image = rng.integers(90, 160, shape, dtype=np.uint8)
    boxes = [
        Cell(int(x), int(y), 40, 30, 900.0, border=False, touching=False)
        for x, y in zip(
            rng.integers(0, shape[1] - 40, cells), rng.integers(0, shape[0] - 30, cells), strict=True
        )
    ]
    probabilities = rng.dirichlet([0.4] * len(LABELS), cells).astype(np.float32)
    crops = rng.integers(120, 136, (cells, 200, 200), dtype=np.uint8)
    frame = Frame(image, name or f"plate/f{index}.png", index, 0)
    in_distribution = rng.random(cells) < 0.8
    decisions = decide_labels(probabilities, in_distribution, LABELS, MANIFEST.reject_below)
    return CountedFrame(frame, f"{index * 7919:064x}", boxes, crops, probabilities, decisions)


def run_of(
    frames: Sequence[CountedFrame],
    failed: Sequence[FailedFrame] = (),
    sources: str = "plate",
    manifest: Manifest = MANIFEST,
) -> CountResult:
    decisions = [decision for counted in frames for decision in counted.decisions]
    tally = tally_decisions(LABELS, manifest.counted, decisions, len(frames), failed)
    return CountResult(
        tally=tally,
        corrected=correct_counts(tally, Validation.of(manifest, usual=True)),
        manifest=manifest,
        reject_below=0.5,
        bundle_sha256="12" * 32,
        identifier="0123456789abcdef",
        parameters={"pixel_um": 0.125, "segmentation": {"min_area_um2": 20.0}},
        sources=(sources,),
        seconds=1.25,
        finished=datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC),
    )


def write_report(folder: Path, frames: Sequence[CountedFrame], run: CountResult) -> str:
    with ReportWriter(folder, MANIFEST) as writer:
        for counted in frames:
            writer.add(counted, writer.draw(counted))
        return writer.finish(run).read_text(encoding="utf-8")


class Page(HTMLParser):
    """Checks nesting, and collects tags and text."""

    VOID = frozenset({"meta", "img", "line", "rect", "path", "br"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


# ---- page ----------------------------------------------------------------------------------------------


def test_page_is_well_formed_self_contained_and_states_the_tally(tmp_path: Path) -> None:
    frames = [counted_frame(k) for k in range(12)]
    run = run_of(frames, [FailedFrame("bad.png", 3, "the file is empty")])
    page = Page(write_report(tmp_path, frames, run))
    fetched = [value for _, attrs in page.tags for name, value in attrs.items() if name in ("src", "href")]
    local = [value for value in fetched if value and not value.startswith("data:image/jpeg;base64,")]
    assert len(local) == PAGE_FRAMES
    assert all((tmp_path / file).is_file() for file in local)
    assert {tag for tag, _ in page.tags}.isdisjoint({"script", "link", "iframe", "object"})
    tallied = run.tally
    for label, fraction in tallied.fractions.items():
        assert fraction.value is not None
        interval = f"{100 * fraction.low:.1f}–{100 * fraction.high:.1f} %"
        assert f"{label} {tallied.counts[label]} {100 * fraction.value:.1f} % {interval}" in page.text
    for words in (
        f"{tallied.leukocytes} leukocytes",
        f"erythrocyte {tallied.counts['erythrocyte']}",
        f"{tallied.rejected} cells are counted under no label: {tallied.rejected_by['low_confidence']} low "
        f"confidence (best probability below 0.5), {tallied.rejected_by['out_of_distribution']} out of "
        "distribution",
        "bad.png the file is empty",
        "demonstration model, simulated cells",
        "Research use only, not for diagnosis",
        "simulated <cells> (SHA-256 " + "cd" * 32,
        "12" * 32,
        "0123456789abcdef",
        '{"min_area_um2": 20.0}',
        "2026-05-04 03:02 UTC",
        "90.0 %",  # recall of the first label
    ):
        assert words in page.text, words


def test_bars_and_whiskers_are_as_long_as_the_numbers(tmp_path: Path) -> None:
    frames = [counted_frame(k) for k in range(5)]
    run = run_of(frames)
    page = Page(write_report(tmp_path, frames, run))
    bars = [attrs for tag, attrs in page.tags if tag == "rect"]
    whiskers = [attrs["d"] for tag, attrs in page.tags if tag == "path"]
    grid = [float(attrs["x1"] or 0) for tag, attrs in page.tags if tag == "line"]
    left, scale = grid[0], grid[-1] - grid[0]
    for bar, whisker, fraction in zip(bars, whiskers, run.tally.fractions.values(), strict=True):
        assert float(bar["width"] or 0) / scale == pytest.approx(fraction.value, abs=1e-3)
        low, high = (float(x) for x in re.findall(r"M([\d.]+) \d+v", whisker or ""))
        assert [(low - left) / scale, (high - left) / scale] == pytest.approx(
            [fraction.low, fraction.high], abs=1e-3
        )


def test_hostile_names_act_nowhere(tmp_path: Path) -> None:
    frames = [counted_frame(0, name=f"../{HOSTILE}")]
    run = run_of(frames, [FailedFrame(HOSTILE, 1, "<b>")], sources=HOSTILE)
    page = Page(write_report(tmp_path, frames, run))
    assert "script" not in {tag for tag, _ in page.tags}
    assert '<script>alert("1")</script>' in page.text
    (annotated,) = (tmp_path / "annotated").iterdir()
    assert re.fullmatch(r"00000-[\w.-]+\.jpg", annotated.name, re.ASCII)
    output = io.StringIO()
    print_result(run, Console(file=output, width=200, force_terminal=False))
    assert "\x1b" not in output.getvalue()
    assert "[31m[red]" in output.getvalue()


def test_page_stays_below_five_megabytes_whatever_the_frames_hold(tmp_path: Path) -> None:
    noise = [counted_frame(k, cells=60, shape=(900, 1200)) for k in range(PAGE_FRAMES + 2)]
    crops = np.random.default_rng(0).integers(0, 256, (60, 200, 200), dtype=np.uint8)
    noise = [replace(counted, crops=crops) for counted in noise]
    failed = [
        FailedFrame(f"{k}" * 80, k, "truncated: the PNG ends before its last chunk") for k in range(3000)
    ]
    html = write_report(tmp_path, noise, run_of(noise, failed))
    assert len(html.encode()) < 5_000_000
    assert f"{3000 - FAILED_SHOWN:,} more are in" in Page(html).text


def test_galleries_are_bounded_and_the_same_for_the_same_cells(tmp_path: Path) -> None:
    frames = [counted_frame(k, cells=30) for k in range(6)]
    run = run_of(frames)
    first = write_report(tmp_path / "1", frames, run)
    assert write_report(tmp_path / "2", frames, run) == first
    shown = [attrs["alt"] or "" for tag, attrs in Page(first).tags if tag == "img"]
    assert sum(alt.startswith("cell") for alt in shown) == sum(
        min(GALLERY_CELLS, count) for count in [*run.tally.counts.values(), run.tally.rejected]
    )
    origins = {attrs["title"] for tag, attrs in Page(first).tags if tag == "figure"}
    assert {re.findall(r"plate/f\d", origin or "")[0] for origin in origins} == {
        f"plate/f{k}" for k in range(6)
    }


def test_each_cell_says_how_sure_its_label_is_and_why_it_is_rejected(tmp_path: Path) -> None:
    frames = [counted_frame(k) for k in range(4)]
    text = Page(write_report(tmp_path, frames, run_of(frames))).text
    reasons = set()
    for counted in frames:
        for decision, row in zip(counted.decisions, counted.probabilities, strict=True):
            best, second = sorted(row, reverse=True)[:2]
            first = f"{decision.likeliest}? {best:.2f}" if decision.rejected_by else f"{best:.2f}"
            other = f" {LABELS[list(row).index(second)]} {second:.2f}" if second >= 0.005 else ""
            reasons.add(decision.rejected_by)
            why = f" {decision.rejected_by.replace('_', ' ')}" if decision.rejected_by else ""
            assert f"{first}{other}{why}" in text
    assert reasons == {"", "low_confidence", "out_of_distribution"}


def test_the_least_sure_cells_come_first_and_none_is_left_out(tmp_path: Path) -> None:
    grey = np.full((60, 200, 200), 128, np.uint8)
    frames = [replace(counted_frame(k, cells=60), crops=grey) for k in range(9)]
    page = write_report(tmp_path, frames, run_of(frames))
    for label in LABELS[:3]:
        section = page[page.index(f"</span>{label}</h2>") :]
        section = section[: section.index("</section>")]
        shown = [float(number) for number in re.findall(r'alt="cell: ([\d.]+)', section)]
        found = [
            float(row.max())
            for counted in frames
            for decision, row in zip(counted.decisions, counted.probabilities, strict=True)
            if decision.label == label
        ]
        assert len(shown) == GALLERY_CELLS < len(found)
        assert shown == sorted(shown)
        least = [float(f"{p:.2f}") for p in sorted(found)[:LEAST_SURE_CELLS]]
        assert shown[:LEAST_SURE_CELLS] == least
        assert shown[-1] > least[-1], "some of the others are shown too"
        assert f"24 of {len(found)}: the 12 least sure ones, then 12 drawn at random" in section


def test_sample_and_operator_stand_wherever_the_number_does(tmp_path: Path) -> None:
    run = replace(run_of([counted_frame(0)]), sample_id="<S> 17", operator="Ann Ω\x1b[31m")
    page = Page(write_report(tmp_path, [counted_frame(0)], run))
    assert "Sample <S> 17 Operator Ann Ω" in page.text
    assert "Leukocyte count <S> 17" in page.text
    written = json.loads((tmp_path / "summary.json").read_text())
    assert (written["sample_id"], written["operator"]) == ("<S> 17", "Ann Ω\x1b[31m")
    output = io.StringIO()
    print_result(run, Console(file=output, width=80))
    assert "Sample: <S> 17\nOperator: Ann Ω\\x1b[31m\n" in output.getvalue()


def test_a_count_without_a_sample_says_nothing_of_one(tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, [counted_frame(0)], run_of([counted_frame(0)])))
    assert "Operator" not in page.text
    written = json.loads((tmp_path / "summary.json").read_text())
    assert (written["sample_id"], written["operator"]) == (None, None)


def test_nothing_counted_is_a_report_too(tmp_path: Path) -> None:
    frames = [counted_frame(0, cells=0)]
    page = Page(write_report(tmp_path, frames, run_of(frames)))
    assert "granulocyte 0 – 0.0–100.0 %" in page.text
    assert "No cell was rejected." in page.text
    assert json.loads((tmp_path / "summary.json").read_text())["fractions"]["monocyte"]["value"] is None


def test_corrected_shares_stand_beside_the_raw_ones_with_what_they_assume(tmp_path: Path) -> None:
    frames = [counted_frame(k) for k in range(12)]
    run = run_of(frames, manifest=VALIDATED)
    page = Page(write_report(tmp_path, frames, run))
    written = json.loads((tmp_path / "summary.json").read_text())["corrected"]
    output = io.StringIO()
    print_result(run, Console(file=output, width=80))
    terminal = " ".join(output.getvalue().split())
    assert max(map(len, output.getvalue().splitlines())) <= 80
    assert "maximum likelihood" in written["method"]
    for label, fraction in run.corrected.fractions.items():
        count = run.corrected.counts[label]
        assert fraction.value is not None
        assert count.value is not None
        interval = f"{100 * fraction.low:.1f}–{100 * fraction.high:.1f} %"
        share = f"{100 * fraction.value:.1f} %"
        assert f"{label} {count.value:.0f} {count.low:.0f}–{count.high:.0f} {share} {interval}" in page.text
        assert f"{label} {count.value:.0f} {share} {interval}" in terminal
        assert written["fractions"][label] == vars(fraction)
        assert written["counts"][label] == vars(count)
    assert written["report"] == run.corrected.report
    assert written["left_out"] == run.tally.rejected_by["out_of_distribution"] > 0
    for text in (page.text, terminal):
        assert CORRECTED_IF in text
        assert "These intervals hold chance alone, and not the classifier's own errors." in text
        assert f"{written['left_out']} cells unlike the training left out" in text
        assert f"Report the {run.corrected.report} shares" in text


def said(correction: Correction) -> str:
    return " ".join(filter(None, (which_to_report(correction), width_is_of(correction))))


def test_a_correction_says_which_numbers_to_report_and_which_cells_would_help() -> None:
    one, share = Estimate(0.5, 0.4, 0.6), {"granulocyte": Estimate(1.0, 1.0, 1.0)}
    several = Correction("", {"a": one, "b": one}, {}, one, (), validated=50, errors=Errors(0.02, 0.031))
    assert said(several) == (
        "Report the raw shares with the corrected intervals: correcting by 50 validation cells adds more"
        " error than it takes away (expected error 3.1 points; raw 2 points)."
    )
    better = replace(several, errors=Errors(0.05, 0.031), few_validated=True)
    assert said(better) == (
        "Report the corrected shares (expected error 3.1 points; raw 5 points). 50 validation cells set the"
        " width of the intervals: more of them would narrow it, more counted ones would not."
    )
    assert said(replace(better, fractions=share, few_validated=False)) == (
        "Report the corrected count (expected error 3.1 %; raw 5 %)."
    )
    assert said(replace(several, errors=None)) == ""


@pytest.mark.parametrize("misses", [False, True])
def test_cells_per_ul_say_whether_they_are_of_named_or_of_true_cells(misses: bool, tmp_path: Path) -> None:
    run = run_of([counted_frame(k) for k in range(3)], manifest=VALIDATED)
    amounts = {LEUKOCYTES: Estimate(52.0, 48.0, 56.0)}
    corrected = replace(run.corrected, misses=misses)
    run = replace(run, concentrations=amounts, volume=VOLUME, corrected=corrected)
    file = io.StringIO()
    print_result(run, Console(file=file, width=200))
    page = Page(write_report(tmp_path, [counted_frame(0)], run)).text
    for text in (" ".join(file.getvalue().split()), page):
        assert ("named cells, not corrected for misses" in text) is not misses
        assert ("corrected for misclassification, missed and false cells; " in text) is misses


@pytest.mark.parametrize("width", [20, 40, 60, 80])
def test_a_narrow_terminal_cuts_no_number_short(width: int) -> None:
    run = run_of([counted_frame(k) for k in range(12)], manifest=VALIDATED)
    output = io.StringIO()
    print_result(run, Console(file=output, width=width))
    rows = {" ".join(line.split()) for line in output.getvalue().splitlines()}
    total = run.corrected.leukocytes
    assert total is not None
    assert f"all leukocytes {total.value:.0f} {total.low:.0f}–{total.high:.0f}" in rows
    for label, share in run.corrected.fractions.items():
        assert share.value is not None
        interval = f"{100 * share.low:.1f}–{100 * share.high:.1f} %"
        count = run.corrected.counts[label].value
        wanted = f"{label} {count:.0f} {100 * share.value:.1f} % {interval}"
        assert any(row.startswith(wanted) for row in rows)


def test_of_a_single_label_the_corrected_count_is_shown(tmp_path: Path) -> None:
    frames = [counted_frame(k) for k in range(12)]
    run = run_of(frames, manifest=replace(VALIDATED, counted=("monocyte",)))
    page = Page(write_report(tmp_path, frames, run))
    total = run.corrected.leukocytes
    assert total is not None
    line = f"all leukocytes {total.value:.0f} {total.low:.0f}–{total.high:.0f}"
    output = io.StringIO()
    print_result(run, Console(file=output, width=80))
    assert line in " ".join(output.getvalue().split())
    assert line in page.text
    assert "svg" not in {tag for tag, _ in page.tags}


def test_labels_without_validation_cells_are_named(tmp_path: Path) -> None:
    frames = [counted_frame(0)]
    run = run_of(frames)
    page = Page(write_report(tmp_path, frames, run))
    output = io.StringIO()
    print_result(run, Console(file=output, width=80))
    for text in (page.text, " ".join(output.getvalue().split())):
        assert "the bundle has no validation cells of debris" in text
    written = json.loads((tmp_path / "summary.json").read_text())["corrected"]
    assert written["unvalidated"] == ["debris"]
    assert written["leukocytes"] is None


# ---- files ---------------------------------------------------------------------------------------------


def test_cells_csv_holds_every_cell_and_is_complete_after_each_frame(tmp_path: Path) -> None:
    frames = [counted_frame(k, name='odd, "name"\n.png' if k else None) for k in range(3)]
    with ReportWriter(tmp_path, MANIFEST) as writer:
        for done, counted in enumerate(frames, 1):
            writer.add(counted, writer.draw(counted))
            with (tmp_path / "cells.csv").open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            assert len(rows) == sum(len(frame.cells) for frame in frames[:done])
    assert tuple(rows[0]) == (*CELL_COLUMNS, *probability_columns(LABELS), "pixel_um")
    cells = [(frame, k) for frame in frames for k in range(len(frame.cells))]
    for row, (counted, k) in zip(rows, cells, strict=True):
        cell = counted.cells[k]
        assert row["frame"] == counted.frame.name
        assert [int(row[c]) for c in ("x", "y", "width", "height")] == [
            cell.x,
            cell.y,
            cell.width,
            cell.height,
        ]
        decision = counted.decisions[k]
        assert (row["label"], row["likeliest"], row["rejected_by"]) == (
            *(decision.label, decision.likeliest, decision.rejected_by),
        )
        assert float(row["probability"]) == pytest.approx(counted.probabilities[k].max(), abs=1e-4)
        written = [float(row[f"p_{label}"]) for label in LABELS]
        assert written == pytest.approx(counted.probabilities[k].tolist(), abs=1e-6)


def test_summary_is_the_json_object(tmp_path: Path) -> None:
    frames = [counted_frame(k) for k in range(3)]
    run = run_of(frames, [FailedFrame("a.png", 0, "the file is empty")])
    write_report(tmp_path, frames, run)
    written = json.loads((tmp_path / "summary.json").read_text())
    assert written == result_summary(run)
    assert written["counts"] == run.tally.counts
    failed = {"name": "a.png", "kind": "unreadable", "reason": "the file is empty"}
    assert written["frames"] == {"read": 3, "failed": [failed], "unlisted": {}}
    assert written["cells"] == 18 == sum(written["counts"].values()) + written["rejected"]
    assert written["rejected_by"] == run.tally.rejected_by
    assert written["rejected"] == sum(written["rejected_by"].values()) > 0
    bundle = {"name": "phantom3", "version": "1.0", "sha256": "12" * 32, "signature": "not signed"}
    assert written["bundle"] == bundle
    assert set(written["fractions"]["monocyte"]) == {"value", "low", "high"}
    assert written["use"] == RESEARCH_USE


def test_an_interrupted_count_does_not_look_finished(tmp_path: Path) -> None:
    frames = [counted_frame(k) for k in range(2)]
    write_report(tmp_path, frames, run_of(frames))
    (tmp_path / "annotated" / "mine.jpg").write_bytes(b"")
    with ReportWriter(tmp_path, MANIFEST, replace=True) as writer:
        writer.add(frames[1], writer.draw(frames[1]))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["annotated", "cells.csv"]
    assert sorted(path.name for path in (tmp_path / "annotated").iterdir()) == [
        "00001-f1.png.jpg",
        "mine.jpg",
    ]
    assert len((tmp_path / "cells.csv").read_text().splitlines()) == 7


def test_an_earlier_count_gives_way_only_when_asked(tmp_path: Path) -> None:
    frames = [counted_frame(0)]
    write_report(tmp_path, frames, run_of(frames))
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()}
    with pytest.raises(ValueError, match="holds a count; give another name, or pass --force"):
        ReportWriter(tmp_path, MANIFEST)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.*") if path.is_file()} == before


@pytest.mark.parametrize("replace", [False, True])
def test_of_two_counts_into_one_folder_the_second_is_refused(tmp_path: Path, replace: bool) -> None:
    frames = [counted_frame(0)]
    with ReportWriter(tmp_path / "out", MANIFEST) as writer:
        with pytest.raises(ValueError, match="is being written by another command"):
            ReportWriter(tmp_path / "out", MANIFEST, replace=replace)
        writer.add(frames[0], writer.draw(frames[0]))
        writer.finish(run_of(frames))
    assert len((tmp_path / "out/cells.csv").read_text().splitlines()) == 1 + len(frames[0].cells)
    with ReportWriter(tmp_path / "out", MANIFEST, replace=True):
        pass


def test_a_count_of_nothing_is_not_in_the_way_of_the_next(tmp_path: Path) -> None:
    with ReportWriter(tmp_path / "result", MANIFEST):
        pass
    assert not list((tmp_path / "result").iterdir())


def test_a_disk_that_refuses_at_the_end_is_named_and_leaves_nothing_in_the_way(
    tmp_path: Path,
) -> None:
    frames = [counted_frame(0)]
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    with ReportWriter(tmp_path / "out", MANIFEST) as writer:
        writer.add(frames[0], writer.draw(frames[0]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, limit[1]))
        try:
            with pytest.raises(OSError, match="large") as error:
                writer.finish(run_of(frames))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert error.value.filename == str(tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []
    write_report(tmp_path / "out", frames, run_of(frames))


def test_a_stopped_count_says_so(tmp_path: Path) -> None:
    frames = [counted_frame(0)]
    run = replace(run_of(frames), stopped=True)
    write_report(tmp_path, frames, run)
    assert json.loads((tmp_path / "summary.json").read_text())["stopped"] is True
    assert "Stopped before the last frame" in (tmp_path / "report.html").read_text()


def test_equal_names_in_two_folders_do_not_collide(tmp_path: Path) -> None:
    frames = [counted_frame(0, name="a/f.png"), counted_frame(1, name="b/f.png")]
    write_report(tmp_path, frames, run_of(frames))
    assert len(list((tmp_path / "annotated").iterdir())) == 2


# ---- annotated frames ----------------------------------------------------------------------------------


def test_boxes_have_their_labels_colour_at_their_place() -> None:
    counted = counted_frame(1, cells=0)
    cell = Cell(100, 120, 60, 50, 2000.0, border=False, touching=False)
    for k, label in enumerate(LABELS):
        row = np.full((1, len(LABELS)), 0.05, np.float32)
        row[0, k] = 0.8
        one = CountedFrame(counted.frame, "", [cell], counted.crops, row, [Decision(label)])
        drawn = annotate(one, LABELS)
        colour = "#{2:02x}{1:02x}{0:02x}".format(*drawn[145, 100])
        assert colour == colours(LABELS)[label]
        np.testing.assert_array_equal(drawn[125:165, 105:155, 0], counted.frame.image[125:165, 105:155])


@pytest.mark.parametrize("shape", [(3264, 4908), (4000, 500), (1, 70_000), (1, 1), (40, 30)])
def test_annotated_frames_are_reduced_whatever_their_shape(tmp_path: Path, shape: tuple[int, int]) -> None:
    frame = Frame(np.zeros(shape, np.uint8), "f.png", 0, 0)
    cells = [Cell(0, 0, shape[1], shape[0], 1.0, border=True, touching=False)]
    crops = np.zeros((1, 200, 200), np.uint8)
    row = np.full((1, len(LABELS)), 0.2, np.float32)
    counted = CountedFrame(frame, "", cells, crops, row, [Decision(LABELS[0], "low_confidence")])
    write_report(tmp_path, [counted], run_of([counted]))
    drawn = cv2.imread(str(next((tmp_path / "annotated").iterdir())))
    assert drawn.shape[1] <= SIDE_PX
    assert shape[0] * min(1, SIDE_PX / max(shape)) < drawn.shape[0]


def test_colours_are_distinct_and_none_is_that_of_rejected_cells() -> None:
    palette = colours([f"label {k}" for k in range(len(OKABE_ITO))])
    assert len(set(palette.values())) == len(OKABE_ITO) + 1
    channels = np.array([[int(c[k : k + 2], 16) for k in (1, 3, 5)] for c in palette.values()])
    distances = np.abs(channels[:, None] - channels[None]).sum(2) + 999 * np.eye(len(channels), dtype=int)
    assert distances.min() > 60


@given(st.lists(st.text("aAbB-é", min_size=1, max_size=4), min_size=1, max_size=6, unique_by=str.casefold))
def test_abbreviations_begin_their_label_and_are_unique(labels: list[str]) -> None:
    short = abbreviations(labels)
    assert all(label.casefold().startswith(short[label].casefold()) for label in labels)
    assert len({text.casefold() for text in short.values()}) == len(labels) + 1


# ---- what only some counts have ---


VOLUME = FieldVolume(0.0085, 0.05, dilution=20.0, depth_um=100.0, exact=("pitch", "dilution"))


@pytest.fixture
def full_run() -> CountResult:
    """A count with a stop rule, a session, cells followed, a volume, and frames of poor quality."""
    frames = [counted_frame(k) for k in range(3)]
    return replace(
        run_of(frames),
        stop_rule={"until_cells": 5},
        ended="7 leukocytes of 5 asked for",
        session="2026-05-04T030201Z",
        detections=1234,
        concentrations={"granulocyte": Estimate(5210.4, 4800.0, 5650.0)},
        volume=VOLUME,
        quality={"brightness": Spread(150.0, 31.0, 200.0), "dropped_before": Spread(0.0, 0.0, 2.0)},
        out=(("<b>.png", ("too dark (grey level 31)", "2 frames dropped before it")),),
        dropped=2,
        remarks=("a pixel of <2> µm",),
    )


def test_stop_rule_quality_volume_and_detections_are_shown(full_run: CountResult, tmp_path: Path) -> None:
    page = Page(write_report(tmp_path, [counted_frame(0)], full_run)).text
    file = io.StringIO()
    print_result(full_run, Console(file=file, width=200))
    table = " ".join(file.getvalue().split())
    for text in (page, table):
        assert "7 leukocytes of 5 asked for" in text
        assert "2026-05-04T030201Z" in text
        assert "5,210 cells/µL, 95 % interval 4,800–5,650" in text
        assert (
            "the undiluted sample: dilution 20, chamber 100 µm deep, 8.5 nL in a frame, ± 5 %;"
            " taken as exact: pitch, dilution"
        ) in text
        assert "too dark (grey level 31), 2 frames dropped before it" in text
        assert "2 dropped" in text
        assert "a pixel of <2> µm" in text
    assert "in 1,234 detections" in page
    assert "in 1,234 detections" in table
    assert "Quality: 1 of 3 frames beyond a limit" in table
    assert "Brightness, grey level 150 31 200" in page
    summary = result_summary(full_run)
    assert summary["stop_rule"] == {"until_cells": 5}
    assert summary["cells_per_ul"] == {"granulocyte": {"value": 5210.4, "low": 4800.0, "high": 5650.0}}
    assert (summary["field_volume"]["dilution"], summary["field_volume"]["depth_um"]) == (20.0, 100.0)
    assert summary["field_volume"]["exact"] == ["pitch", "dilution"]
    assert summary["quality"]["out"][0]["name"] == "<b>.png"
    assert json.loads(json.dumps(summary)) == summary


def test_wider_intervals_are_named_and_so_is_a_count_until_a_number_of_cells(
    full_run: CountResult, tmp_path: Path
) -> None:
    tally = replace(full_run.tally, dispersion={"granulocyte": 4.0, "lymphocyte": 1.0})
    run = replace(full_run, tally=tally, stop_rule={"until_cells": tally.leukocytes})
    file = io.StringIO()
    print_result(run, Console(file=file, width=200))
    page = Page(write_report(tmp_path, [counted_frame(0)], run)).text
    for text in (" ".join(file.getvalue().split()), page):
        assert "Intervals are up to 2 times as wide as those of cells that lie at random" in text
        assert (
            f"Cells/µL are (N − 1)/volume, as the count ended with N = {tally.leukocytes} leukocytes" in text
        )
    assert result_summary(run)["dispersion"] == {"granulocyte": 4.0, "lymphocyte": 1.0}
    assert run.tally.fractions["granulocyte"].high > full_run.tally.fractions["granulocyte"].high
    file = io.StringIO()
    print_result(replace(full_run, stop_rule={"until_cells": 10**6}), Console(file=file, width=200))
    assert "times as wide" not in file.getvalue()
    assert "(N − 1)" not in file.getvalue()


def test_size_gates_that_would_change_nothing_are_left_out(full_run: CountResult, tmp_path: Path) -> None:
    gates = {"min_diameter_um": GateEffect(0.0261, 0.0), "max_diameter_um": GateEffect(-0.0004, 0.0)}
    file = io.StringIO()
    print_result(replace(full_run, size_gates=gates), Console(file=file, width=200))
    page = Page(write_report(tmp_path, [counted_frame(0)], replace(full_run, size_gates=gates))).text
    for text in (" ".join(file.getvalue().split()), page):
        assert "Other size gates would change the count: --min-diameter-um 10 % smaller +2.6 %" in text
        assert "0.0 %" not in text[text.index("Other size gates") :][:100]
        assert "--max-diameter-um" not in text
    nothing = replace(full_run, size_gates=dict.fromkeys(gates, GateEffect(0.0, 0.0)))
    print_result(nothing, Console(file=(file := io.StringIO()), width=200))
    assert "size gates" not in file.getvalue()
    assert "size gates" not in Page(write_report(tmp_path / "nothing", [counted_frame(0)], nothing)).text


def test_low_concentrations_keep_two_digits() -> None:
    volume = FieldVolume(field_ul=0.05, relative_uncertainty=0.0, dilution=1.0, depth_um=100.0)
    # of no cell in 50 µL there may be 3.69 (the exact Poisson limit), which is 0.074 in a µL
    assert per_ul(estimate_concentration(0, 1000, volume)) == "0.000 cells/µL, 95 % interval 0.000–0.074"
    assert per_ul(estimate_concentration(100, 1000, volume)) == "2.0 cells/µL, 95 % interval 1.6–2.4"
    assert per_ul(estimate_concentration(0, 1, volume)) == "0 cells/µL, 95 % interval 0–74"


def test_a_missing_concentration_is_explained(tmp_path: Path) -> None:
    run = replace(run_of([counted_frame(0)]), no_concentration="no cells/µL: nobody knows")
    file = io.StringIO()
    print_result(run, Console(file=file, width=200))
    assert "No cells/µL: nobody knows" in file.getvalue()
    assert "No cells/µL: nobody knows." in Page(write_report(tmp_path, [counted_frame(0)], run)).text
    assert result_summary(run)["no_cells_per_ul"] == "no cells/µL: nobody knows"


def test_of_an_unusable_count_the_reason_stands_in_the_numbers_place(
    full_run: CountResult, tmp_path: Path
) -> None:
    """Neither leukocytes nor what follows from them: a reader would take them for results."""
    run = replace(full_run, unusable="this bundle does not know these cells (82 % rejected)")
    rejected = f"{run.tally.rejected} rejected"
    file = io.StringIO()
    print_result(run, Console(file=file, width=200))
    table = file.getvalue()
    assert table.splitlines()[0] == "This bundle does not know these cells (82 % rejected)"
    html = write_report(tmp_path, [counted_frame(0)], run)
    page = Page(html).text
    assert "<h1>This bundle does not know these cells (82 % rejected)</h1>" in html
    for text in (page, table):
        assert "cells/µL" not in text
        assert "interval" not in text
        assert "orrected" not in text
        assert "granulocyte" not in text.replace("granulocyte?", "").partition("Validation")[0]
        assert "7 leukocytes of 5" not in text
        assert "a pixel of <2> µm" in text
    assert f"{run.tally.cells} bodies found, {rejected}; no leukocytes are stated" in table
    summary = result_summary(run)
    assert summary["unusable"] == summary["no_cells_per_ul"] == run.unusable
    assert [summary[name] for name in ("fractions", "corrected", "cells_per_ul")] == [None] * 3
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert result_summary(full_run)["unusable"] is None


def test_of_a_single_label_the_concentration_stands_once(full_run: CountResult, tmp_path: Path) -> None:
    manifest = replace(VALIDATED, counted=("monocyte",))
    amounts = {"monocyte": Estimate(52.0, 48.0, 56.0), LEUKOCYTES: Estimate(52.0, 48.0, 56.0)}
    run = replace(run_of([counted_frame(0)], manifest=manifest), concentrations=amounts, volume=VOLUME)
    file = io.StringIO()
    print_result(run, Console(file=file, width=200))
    page = Page(write_report(tmp_path, [counted_frame(0)], run)).text
    for text in (page, file.getvalue()):
        assert text.count("52 cells/µL") == 1
    assert result_summary(run)["cells_per_ul"].keys() == amounts.keys()


def test_track_ids_are_in_cells_csv(tmp_path: Path) -> None:
    counted = counted_frame(0)
    track_ids = np.arange(7, 7 + len(counted.cells))
    followed = replace(counted, track_ids=track_ids)
    with ReportWriter(tmp_path, MANIFEST, each_once=True) as writer:
        writer.add(followed, writer.draw(followed))
    with (tmp_path / "cells.csv").open(newline="") as file:
        assert [int(row["track_id"]) for row in csv.DictReader(file)] == track_ids.tolist()


# ---- table ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_table_states_the_tally_on_any_terminal(encoding: str) -> None:
    frames = [counted_frame(k) for k in range(12)]
    failed = [FailedFrame(f"é{k}.png", k, "truncated") for k in range(13)]
    run = run_of(frames, failed)
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    print_result(run, Console(file=file, width=80))
    file.flush()
    text = " ".join(raw.getvalue().decode(encoding).split())
    dash = "–" if encoding == "utf-8" else "?"
    for label, fraction in run.tally.fractions.items():
        assert fraction.value is not None
        interval = f"{100 * fraction.low:.1f}{dash}{100 * fraction.high:.1f} %"
        assert f"{label} {run.tally.counts[label]} {100 * fraction.value:.1f} % {interval}" in text
    assert f"debris {run.tally.counts['debris']} not a leukocyte" in text
    low, out = run.tally.rejected_by.values()
    assert low > 0
    assert out > 0
    assert f"Rejected: {low} low confidence (best probability below 0.5), {out} out of distribution" in text
    assert "Frames: 12 read, 13 not readable" in text
    assert "9.png: truncated + 3 more" in text
    assert "demonstration model, simulated cells" in text
    assert RESEARCH_USE in text
