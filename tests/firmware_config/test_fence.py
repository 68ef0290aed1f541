"""The fence in config.txt: whatever is in the file, nothing but the fence changes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_config.fence import BEGIN, END, FenceError, fenced, outside, unfenced
from firmware_config.tree import Block

PIECES = [b"\n", b"\r\n", b"\r", b"dtparam=audio=on", b"[pi4]", b"#", b"\xff\0", b" ", b"\x85\x0b", END[:-1]]
# without a mark by itself: hypothesis takes constants from the source
content = st.one_of(
    st.binary(max_size=60), st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)
).filter(lambda file: BEGIN not in file and END not in file)
lines = st.lists(st.sampled_from([b"[all]\n", b"dtoverlay=imx477\n", b"\n", b"# x\n"]), max_size=5).map(
    b"".join
)


@given(content, lines)
def test_only_the_fence_changes(file: bytes, block: bytes) -> None:
    made = fenced(file, block)
    end = b"\n" if file and not file.endswith(b"\n") else b""
    assert made == file + end + BEGIN + b"\n" + block + END + b"\n"


@given(content, lines)
def test_fencing_twice_is_fencing_once_and_removing_restores(file: bytes, block: bytes) -> None:
    made = fenced(file, block)
    assert fenced(made, block) == made
    assert Block(block).revert(made, file) == file
    assert unfenced(file) == file


@given(content, content, lines, lines)
def test_a_fence_stays_where_it_is(before: bytes, after: bytes, old: bytes, new: bytes) -> None:
    made = fenced(fenced(before, old) + after, new)
    assert made == fenced(before, new) + after
    assert unfenced(made).split(b"\n") == rows_of(before) + after.split(b"\n")


def rows_of(file: bytes) -> list[bytes]:
    """The lines; the last one may have no end."""
    return file.removesuffix(b"\n").split(b"\n") if file else []


@given(content, lines, content, content)
def test_edits_around_the_fence_keep_every_line_whole(
    original: bytes, block: bytes, before: bytes, after: bytes
) -> None:
    whole = fenced(original, block)
    fence = whole[whole.index(BEGIN) :]
    if before and not before.endswith(b"\n"):
        before += b"\n"  # an editor that leaves the mark a line of its own
    left = Block(block).revert(before + fence + after, original)
    assert rows_of(left) == rows_of(before) + rows_of(after)
    assert left == before + after or (left == original and before + after == original + b"\n")


@pytest.mark.parametrize(
    ("original", "edited", "left"),
    [
        (b"a=1", b"a=1\n%sb=2\n", b"a=1\nb=2\n"),
        (b"a=1\nb=2\n", b"a=1\nb=2\n%s", b"a=1\nb=2\n"),
        (b"a=1\n", b"a=1\n\n%s", b"a=1\n\n"),
        (b"x=1\n%sy=2\n", b"x=1\n%sy=2\n", b"x=1\ny=2\n"),
        (b"", b"%sb=2", b"b=2"),
    ],
)
def test_lines_of_the_user_around_the_fence_stay(original: bytes, edited: bytes, left: bytes) -> None:
    fence = fenced(b"", b"[all]\n")
    was, now = (file.replace(b"%s", fence) for file in (original, edited))
    assert Block(b"").revert(now, was) == left


@given(st.lists(st.sampled_from([b"a", b"[pi4]", b"", b"\t"]), max_size=6), lines, lines)
def test_windows_line_ends_are_accepted(rows: list[bytes], old: bytes, new: bytes) -> None:
    file = b"".join(row + b"\n" for row in rows)
    saved = fenced(file, old).replace(b"\n", b"\r\n")
    assert unfenced(saved) == file.replace(b"\n", b"\r\n")
    assert BEGIN + b"\n" + new + END in fenced(saved, new)


@given(content, st.permutations([BEGIN, END, END]), st.integers(1, 3))
def test_marks_that_are_not_one_pair_are_refused(file: bytes, marks: list[bytes], number: int) -> None:
    chosen = marks[:number]
    if chosen == [BEGIN, END]:
        return
    damaged = file + b"\n" + b"".join(mark + b"\n" for mark in chosen)
    for edit in (unfenced, outside, lambda file: fenced(file, b"")):
        with pytest.raises(FenceError, match="by hand"):
            edit(damaged)


def test_a_last_line_without_its_end_is_accepted() -> None:
    assert unfenced(fenced(b"a\n", b"b\n")[:-1]) == b"a\n"
