from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.base import alike_labels, label_problem, labels_problem
from edge.base.labels import RESERVED
from edge.classify import REJECTED
from edge.report.files import CELL_COLUMNS
from edge.report.terminal import ALL


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ("", "a label is empty"),
        ("\u3000", "a label is empty"),
        (" monocyte", "has spaces at an end"),
        ("monocyte\n", "has spaces at an end"),
        ("mono\tcyte", "has control characters"),
        ("mono\x1b[2Jcyte", "has control characters"),
        ("\u202eetyconom", "has control characters"),
        ("mono\u200bcyte", "has control characters"),
        ("mono\u2028cyte", "has control characters"),
        *(
            (f"rejected{blank}", "characters that do not show")
            for blank in "\u3164\u034f\u2800\ufe0f\U000e0101"
        ),
        ("mono\ud800", "has control characters"),
        *((label, "is a heading of the results") for label in ("R\u0435jected", "\u0391LL leuk\u043ecytes")),
        ("m" * 81, "has 81 characters, more than 80"),
        *((f"{mark}1+1", f"begins with {mark}") for mark in "=+-@'＝＋－＠"),
        *((label, "cannot name a folder") for label in ("a/b", "a\\b", "..", ".hidden", "a／b", "/")),
        *((label, "is a heading of the results") for label in ("rejected", "Rejected", "all leukocytes")),
        *(
            (label, "is a heading of the results")
            for label in ("ALL  Leukocytes", "ｒｅｊｅｃｔｅｄ", "unsure")
        ),
        *((label, "is a heading of the results") for label in ("Cells", "backgrounds", "label", "fold")),
    ],
)
def test_a_name_that_no_class_can_have(label: str, why: str) -> None:
    assert why in label_problem(label)
    assert label_problem(label).isprintable()
    assert why in labels_problem(("granulocyte", label))


@pytest.mark.parametrize(
    "label",
    [
        "granulocyte",
        "γδ T cell",
        "TGFβ",
        "лимфоцит",
        "CD4+",
        "x",
        "no-name",
        "lymphocyte (small)",
        "白血球",
        "a=b",
    ],
)
def test_a_name_that_a_class_can_have(label: str) -> None:
    assert label_problem(label) == ""


def test_labels_that_a_person_cannot_tell_apart() -> None:
    for one, other in (
        ("WBC", "wbc"),
        ("é", "e\u0301"),
        ("a b", "ab"),
        ("ﬁ", "fi"),
        ("T cell", "\u0422 \u0441ell"),
    ):
        named = f"labels {min(one, other)} and {max(one, other)}"
        why = "differ only in case, spaces or letters that look alike: make them one"
        assert labels_problem((one, other)) == f"{named} {why}"
    assert alike_labels(("WBC", "RBC", "WBC")) == []


def test_every_heading_beside_a_label_is_reserved() -> None:
    assert {*CELL_COLUMNS, REJECTED, ALL} - {"x", "y"} <= RESERVED


@given(st.text())
def test_a_label_that_passes_is_one_printable_cell(label: str) -> None:
    if not label_problem(label):
        assert label.isprintable()
        assert label == label.strip()
        assert label[0] not in "=+-@\t\r"
        assert not set(label) & set("/\\")
