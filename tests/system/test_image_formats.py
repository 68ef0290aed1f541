"""Image files of other programs are read right, or refused by name; docs/formats.md says which."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from edge.base import FailedFrame
from edge.capture import read_frames
from tests.system.format_table import PAGE, cells, decode_all, digest, outcomes, wrong_pixels
from tests.system.image_files import LIBRARIES, PROGRAMS, Folder, write_image_files

ROOT = Path(__file__).parents[2]


def check(folder: Path, writers: Iterable[Callable[[Folder], None]], least: int) -> None:
    """Write files, and compare what is read of them with what they hold and with the table in the docs."""
    folder.mkdir()
    files = write_image_files(folder, writers)
    assert len(files) >= least
    frames = decode_all(folder, files, 1)
    assert wrong_pixels(folder, files, frames) == []
    for threads in (2, 4):
        assert digest(decode_all(folder, files, threads)) == digest(frames)
    documented = cells(PAGE.read_text())
    seen = outcomes(files, frames)
    assert {key: found for key, found in seen.items() if found != {documented.get(key, "refused")}} == {}
    for frame in frames:
        if isinstance(frame, FailedFrame):
            assert (
                "not supported: save" in frame.reason
                or "save it as one of" in frame.reason
                or "samples per pixel" in frame.reason
            )


def test_files_of_libraries(tmp_path: Path) -> None:
    check(tmp_path / "files", LIBRARIES, 600)
    # memory that nobody wrote has other contents in each of these runs
    digests = {
        subprocess.run(
            [sys.executable, "-m", "tests.system.format_table", str(tmp_path / "files"), "--digest"],
            cwd=ROOT,
            env=os.environ | {"MALLOC_PERTURB_": poison},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for poison in ("1", "85", "170")
    }
    assert len(digests) == 1
    assert len(digests.pop().strip()) == 64


@pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("identify")),
    reason="ImageMagick and ffmpeg are not installed",
)
def test_files_of_programs(tmp_path: Path) -> None:
    check(tmp_path / "files", PROGRAMS, 600)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"ZISRAWFILE\0\0", "a Zeiss CZI file"),
        (b"\xda\xce\xbe\x0a\0\0", "a Nikon ND2 file"),
        (b"\x70\0\0\0\x2a", "a Leica LIF file"),
        (bytes(128) + b"DICM", "a DICOM file"),
        (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    ],
)
def test_formats_of_microscopes_are_refused_by_name(tmp_path: Path, head: bytes, name: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(head.ljust(300, b"\0"))
    (frame,) = read_frames([path])
    assert isinstance(frame, FailedFrame)
    assert frame.reason == f"{name} is not supported: save its images as PNG or TIFF"
