"""A resumed count says which file is not the one that it began with, and what to do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edge.base.frame import FailedFrame, Frame
from edge.run.config import Analysis, CountConfig
from edge.run.same_files import file_names, files_remark, why_other


@pytest.fixture
def config(tmp_path: Path) -> CountConfig:
    """Of a folder with files a.png, b.png, c.tif and d.png."""
    for name in ("a.png", "b.png", "c.tif", "d.png"):
        (tmp_path / "f" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "f" / name).write_bytes(name.encode())
    return CountConfig(
        sources=("f",),
        folder=str(tmp_path),
        files=file_names(("f",), tmp_path),
        pixel_from="",
        bundle="phantom3",
        analysis=Analysis(pixel_um=0.1, reject_below=0.5),
    )


def frame(name: str) -> Frame:
    return Frame(np.zeros((1, 1), np.uint8), name, 0, 0)


def test_the_same_files_need_no_words(config: CountConfig) -> None:
    assert files_remark(config) == ""
    assert why_other("f/a.png", "11", frame("f/a.png"), "11", config) == ""
    assert why_other("f/a.png", None, FailedFrame("f/a.png", 0, "the file is empty"), "", config) == ""


def test_files_added_removed_and_renamed_are_named(config: CountConfig) -> None:
    folder = config.root / "f"
    (folder / "d.png").rename(folder / "e.png")
    assert files_remark(config) == (
        "since the session began 1 file was added (f/e.png) and 1 file was removed (f/d.png):"
        " not the results of a count without an interruption"
    )
    for k in range(3):
        (folder / f"x{k}.png").touch()
    assert "4 files were added (f/e.png, f/x0.png, f/x1.png, …)" in files_remark(config)


@pytest.mark.parametrize(
    ("change", "now", "why"),
    [
        (
            "",
            frame("f/b.png"),
            "f/b.png has changed since it was counted: put it back as it was and resume, or",
        ),
        (
            "",
            FailedFrame("f/b.png", 1, "truncated"),
            "f/b.png was counted, and cannot be read any more (truncated): put it back",
        ),
        ("remove", frame("f/c.tif#0"), "f/b.png was counted and is gone: put it back"),
        ("remove", None, "f/b.png was counted and is gone: put it back"),
        (
            "rename",
            frame("f/bb.png"),
            "f/b.png was counted and is gone, and f/bb.png is new: if it was renamed, rename it back",
        ),
        (
            "add",
            frame("f/aa.png"),
            "f/aa.png is new and comes before f/b.png, which was counted: move it elsewhere",
        ),
        ("", frame("f/c.tif#0"), "f/b.png was counted here, and now there is f/c.tif: put all files back"),
        (
            "folder",
            FailedFrame("f", 0, "no such file or directory"),
            "f/b.png was counted and is gone (f: no such file or directory): put it back",
        ),
    ],
)
def test_what_is_in_the_place_of_a_counted_frame(
    config: CountConfig, change: str, now: Frame | FailedFrame | None, why: str
) -> None:
    folder = config.root / "f"
    if change in ("remove", "rename"):
        (folder / "b.png").rename(folder / "bb.png" if change == "rename" else config.root / "elsewhere.png")
    if change == "add":
        (folder / "aa.png").touch()
    if change == "folder":
        folder.rename(config.root / "g")
    found = why_other("f/b.png", "11", now, "22", config)
    assert found.startswith(why)
    assert found.endswith(" and resume, or begin a new count")


def test_a_page_of_a_stack_is_named_by_its_file(config: CountConfig) -> None:
    (config.root / "f" / "c.tif").unlink()
    why = why_other("f/c.tif#4", "11", frame("f/d.png"), "22", config)
    assert why.startswith("f/c.tif#4 was counted and is gone: put it back")
