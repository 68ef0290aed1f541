from __future__ import annotations

import csv
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("keras", reason="needs the train extra")

import scipy.stats

from train.cli.study import study
from train.metrics import Scores
from train.recipe import recipe_of
from train.report.study import files
from train.run import Epoch, write_history
from train.study import PAPER_LEAD_POINTS, STUDIES
from train.study import results as read
from train.study import runs as source
from train.study.differences import Difference, corrected, paired, spread
from train.study.summary import caveats, discordant, findings


def planned(name: str, **options: Any) -> list[source.StudyRun]:
    given = {"recipe": recipe_of("paper"), "seeds": 3, **options}
    return source.StudySettings(name, Path("out"), **given).runs()


def result(run: source.StudyRun, accuracy: float) -> read.Result:
    scores = Scores(
        accuracy=accuracy,
        precision={"a": 0.5, "b": None},
        recall={"a": 1.0, "b": 0.0},
        f1={"a": 0.7, "b": 0.0},
        confusion=[[1, 0], [1, 0]],
        labels=["a", "b"],
        cells=2,
    )
    rows = [
        Epoch(epoch=k, loss=1 / k, accuracy=accuracy, validation_accuracy=accuracy, seconds=60.0)
        for k in (1, 2)
    ]
    return read.Result(run, source.Cost(1000, 2_000_000), tuple(rows), scores)


def test_peers_keep_their_own_settings() -> None:
    runs = planned("peers", recipe=recipe_of("paper", width=0.25), peer_px=64)
    assert [run.seed for run in runs] == [0] * 4 + [1] * 4 + [2] * 4
    assert [run.recipe.side_px for run in runs[:4]] == [200, 78, 64, 64]
    assert [run.recipe.width for run in runs[:4]] == [0.25, 1, 1, 1]
    assert [run.title for run in runs[:4]] == ["fusion ×0.25", "hep2", "vgg16 64 px", "resnet50 64 px"]
    assert runs[2].folder == Path("out/runs/vgg16-s0")
    assert any("64 px instead of the 224 px" in text for text in caveats("peers", runs, []))
    assert not any(" px" in text for text in caveats("peers", planned("peers"), []))
    faster = planned("peers", recipe=recipe_of("paper", precision="bfloat16"))
    assert "The steps were computed in bfloat16." in caveats("peers", faster, [])


@pytest.mark.parametrize(
    ("leads", "words"),
    [
        ([0.010, 0.011, 0.0125], "The first leads, as in the paper; the paper's value lies inside"),
        ([0.05, 0.051, 0.052], "The first leads, as in the paper; the paper's value lies outside"),
        ([-0.05, -0.051, -0.052], "The first trails, unlike in the paper"),
        ([-0.01, 0.0, 0.03], "These runs do not distinguish the two; the paper's value lies inside"),
        ([0.01], "One seed gives no error estimate"),
    ],
)
def test_findings_follow_from_the_interval(leads: list[float], words: str) -> None:
    runs = planned("ablation", seeds=len(leads))
    results = [
        result(run, 0.9 - (leads[run.seed] if run.network == "ablation1" else 0.0))
        for run in runs
        if run.network in ("fusion", "ablation1")
    ]
    found = findings("ablation", results)
    assert words in found[0]
    assert found[1].startswith("Order here: ")


def test_a_reversed_order_is_reported_with_its_error() -> None:
    runs = planned("ablation")
    level = dict(zip(STUDIES["ablation"], (0.9, 0.8, 0.7, 0.75), strict=False))
    found = findings("ablation", [result(run, level[run.network] + 0.001 * run.seed) for run in runs])
    assert found[3:] == [
        "Order here: fusion > ablation1 > ablation3 > ablation2. "
        "In the paper: fusion > ablation2 > ablation1 > ablation3.",
        "Unlike in the paper, ablation1 ranks above ablation2, by +10.00 points (standard error 0.00, "
        "95 % interval +10.00 to +10.00, 3 seeds, p < 0.001, by Holm's correction < 0.001): significant.",
        "Unlike in the paper, ablation3 ranks above ablation2, by +5.00 points (standard error 0.00, "
        "95 % interval +5.00 to +5.00, 3 seeds, p < 0.001, by Holm's correction < 0.001): significant.",
    ]


def test_every_other_network_has_the_papers_number() -> None:
    assert set(PAPER_LEAD_POINTS) == {name for names in STUDIES.values() for name in names[1:]}


