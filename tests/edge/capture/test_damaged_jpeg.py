"""JPEGs that are damaged between intact markers, which only libjpeg's words give away."""

from __future__ import annotations

import io
import os
import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from edge.base import FailedFrame, Frame
from edge.capture import ImageFileError, read_frames
from edge.capture.decode_image import decode_image
from edge.capture.jpeg_file import jpeg_size
from edge.cli.options import LOG_BYTES, quiet_libraries

WRITERS = ("baseline", "progressive", "restarts", "optimised", "colour", "Pillow", "Pillow, progressive")
VISIBLE = 8
"""Grey levels by which a pixel that is seen to be wrong differs."""


def picture(height: int = 160, width: int = 240) -> NDArray[np.uint8]:
    rng = np.random.default_rng(0)
    blurred = cv2.GaussianBlur(rng.uniform(0, 1, (height, width)), (0, 0), 3)
    scaled = 60 + 140 * (blurred - blurred.min()) / np.ptp(blurred)
    pixels: NDArray[np.uint8] = np.clip(scaled + rng.normal(0, 2, scaled.shape), 0, 255).astype(np.uint8)
    return pixels


@cache
def jpeg(writer: str = "baseline") -> bytes:
    image = picture()
    if writer.startswith("Pillow"):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=92, progressive="progressive" in writer)
        return file.getvalue()
    options = {
        "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        "restarts": [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
        "optimised": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    }.get(writer, [])
    pixels: Any = cv2.merge([image, image, 255 - image // 2]) if writer == "colour" else image
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90, *options])[1].tobytes()


def harmed(data: bytes, kind: str, rng: np.random.Generator) -> bytes:
    changed = bytearray(data)
    at = int(rng.integers(data.find(b"\xff\xda") + 14, len(data) - 400))
    length = int(rng.integers(16, 390))
    if kind == "flip":
        changed[at] ^= 1 << int(rng.integers(8))
    else:
        changed[at : at + length] = b"" if kind == "cut" else bytes(length)
    return bytes(changed)


def outcome(data: bytes, whole: NDArray[Any]) -> str:
    try:
        jpeg_size(data, 1)
        image = decode_image(data)
    except (ImageFileError, struct.error, IndexError):
        return "noticed"
    if image is None or image.shape != whole.shape:
        return "noticed"
    wrong = np.abs(image.astype(int) - whole) > VISIBLE
    return "wrong" if wrong.mean() > 0.001 else "a block" if wrong.any() else "same"


def without_a_piece(data: bytes) -> bytes:
    return data[: len(data) // 2] + data[len(data) // 2 + 300 :]


def read(path: Path) -> list[Frame | FailedFrame]:
    with quiet_libraries():
        return list(read_frames([path]))


@pytest.mark.parametrize("writer", WRITERS)
def test_whole_jpegs_are_read_and_those_that_lack_a_piece_are_refused(tmp_path: Path, writer: str) -> None:
    data = jpeg(writer)
    (tmp_path / "1.jpg").write_bytes(data)
    (tmp_path / "2.jpg").write_bytes(without_a_piece(data))
    (tmp_path / "3.jpg").write_bytes(data)
    first, damaged, last = read(tmp_path)
    assert isinstance(damaged, FailedFrame)
    assert damaged.kind == "unreadable"
    assert damaged.reason.startswith("damaged inside the JPEG's data (")
    assert damaged.reason.endswith("): copy it again, or look at it and, if it is whole, save it as PNG")
    for frame in (first, last):
        assert isinstance(frame, Frame)
        expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_GRAYSCALE)
        np.testing.assert_array_equal(frame.image, expected)


@pytest.mark.parametrize("padding", [b"\0", b"\x7f", b"\x12\x34\x56\x78", bytes(31), bytes(64)])
@pytest.mark.parametrize("writer", ["baseline", "progressive", "colour"])
def test_padding_before_the_end_is_no_damage(tmp_path: Path, writer: str, padding: bytes) -> None:
    data = jpeg(writer)
    (tmp_path / "a.jpg").write_bytes(data[:-2] + padding + data[-2:])
    (frame,) = read(tmp_path)
    assert isinstance(frame, Frame)


@pytest.mark.parametrize("behind", [b"", b"\0" * 500, b"more"])
def test_bytes_behind_the_end_are_no_damage(tmp_path: Path, behind: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg() + behind)
    (frame,) = read(tmp_path)
    assert isinstance(frame, Frame)


