from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from edge.cli import main
from train.agreement import MOST_LABELS, agreement, fleiss_kappa
from train.bootstrap import MOST_BLOCKS, blocks, group_interval
from train.report import agreement as report

HEMOCYTOMETER = Path(__file__).resolve().parents[2] / ".." / "shared" / "data" / "hemocytometer"


def two_readers(counts: dict[tuple[str, str], int]) -> list[dict[str, str]]:
    return [{"label": a, "reader1": b} for (a, b), n in counts.items() for _ in range(n)]


def test_fleiss_of_his_own_kind_of_table() -> None:
    """The example that textbooks repeat: ten cells, fourteen readers, five labels, kappa 0.210."""
    votes = np.array(
        [
            *([0, 0, 0, 0, 14], [0, 2, 6, 4, 2], [0, 0, 3, 5, 6], [0, 3, 9, 2, 0], [2, 2, 8, 1, 1]),
            *([7, 7, 0, 0, 0], [3, 2, 6, 3, 0], [2, 5, 3, 2, 2], [6, 5, 2, 1, 0], [0, 2, 2, 3, 7]),
        ]
    )
    assert fleiss_kappa(votes) == pytest.approx(0.20993, abs=1e-5)


def test_cohen_of_a_worked_example() -> None:
    found = agreement(
        two_readers({("y", "y"): 20, ("y", "n"): 5, ("n", "y"): 10, ("n", "n"): 15}), ["g"] * 50
    )
    (pair,) = found.pairs
    assert pair.kappa == pytest.approx(0.4)
    assert pair.agreed == pytest.approx(0.7)
    assert pair.confusion.tolist() == [[15, 10], [5, 20]]
    assert (found.unanimous, found.tied) == (35, 15)
    assert pair.kappa_interval is None  # of one group


def test_readers_may_differ_in_number_and_a_cell_read_once_does_not_enter() -> None:
    read = [
        {"label": "a", "reader1": "a", "reader2": "b"},
        {"label": "b", "reader2": "b"},
        {"label": "a"},
        {"label": "a", "reader1": "b", "reader3": "c"},
    ]
    found = agreement(read, list("wxyz"))
    assert (found.cells, found.single, found.unanimous, found.tied) == (3, 1, 1, 1)
    assert found.readers == ("label", "reader1", "reader2", "reader3")
    assert found.counts == {"a": 1, "b": 1, "c": 0}
    assert found.differing == (0, 3)
    assert {(p.first, p.second): p.cells for p in found.pairs}[("reader2", "reader3")] == 0
    # pairs of readers that agree: 1 of 3, 1 of 1, 0 of 3; labels a, b, c: 3, 4 and 1 of 8
    chance = (9 + 16 + 1) / 64
    assert found.fleiss == pytest.approx((4 / 9 - chance) / (1 - chance))


def test_agreement_by_chance_alone_has_no_kappa() -> None:
    found = agreement(two_readers({("a", "a"): 30}), [str(k) for k in range(30)])
    assert found.fleiss is None
    assert found.pairs[0].kappa is None
    assert found.pairs[0].agreed_interval is None


def test_without_further_readings_the_columns_are_named() -> None:
    with pytest.raises(ValueError, match=r"no cell has several readings: .* reader1, reader2"):
        agreement([{"label": "a"}], ["g"])


