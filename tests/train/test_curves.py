from __future__ import annotations

import re

import pytest

pytest.importorskip("keras", reason="needs the train extra")

from train.report.curves import advice, curves_page
from train.run import Epoch


def rows(losses: list[float] | list[None]) -> list[Epoch]:
    return [
        Epoch(
            epoch=k,
            loss=1 / k,
            accuracy=1 - 0.5 / k,
            validation_loss=loss,
            validation_accuracy=None if loss is None else 0.75,
            seconds=2.0,
        )
        for k, loss in enumerate(losses, 1)
    ]


FALLING = [1.0, 0.6, 0.4, 0.3, 0.25, 0.22, 0.2, 0.2, 0.2]


@pytest.mark.parametrize(
    "losses",
    [
        FALLING,
        [*FALLING, 0.3],  # one bad epoch is chance
        [1.0, 2.0],  # too short to judge
        [*FALLING, 0.21, 0.22, 0.21],
        [None] * 12,
    ],
)
def test_a_run_that_does_not_get_worse_needs_no_advice(losses: list[float]) -> None:
    assert advice(rows(losses)) == ""


def test_a_rising_validation_loss_names_the_epoch_and_the_remedy() -> None:
    words = advice(rows([*FALLING, 0.25, 0.28, 0.3, 0.32]))
    assert "lowest around epoch 7 and has risen by 50 % since" in words
    assert words.endswith("Add labelled crops, or train again with --epochs 7.")


def test_the_page_needs_nothing_else_and_shows_both_curves() -> None:
    page = curves_page("a & b", rows(FALLING), 20)
    assert "Training: 9 of 20 epochs" in page
    assert "a &amp; b" in page
    assert page.count("<svg") == 1
    assert not re.findall(r"(?:src|href)=[\"']?http|<script", page)
    assert ">training</text>" in page
    assert ">validation</text>" in page
    assert "The network of epoch 9, the last one, is kept" in curves_page(
        "a", rows(FALLING), 9, finished=True
    )


def test_without_a_validation_set_there_is_one_curve() -> None:
    page = curves_page("a", rows([None] * 3), 3, finished=True)
    assert ">validation</text>" not in page
    assert "There is no validation set." in page


def test_one_epoch_is_a_dot() -> None:
    assert "Trained for 1 epoch<" in curves_page("a", rows([0.5]), 1, finished=True)
