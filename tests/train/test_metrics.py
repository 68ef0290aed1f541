from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.metrics import confusion_matrix, score


def test_scores_of_a_worked_example() -> None:
    truth, answers = np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 0, 1])
    scores = score(truth, answers, ["a", "b", "c"])
    assert scores["confusion"] == [[2, 1, 0], [1, 1, 0], [0, 1, 0]]
    assert scores["accuracy"] == pytest.approx(0.5)
    assert scores["precision"] == pytest.approx({"a": 2 / 3, "b": 1 / 3, "c": 0.0})
    assert scores["recall"] == pytest.approx({"a": 2 / 3, "b": 1 / 2, "c": 0.0})
    assert scores["f1"] == pytest.approx({"a": 2 / 3, "b": 0.4, "c": 0.0})
    assert (scores["labels"], scores["cells"]) == (["a", "b", "c"], 6)


def test_an_absent_class_scores_zero() -> None:
    scores = score(np.array([0]), np.array([0]), ["a", "b"])
    assert scores["f1"] == {"a": 1.0, "b": 0.0}
    assert score(np.zeros(0, np.int64), np.zeros(0, np.int64), ["a"])["accuracy"] == 0.0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1))
def test_f1_is_the_harmonic_mean_and_accuracy_the_weighted_recall(pairs: list[tuple[int, int]]) -> None:
    truth, answers = np.array(pairs).T
    labels = ["a", "b", "c", "d"]
    scores = score(truth, answers, labels)
    present = confusion_matrix(truth, answers, 4).sum(axis=1)
    for label in labels:
        p, r = scores["precision"][label], scores["recall"][label]
        assert scores["f1"][label] == pytest.approx(2 * p * r / (p + r) if p + r else 0.0)
    weighted = sum(scores["recall"][label] * n for label, n in zip(labels, present, strict=True))
    assert scores["accuracy"] == pytest.approx(weighted / len(pairs))
