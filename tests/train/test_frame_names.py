"""Which image a table means by a frame's name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from train.frame_names import match_frames

FILES = ("/d/a/f1.png", "/d/b/f1.png", "/d/a/f2.png", "/d/a/stack.tif", "/d/a/odd#3")


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("a/f1.png", "/d/a/f1.png"),
        ("b/f1.png", "/d/b/f1.png"),
        ("/d/b/f1.png", "/d/b/f1.png"),
        ("elsewhere/b/f1.png", "/d/b/f1.png"),
        ("C:\\data\\b\\f1.png", "/d/b/f1.png"),
        ("./a/f1.png", "/d/a/f1.png"),
        ("f2.png", "/d/a/f2.png"),
        ("moved/f2.png", "/d/a/f2.png"),
        ("a/stack.tif#7", "/d/a/stack.tif#7"),
        ("stack.tif", "/d/a/stack.tif"),
        ("odd#3", "/d/a/odd#3"),
    ],
)
def test_a_name_means_the_file_that_shares_most_of_its_path(named: str, meant: str) -> None:
    assert match_frames([named], FILES) == {named: meant}


def test_names_of_other_frames_mean_none() -> None:
    assert match_frames(["f9.png", "a/F2.png", "f2.png/", ""], FILES) == {"f2.png/": "/d/a/f2.png"}


@pytest.mark.parametrize("named", ["f1.png", "c/f1.png"])
def test_a_name_that_two_files_have_is_refused(named: str) -> None:
    with pytest.raises(ValueError, match=r"may be /d/a/f1.png or /d/b/f1.png: write its folder"):
        match_frames([named], FILES)


def test_of_two_names_the_closer_one_is_meant() -> None:
    """One of two folders of a count is given."""
    assert match_frames(["a/f1.png", "b/f1.png"], ["/d/a/f1.png"]) == {"a/f1.png": "/d/a/f1.png"}
    with pytest.raises(ValueError, match=r"/d/c/f1.png may be a/f1.png or b/f1.png of the table"):
        match_frames(["a/f1.png", "b/f1.png"], ["/d/c/f1.png"])


def test_two_names_that_both_fit_a_frame_are_refused() -> None:
    """One of them would lose its boxes."""
    with pytest.raises(ValueError, match=r"/d/a/f1.png may be a/f1.png or f1.png of the table"):
        match_frames(["f1.png", "a/f1.png"], ["/d/a/f1.png"])


@given(
    st.lists(st.text("ab", min_size=1, max_size=2), min_size=1, max_size=4, unique=True), st.integers(0, 3)
)
def test_every_frame_of_a_count_is_found_again_wherever_its_folders_lie(
    folders: list[str], depth: int
) -> None:
    """Folders that differ in their last part, moved as a whole."""
    names = [f"run/{folder}/{number}.png" for folder in folders for number in range(2)]
    moved = [f"/{'x/' * depth}{name.removeprefix('run/')}" for name in names]
    assert match_frames(names, moved) == dict(zip(names, moved, strict=True))
