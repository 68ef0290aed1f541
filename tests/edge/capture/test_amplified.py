"""Small files that ask for much are refused at once, and what memory does not hold is a failed frame."""

from __future__ import annotations

import subprocess
import sys
import textwrap
import time
import tracemalloc
from pathlib import Path

import pytest

from edge.base import FailedFrame, Frame
from edge.capture import read_frames, tiff_pixels
from tests.system import amplified_files as make


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("pages.tif", make.pages_of_one_strip(300, 1000), "bytes of pixels per byte"),
        ("deep.tif", make.large_tiff(1500, 3), "bytes of pixels per byte"),
        ("lzw.tif", make.one_strip(6000, 16, 3, 5), "an LZW strip or tile of more than 96 MB"),
        ("noisy.tif", make.pages_of_one_strip(50, 500, noise=500), "share their data"),
        ("strip.tif", make.inflating_strip(20), "does not inflate to its size"),
        ("directories.tif", make.overlapping_directories(), "its tables overlap"),
        ("tiles.tif", make.wide_tiles(1, 1000, 1_000_000), "far beyond its edges"),
        ("blocks.tif", make.tiny_blocks(), "cannot be read"),
        ("entities.tif", make.entities(), "declares entities"),
        ("planes.tif", make.ome_planes(20), "too many planes"),
        ("images.tif", make.ome_images(5000), "at most 4,096"),
        ("bare.tif", make.ome_bare_channels(2), "declare planes of C 100001"),
        ("strips.tif", make.imagej_strips(2000, 5000), "4999 of its 5000 planes were not read"),
        ("distant.tif", make.ome_distant_page(200_000), "too many planes"),
        ("empty.tif", make.empty_directories(3000), "1,001 of its pages cannot be read and 0 can"),
        (
            "broken.avi",
            make.repeated_video(5000, 64, broken=True),
            "1,011 of its frames cannot be read",
        ),
        ("channels.tif", make.ome_channels(), "3000 channels"),
        ("data.png", make.png_data_bomb(200), "more data than its size takes"),
        ("scans.jpg", make.many_scans(200, 64), "more than 100 scans"),
        ("large-scans.jpg", make.many_scans(60, 5000), "more than 40 scans"),
    ],
)
def test_a_small_file_that_asks_for_much_is_refused(
    tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(content)
    began = time.process_time()
    read = list(read_frames([tmp_path / name]))
    assert time.process_time() - began < 2
    reasons = [frame.reason for frame in read if isinstance(frame, FailedFrame)]
    assert reason in "; ".join(reasons)
    assert max(map(len, reasons)) < 1200


@pytest.mark.parametrize(
    ("bits", "samples", "compression"), [(16, 3, 8), (16, 1, 32773), (1, 1, 8), (4, 1, 8)], ids=str
)
def test_a_page_of_one_strip_is_decompressed_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bits: int, samples: int, compression: int
) -> None:
    monkeypatch.setattr(tiff_pixels, "_AT_ONCE", 1 << 18)
    side = 1000
    (tmp_path / "strip.tif").write_bytes(make.one_strip(side, bits, samples, compression))
    tracemalloc.start()
    (frame,) = read_frames([tmp_path / "strip.tif"])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(frame, Frame)
    assert not frame.image.any()
    # the image, and a few times what is decompressed at once
    assert peak < side * side + 2e6


def test_a_description_is_searched_in_linear_time(tmp_path: Path) -> None:
    (tmp_path / "m.tif").write_bytes(make.metaseries(30_000))
    began = time.process_time()
    list(read_frames([tmp_path / "m.tif"]))
    assert time.process_time() - began < 1


def test_what_memory_does_not_hold_is_a_failed_frame(tmp_path: Path) -> None:
    (tmp_path / "large.png").write_bytes(make.large_png(3000))
    program = """
        import resource, sys
        from pathlib import Path
        from edge.capture import TOO_LARGE, read_frames
        held = next(line for line in Path("/proc/self/status").open() if line.startswith("VmData"))
        limit = (int(held.split()[1]) << 10) + (4 << 20)
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
        (frame,) = read_frames(sys.argv[1:])
        assert frame.reason == TOO_LARGE, frame
    """
    words = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "large.png")]
    subprocess.run(words, check=True, timeout=60)
