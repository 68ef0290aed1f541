from __future__ import annotations

import pytest

from edge.base import quantity


@pytest.mark.parametrize(
    ("n", "words", "text"),
    [
        (0, ("frame",), "0 frames"),
        (1, ("frame",), "1 frame"),
        (2000, ("frame",), "2,000 frames"),
        (1, ("box", "boxes"), "1 box"),
        (2, ("box", "boxes"), "2 boxes"),
    ],
)
def test_a_number_agrees_with_its_noun(n: int, words: tuple[str, ...], text: str) -> None:
    assert quantity(n, *words) == text