def test_undefined_scores_are_empty_and_nothing_breaks_without_results() -> None:
    runs = planned("peers", seeds=1)
    some = read.Study("peers", runs, [result(runs[0], 0.5)], {"a": 1, "b": 1}, {"a": 1, "b": 1}, "", {})
    written = files(some)
    (row,) = csv.DictReader(written["study.csv"].splitlines())
    assert (row["precision_b"], row["training_seconds"]) == ("", "120.0")
    assert "channels.svg" not in written
    assert "Unfinished: 1 of 4 runs." in written["study.md"]


def test_the_time_left_follows_from_timed_networks_and_the_size_of_the_others(tmp_path: Path) -> None:
    recipe = recipe_of("paper", epochs=3)
    runs = [source.StudyRun(name, 0, recipe, tmp_path / name) for name in ("fusion", "vgg16")]
    cost = {"fusion": source.Cost(1, 10), "vgg16": source.Cost(1, 40)}

    def write(run: source.StudyRun, *seconds: float) -> None:
        run.folder.mkdir(exist_ok=True)
        rows = [Epoch(epoch=k, loss=1, accuracy=1, seconds=one) for k, one in enumerate(seconds, 1)]
        write_history(run.folder, rows)

    write(runs[0], 9.0, 2.0)  # the first epoch compiles
    assert source.seconds_left(runs, cost) == [5.5, 3 * 4 * 5.5]
    write(runs[0], 9.0, 2.0, 2.0)
    assert source.seconds_left(runs, cost) == [0, 3 * 8]
    write(runs[1], 5.0)
    assert source.seconds_left(runs, cost) == [0, 2 * 5]


def test_an_unknown_study_is_a_usage_error() -> None:
    wrong = CliRunner().invoke(study, ["other", ".", "--out", "x"])
    assert wrong.exit_code == 2
    assert "'ablation', 'peers'" in wrong.stderr


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=9), st.data())
def test_a_paired_interval_is_scipys(one: list[float], data: st.DataObject) -> None:
    other = data.draw(st.lists(st.floats(-50, 50), min_size=len(one), max_size=len(one)))
    found = paired(dict(enumerate(one)), dict(enumerate(other)))
    assert found is not None
    assert found.n == len(one)
    assert found.low is not None
    assert found.high is not None
    differences = [a - b for a, b in zip(one, other, strict=True)]
    reach = scipy.stats.sem(differences) * scipy.stats.t.ppf(0.975, len(one) - 1)
    assert found.low == pytest.approx(found.mean - reach, abs=1e-6)
    assert found.high == pytest.approx(found.mean + reach, abs=1e-6)
    assert found.holds(found.mean)


def test_only_common_seeds_are_paired() -> None:
    assert paired({0: 1.0, 1: 5.0}, {1: 4.0, 2: 9.0}) == Difference(1, 1.0)
    assert paired({0: 1.0}, {1: 4.0}) is None
    assert not Difference(1, 1.0).significant
    assert not Difference(1, 1.0).holds(1.0)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holms_correction_is_the_closed_test_of_bonferroni(values: list[float]) -> None:
    found = corrected({k: Difference(3, 1.0, 0.1, 0.6, 1.4, p) for k, p in enumerate(values)})
    # a hypothesis falls if Bonferroni's test rejects every set of hypotheses that it is one of
    for k, p in enumerate(values):
        others = [q for n, q in enumerate(values) if n != k]
        sets = [(p, *chosen) for n in range(len(values)) for chosen in combinations(others, n)]
        assert found[k].holm == pytest.approx(min(1, max(len(one) * min(one) for one in sets)))
        assert found[k].significant is ((found[k].holm or 0) < 0.05)


def test_one_of_several_comparisons_needs_more_than_its_own_interval() -> None:
    one = {0: 1.0, 1: 1.2, 2: 1.45}  # p = 0.012
    alone = paired(one, dict.fromkeys(one, 0.0))
    assert alone is not None
    assert alone.significant
    assert alone.low is not None
    assert alone.low > 0
    beside = corrected({"this": alone, **{str(k): replace(alone, p=0.2) for k in range(5)}})
    assert not beside["this"].significant
    assert corrected({"one seed": Difference(1, 1.0)}) == {"one seed": Difference(1, 1.0)}


def test_spread_of_one_value_has_no_sd() -> None:
    assert spread([2.0]).sd is None
    assert spread([1.0, 3.0]).sd == pytest.approx(2**0.5)


def test_discordant_pairs_and_ties() -> None:
    paper = {"a": 3.0, "b": 2.0, "c": 2.0}
    assert discordant({"a": 3, "b": 2, "c": 1}, paper) == []
    assert discordant({"a": 1, "b": 2, "c": 0}, paper) == [("b", "a")]
    assert discordant({"a": 1, "b": 1, "c": 5}, paper) == [("c", "a")]
