"""The decision about a cell: its label, or one reason why it is rejected."""

from __future__ import annotations

import numpy as np

from edge.classify.decision import REJECTED, Decision, decide_labels

LABELS = ("granulocyte", "lymphocyte")


def test_each_reason_and_both() -> None:
    probabilities = np.array([[0.9, 0.1], [0.45, 0.55], [0.2, 0.8], [0.55, 0.45], [0.6, 0.4]], np.float32)
    in_distribution = np.array([True, True, False, False, True])
    decisions = decide_labels(probabilities, in_distribution, LABELS, np.float32(0.6).item())
    assert decisions == [
        Decision("granulocyte"),
        Decision("lymphocyte", "low_confidence"),
        Decision("lymphocyte", "out_of_distribution"),
        Decision("granulocyte", "out_of_distribution"),
        Decision("granulocyte"),
    ]
    assert [one.label for one in decisions] == ["granulocyte", REJECTED, REJECTED, REJECTED, "granulocyte"]


def test_no_cells_no_decisions() -> None:
    assert decide_labels(np.zeros((0, 2), np.float32), np.zeros(0, bool), LABELS, 0.5) == []