def test_groups_that_differ_widen_the_interval() -> None:
    """Sixty cells in 30 frames: alike within a frame, the interval is that of 30 cells, not 60."""
    rng = np.random.default_rng(1)
    right = rng.random(30) < 0.7

    def accuracy(sums: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(sums[:, 0] / sums[:, 1])

    whole = group_interval(np.column_stack((2 * right, np.full(30, 2))), accuracy)
    alone = group_interval(np.column_stack((np.repeat(right, 2), np.ones(60))), accuracy)
    assert whole is not None
    assert alone is not None
    assert (whole[1] - whole[0]) / (alone[1] - alone[0]) == pytest.approx(2**0.5, rel=0.1)


def test_the_interval_covers_as_often_as_it_says() -> None:
    """200 draws of 60 frames with 4 cells each, alike within a frame."""
    rng, inside = np.random.default_rng(0), 0
    for _ in range(200):
        right = rng.binomial(4, rng.beta(3.5, 1.5, 60))
        found = group_interval(
            np.column_stack((right, np.full(60, 4))), lambda sums: sums[:, 0] / sums[:, 1], draws=300
        )
        assert found is not None
        inside += found[0] <= 0.7 <= found[1]
    assert 0.89 <= inside / 200 <= 0.985


@pytest.mark.parametrize("parts", [np.ones((19, 2)), np.ones((30, 2)), np.zeros((30, 2))])
def test_no_interval_where_none_can_be_meant(parts: NDArray[np.float64]) -> None:
    with np.errstate(invalid="ignore"):
        assert group_interval(parts, lambda sums: sums[:, 0] / sums[:, 1]) is None


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    rows = ["path,label,group,reader1,reader2"]
    for k, read in enumerate(("a,f1,a,a", "a,f1,b,b", "b,f2,b,", "b,f2,a,c", "b,f3,a,a")):
        assert cv2.imwrite(str(tmp_path / f"cell{k}.png"), np.full((200, 200), 40 * k, np.uint8))
        rows.append(f"cell{k}.png,{read}")
    (tmp_path / "cells.csv").write_text("\n".join(rows) + "\n")
    return tmp_path


def test_the_page_shows_each_cell_on_which_readers_differ_once(crops: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    run = CliRunner().invoke(main, ["data", "agreement", str(crops), "--out", str(out)])
    assert run.exit_code == 0, run.output
    assert "all readers agree on 2 (40.0 %), most on 2; on 1 no label leads" in run.output
    assert "of 3 groups, and how groups differ shows from 20 on: there are no intervals" in run.output
    page = (out / "agreement.html").read_text()
    assert "Truth" not in page  # no reader is
    assert [page.count(f"cell{k}.png") for k in range(5)] == [0, 1, 0, 1, 1]
    assert page.count("data:image/jpeg") == 3
    table = (out / "differences.csv").read_text().splitlines()
    assert table[0] == "cell,label,reader1,reader2,majority"
    assert [line.split(",")[1:] for line in table[1:]] == [
        ["a", "b", "b", "b"],
        ["b", "a", "c", ""],
        ["b", "a", "a", "a"],
    ]
    again = CliRunner().invoke(main, ["data", "agreement", str(crops), "--out", str(out)])
    assert again.exit_code != 0
    assert "--force" in again.output


def test_what_cannot_be_compared_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("frame,label,xmin,ymin,xmax,ymax\nf.png,a,0,0,9,9\n")
    run = CliRunner().invoke(main, ["data", "agreement", str(tmp_path / "x.csv")])
    assert run.exit_code == 1
    assert "x.csv: no cell has several readings" in run.output
    (tmp_path / "x.csv").write_text("name,kind\nf.png,a\n")
    run = CliRunner().invoke(main, ["data", "agreement", str(tmp_path / "x.csv")])
    assert run.exit_code == 1
    assert "path" in run.output
    assert "Traceback" not in run.output


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (("mono", "Mono"), "Mono"),
        ([f"l{k}" for k in range(MOST_LABELS + 1)], "101 labels, more than the 100 that are compared"),
    ],
)
def test_labels_that_cannot_be_compared_are_one_line(
    tmp_path: Path, labels: Sequence[str], reason: str
) -> None:
    rows = [f"f.png,{label},{20 * k},0,9,9,{labels[0]}" for k, label in enumerate(labels)]
    (tmp_path / "x.csv").write_text("\n".join(["frame,label,x,y,width,height,reader1", *rows]))
    done = CliRunner().invoke(main, ["data", "agreement", str(tmp_path / "x.csv")])
    assert done.exit_code == 1
    assert "Traceback" not in done.output
    assert reason in done.output
    assert "--rename" in done.output


def test_readers_who_name_every_class_differently_are_refused(tmp_path: Path) -> None:
    rows = [
        f"f.png,{label},{20 * k},0,9,9,{read}" for k, (label, read) in enumerate([("W", "x"), ("R", "y")])
    ]
    (tmp_path / "x.csv").write_text("\n".join(["frame,label,x,y,width,height,reader1", *rows]))
    words = ["data", "agreement", str(tmp_path / "x.csv")]
    done = CliRunner().invoke(main, words)
    assert done.exit_code == 1
    assert 'no label in common, such as "R" and "x": pass --rename' in done.output
    named = CliRunner().invoke(main, [*words, "--rename", "W=x,R=y"])
    assert "all readers agree on 2 (100.0 %)" in named.output


def test_a_table_of_two_kinds_of_columns_says_what_is_wrong_with_its_own(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("frame,label,x,y,width,height,reader1,reader1\nf.png,a,1,1,9,9,b,a\n")
    done = CliRunner().invoke(main, ["data", "agreement", str(tmp_path / "x.csv")])
    assert "column reader1 comes twice" in done.output


def test_intervals_of_many_groups_are_those_of_blocks_of_them() -> None:
    """5,000 groups of one cell each, of which 70 % agree."""
    rng = np.random.default_rng(2)
    right = np.column_stack((rng.random(5000) < 0.7, np.ones(5000))).astype(float)
    parts = np.zeros((MOST_BLOCKS, 2))
    np.add.at(parts, blocks(5000), right)
    assert (parts[:, 1] == 5).all()
    assert parts.sum(axis=0).tolist() == right.sum(axis=0).tolist()
    low, high = group_interval(parts, lambda sums: sums[:, 0] / sums[:, 1]) or (0, 0)
    assert high - low == pytest.approx(2 * 1.96 * (0.7 * 0.3 / 5000) ** 0.5, rel=0.07)
    assert blocks(30).tolist() == list(range(30))


def test_matrices_of_many_labels_are_left_to_json(crops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "MATRIX_FIELDS", 10)
    done = CliRunner().invoke(main, ["data", "agreement", str(crops)])
    assert done.stdout.count("label ↓") == 1
    assert done.stdout.endswith("the confusion matrices of 2 more pairs are in --json\n")


@pytest.mark.skipif(not HEMOCYTOMETER.is_dir(), reason="needs the real frames in ../shared/data")
def test_the_second_reading_of_the_hemocytometer() -> None:
    rename = "WBC=leukocyte,RBC=erythrocyte,S-RBC=echinocyte,L-WBC=other,EPC=other"
    run = CliRunner().invoke(
        main,
        ["data", "agreement", str(HEMOCYTOMETER / "second_reading.csv"), "--rename", rename, "--json"],
    )
    found = json.loads(run.stdout)
    assert (found["cells"], found["unanimous"], found["tied"]) == (1089, 950, 5)
    assert found["majority"] == {"echinocyte": 174, "erythrocyte": 374, "leukocyte": 406, "other": 130}
    assert [round(pair["agreed"], 3) for pair in found["pairs"]] == [0.884, 0.888, 0.968]
    low, high = found["fleiss_interval"]
    assert low < found["fleiss_kappa"] < high
