from __future__ import annotations

import csv
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("keras", reason="needs the train extra")

from tests.train.test_fit import BEST, spots
from train.data import Dataset
from train.fit import fit, probabilities
from train.folds import assign_folds, write_out_of_fold
from train.recipe import TrainingJob
from train.run import load_run


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=40, max_size=120), st.integers(2, 5)
)
def test_folds_keep_groups_whole_and_share_every_class(cells: list[tuple[int, int]], folds: int) -> None:
    truth = np.array([label for label, _ in cells])
    groups = tuple(str(group) for _, group in cells)
    crops = np.zeros((len(cells), 1, 1), np.uint8)
    dataset = Dataset(crops, truth, ("a", "b", "c"), groups, groups)
    if len(set(groups)) < folds:
        with pytest.raises(ValueError, match="groups cannot make"):
            assign_folds(dataset, folds)
        return
    fold_of = assign_folds(dataset, folds, seed=1)
    assert (fold_of == assign_folds(dataset, folds, seed=1)).all()
    homes = defaultdict(set)
    for group, fold in zip(groups, fold_of, strict=True):
        homes[group].add(int(fold))
    assert all(len(home) == 1 for home in homes.values())
    assert 0 <= fold_of.min() <= fold_of.max() < folds


def test_where_every_crop_is_its_own_group_folds_are_stratified() -> None:
    truth = np.repeat([0, 1, 2], [50, 20, 10])
    names = tuple(map(str, range(80)))
    fold_of = assign_folds(Dataset(np.zeros((80, 1, 1), np.uint8), truth, ("a", "b", "c"), names, names), 5)
    for label, n in ((0, 10), (1, 4), (2, 2)):
        assert Counter(fold_of[truth == label].tolist()) == dict.fromkeys(range(5), n)


def test_every_crop_is_predicted_by_a_model_that_never_saw_it(tmp_path: Path) -> None:
    training, validation, run = spots(18, 1), spots(6, 2), tmp_path / "run"
    job = TrainingJob(training, validation, BEST, 3)
    fit(job, run)
    write_out_of_fold(job, run, 2)
    with (run / "out_of_fold.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["path"] for row in rows] == [*training.names, *validation.names]
    assert [row["fold"] for row in rows[18:]] == ["validation"] * 6
    assert {row["fold"] for row in rows[:18]} == {"1", "2"}
    for fold in ("1", "2"):
        with (run / "folds" / f"{fold}of2" / "split.csv").open(newline="") as file:
            parts = {row["path"]: row["part"] for row in csv.DictReader(file)}
        held_out = {row["path"] for row in rows if row["fold"] == fold}
        assert held_out == {path for path, part in parts.items() if part == "validation"}
    model, _, normalisation = load_run(run / "folds" / "1of2")
    first = np.flatnonzero([row["fold"] == "1" for row in rows[:18]])
    expected = probabilities(model, training.crops[first], normalisation, test_time_views=8)
    found = [[float(rows[i][label]) for label in training.labels] for i in first]
    np.testing.assert_allclose(found, expected, atol=1e-5)

    stamp = (run / "folds" / "1of2" / "model.keras").stat().st_mtime_ns
    table = (run / "out_of_fold.csv").read_bytes()
    write_out_of_fold(job, run, 2)
    assert (run / "folds" / "1of2" / "model.keras").stat().st_mtime_ns == stamp
    assert (run / "out_of_fold.csv").read_bytes() == table


def test_a_class_in_one_group_cannot_be_held_out(tmp_path: Path) -> None:
    dataset = spots(12, 1)
    grouped = Dataset(
        dataset.crops,
        dataset.truth,
        dataset.labels,
        dataset.names,
        tuple("one" if k else str(i) for i, k in enumerate(dataset.truth)),
    )
    with pytest.raises(ValueError, match="all crops of dark lie in one fold"):
        write_out_of_fold(TrainingJob(grouped, None, BEST, 0), tmp_path / "run", 2)
