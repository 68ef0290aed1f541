from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

from tests.train.test_fit import TINY, spots
from train.data import Dataset
from train.distil import read_teacher
from train.fit import Batches, fit, normalised, probabilities
from train.recipe import CENTRED, RECIPES
from train.run import load_run

RECIPE = replace(TINY["best"], epochs=12, mixup=0.0, dropout=0.0)
"""Tiny, and yet the spots are learnt."""


@pytest.fixture(scope="module")
def teacher_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("teacher") / "run"
    training = spots(24, 1)
    fit(training, None, run, RECIPE, 5)
    fit(training, None, run.with_name("other"), RECIPE, 6)
    return run


def test_several_runs_teach_by_their_mean(teacher_run: Path) -> None:
    crops = spots(6, 3).crops
    folders = (teacher_run, teacher_run.with_name("other"))
    teacher = read_teacher(folders, ("bright", "dark"), 200, RECIPE)
    one_by_one = [probabilities(load_run(folder)[0], crops, CENTRED) for folder in folders]
    assert np.abs(one_by_one[0] - one_by_one[1]).max() > 1e-3  # they are different networks
    answers = teacher.answer(normalised(crops, CENTRED))
    np.testing.assert_allclose(answers, np.mean(one_by_one, axis=0), atol=1e-5)


def test_the_targets_are_the_teachers_answers_to_the_very_batch(teacher_run: Path) -> None:
    teacher = read_teacher([teacher_run], ("bright", "dark"), 200, RECIPE)
    crops, labels = Batches(spots(16, 1), RECIPE, 0, 0, teacher=teacher)[0]
    np.testing.assert_allclose(labels, teacher.answer(crops), atol=1e-6)
    plain, _ = Batches(spots(16, 1), RECIPE, 0, 0)[0]
    np.testing.assert_array_equal(crops, plain)


def test_a_pupil_learns_its_teacher_rather_than_the_labels(teacher_run: Path, tmp_path: Path) -> None:
    teacher = read_teacher([teacher_run], ("bright", "dark"), 200, RECIPE)
    given = spots(24, 1)
    wrong = Dataset(given.crops, 1 - given.truth, given.labels, given.names, given.groups)
    fit(wrong, None, tmp_path / "pupil", RECIPE, 0, teacher=teacher)
    unseen = spots(24, 9)
    said = teacher.answer(normalised(unseen.crops, CENTRED)).argmax(axis=1)
    assert (said == unseen.truth).mean() > 0.9
    learnt = probabilities(load_run(tmp_path / "pupil")[0], unseen.crops, CENTRED).argmax(axis=1)
    assert (learnt == said).mean() > 0.9
    with pytest.raises(ValueError, match="was started with another teacher_sha256"):
        fit(wrong, None, tmp_path / "pupil", RECIPE, 0)


def test_a_teacher_of_other_labels_or_crops_is_refused(teacher_run: Path) -> None:
    with pytest.raises(ValueError, match="has the labels bright, dark, not dark, light"):
        read_teacher([teacher_run], ("dark", "light"), 200, RECIPE)
    with pytest.raises(ValueError, match="sees crops otherwise than the recipe paper does"):
        read_teacher([teacher_run], ("bright", "dark"), 200, RECIPES["paper"])
    with pytest.raises(ValueError, match="sees crops otherwise"):
        read_teacher([teacher_run], ("bright", "dark"), 100, RECIPE)
