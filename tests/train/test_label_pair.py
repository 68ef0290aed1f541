from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.label.pair import pair_names


@pytest.mark.parametrize(
    ("first", "second", "pairs"),
    [
        (["a", "b"], ["b", "a"], [("a", "a"), ("b", "b")]),
        (["bf_1", "bf_2", "bf_11"], ["dapi_2", "dapi_11"], [("bf_2", "dapi_2"), ("bf_11", "dapi_11")]),
        (["1-bf", "2-bf"], ["1-fl", "2-fl"], [("1-bf", "1-fl"), ("2-bf", "2-fl")]),
        (
            ["s1_BF_t1", "s2_BF_t1"],
            ["s1_F_t1", "s2_F_t1"],
            [("s1_BF_t1", "s1_F_t1"), ("s2_BF_t1", "s2_F_t1")],
        ),
        (["f1", "f2"], ["f1_hoechst", "f2_hoechst"], [("f1", "f1_hoechst"), ("f2", "f2_hoechst")]),
        (["x_ch1", "y_ch1"], ["x_ch2", "y_ch2"], [("x_ch1", "x_ch2"), ("y_ch1", "y_ch2")]),
        (["bf"], ["fl"], [("bf", "fl")]),
        # frames of another number are no partners
        (["img1"], ["img2"], []),
        (["img1", "img3"], ["img2", "img4"], []),
        (["cat", "dog"], ["sun", "moon"], []),
        ([], ["a"], []),
    ],
)
def test_examples(first: list[str], second: list[str], pairs: list[tuple[str, str]]) -> None:
    pairing = pair_names(first, second)
    assert pairing.pairs == pairs
    assert pairing.first_alone == [name for name in first if name not in dict(pairs)]
    assert pairing.second_alone == [name for name in second if name not in dict(pairs).values()]


@given(
    numbers=st.lists(st.integers(0, 9999), min_size=2, max_size=30, unique=True),
    words=st.sampled_from([("bf", "fl"), ("", "dapi_"), ("bright", "blue"), ("c1-", "c2-")]),
    before=st.booleans(),
    missing=st.integers(0, 3),
)
def test_one_part_that_always_differs_pairs_all(
    numbers: list[int], words: tuple[str, str], before: bool, missing: int
) -> None:
    first, second = ([f"{word}_{k:04d}" if before else f"{k:04d}_{word}" for k in numbers] for word in words)
    second = second[: max(2, len(second) - missing)]
    pairing = pair_names(first, second)
    assert pairing.pairs == list(zip(first, second, strict=False))
    assert pairing.first_alone == first[len(second) :]
    assert pairing.second_alone == []