def test_padding_before_a_restart_marker_is_no_damage(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(jpeg("restarts").replace(b"\xff\xd3", b"\0\0\xff\xd3", 1))
    (frame,) = read(tmp_path)
    assert isinstance(frame, Frame)


@pytest.mark.parametrize(("kept", "spare"), [(0, bytes(range(1, 11))), (0, bytes(100)), (-500, bytes(500))])
def test_blocks_left_over_or_zeroed_are_damage(tmp_path: Path, kept: int, spare: bytes) -> None:
    data = jpeg()
    (tmp_path / "a.jpg").write_bytes(data[: kept - 2] + spare + data[-2:])
    (failed,) = read(tmp_path)
    assert isinstance(failed, FailedFrame)


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_two_hundred_damages_with_threads(threads: int) -> None:
    """docs/formats.md states the shares; a good file between two damaged ones is never refused."""
    rng = np.random.default_rng(14)
    cases = []
    for number in range(200):
        writer, kind = WRITERS[number % 5], ("cut", "zeros", "flip")[number % 3]
        cases += [(kind, writer, harmed(jpeg(writer), kind, rng)), ("whole", writer, jpeg(writer))]
    whole = {writer: decode_image(jpeg(writer)) for writer in WRITERS}
    assert all(image is not None for image in whole.values())
    with quiet_libraries(), ThreadPoolExecutor(threads) as pool:
        outcomes = list(pool.map(lambda case: outcome(case[2], np.asarray(whole[case[1]])), cases))
    of = {
        kind: Counter(o for o, case in zip(outcomes, cases, strict=True) if case[0] == kind)
        for kind in ("whole", "cut", "zeros", "flip")
    }
    assert of["whole"] == {"same": 200}
    for kind in ("cut", "zeros"):
        assert of[kind]["noticed"] >= 0.9 * of[kind].total()
    assert of["flip"]["noticed"] >= 0.7 * (of["flip"]["noticed"] + of["flip"]["wrong"])


def test_what_others_write_condemns_no_jpeg_and_hides_no_damage(tmp_path: Path) -> None:
    (tmp_path / "1.jpg").write_bytes(jpeg())
    (tmp_path / "2.jpg").write_bytes(without_a_piece(jpeg()))
    words = b"Corrupt JPEG data: premature end of data segment\n"
    with quiet_libraries():
        os.write(2, words)
        good, bad = read_frames([tmp_path])
        with suppress(PermissionError):  # until the log is full
            while True:
                os.write(2, words * 100)
        assert os.lseek(2, 0, os.SEEK_CUR) > LOG_BYTES // 2
        later = list(read_frames([tmp_path]))
    assert [type(item) for item in (good, bad, *later)] == [Frame, FailedFrame] * 2


def test_another_threads_words_condemn_no_jpeg() -> None:
    """Words that come only while it is decoded with others are not those of this file."""
    good, bad = jpeg(), without_a_piece(jpeg())
    with quiet_libraries(), ThreadPoolExecutor(4) as pool:
        tasks = [pool.submit(decode_image, bad if k % 2 else good) for k in range(80)]
        failures = [task.exception() is not None for task in tasks]
    assert failures == [False, True] * 40


def test_a_jpeg_block_of_a_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(picture(64, 96)).save(path, compression="jpeg", quality=95)
    (frame,) = read(path)
    assert isinstance(frame, Frame)
    data = bytearray(path.read_bytes())
    scan = data.find(b"\xff\xda")
    data[scan + 200 : scan + 500] = bytes(300)
    path.write_bytes(data)
    (failed,) = read(path)
    assert isinstance(failed, FailedFrame)
    assert "damaged inside the JPEG's data" in failed.reason


@pytest.mark.parametrize("kept", ["err.txt", None])
def test_without_a_log_words_go_where_they_went(tmp_path: Path, kept: str | None) -> None:
    """A program of one's own: standard error that cannot be read back keeps libjpeg's words."""
    damaged = without_a_piece(jpeg())
    saved = os.dup(2)
    reading, writing = os.pipe() if kept is None else (-1, os.open(tmp_path / kept, os.O_WRONLY | os.O_CREAT))
    os.dup2(writing, 2)
    os.close(writing)
    try:
        assert decode_image(damaged) is not None
    finally:
        os.dup2(saved, 2)
        os.close(saved)
    said = os.read(reading, 1000) if kept is None else (tmp_path / kept).read_bytes()
    if kept is None:
        os.close(reading)
    assert said.startswith(b"Corrupt JPEG data")
