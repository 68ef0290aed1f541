from __future__ import annotations

import os
import struct
import subprocess
import sys
import textwrap
import time
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from edge.base.frame import FailedFrame, Frame
from edge.capture.frames import list_files, passed_over, read_frames
from edge.cli.options import quiet_libraries

Image = NDArray[np.uint8] | NDArray[np.uint16]

GREY = np.random.default_rng(7).integers(0, 256, (12, 20), dtype=np.uint8)
BITS = np.random.default_rng(8).integers(0, 2, (8, 16), dtype=np.uint8)


def good(*sources: Path | str, max_megapixels: float = 100.0, bit_depth: int = 16) -> list[Frame]:
    read = list(read_frames(sources, max_megapixels=max_megapixels, bit_depth=bit_depth))
    assert all(isinstance(frame, Frame) for frame in read), read
    return [frame for frame in read if isinstance(frame, Frame)]


def failure(*sources: Path | str, max_megapixels: float = 100.0) -> FailedFrame:
    (read,) = read_frames(sources, max_megapixels=max_megapixels)
    assert isinstance(read, FailedFrame)
    assert "\n" not in read.reason
    return read


def png(*chunks: tuple[bytes, bytes]) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def sized_png(width: int, height: int) -> bytes:
    return png((b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)), (b"IEND", b""))


def png_image(
    rows: NDArray[np.uint8], width: int, bits: int, colour: int, *more: tuple[bytes, bytes]
) -> bytes:
    header = struct.pack(">IIBBBBB", width, len(rows), bits, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return png((b"IHDR", header), *more, (b"IDAT", data), (b"IEND", b""))


def tiff(order: str, pages: Sequence[tuple[dict[int, int], bytes]], *, big: bool = False) -> bytes:
    """Uncompressed pages of one strip each: (tags over the defaults, pixel bytes), directory before data."""
    word = "Q" if big else "I"
    mark = b"II" if order == "<" else b"MM"
    out = mark + struct.pack(order + ("HHHQ" if big else "HI"), *((43, 8, 0, 16) if big else (42, 8)))
    for number, (tags, pixels) in enumerate(pages):
        tags = {258: 8, 259: 1, 262: 1, 273: 0, 277: 1, 279: len(pixels), **tags}
        end = len(out) + len(struct.pack(order + ("Q" if big else "H"), 0)) + len(tags) * (20 if big else 12)
        end += 8 if big else 4
        tags[273] = end
        out += struct.pack(order + ("Q" if big else "H"), len(tags))
        for tag, value in sorted(tags.items()):
            out += struct.pack(order + "HH" + word * 2, tag, 16 if big else 4, 1, value)
        out += struct.pack(order + word, end + len(pixels) if number + 1 < len(pages) else 0) + pixels
    return out


def grey_page(image: NDArray[Any], **more: int) -> tuple[dict[int, int], bytes]:
    return {
        256: image.shape[1],
        257: image.shape[0],
        **{int(k[1:]): v for k, v in more.items()},
    }, image.tobytes()


# ---- formats -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize(
    ("suffix", "dtype"),
    [(".png", np.uint8), (".png", np.uint16), (".tif", np.uint8), (".tif", np.uint16), (".bmp", np.uint8)],
)
def test_lossless_formats_give_bt601_grey(tmp_path: Path, suffix: str, channels: int, dtype: type) -> None:
    top = np.iinfo(dtype).max
    image: Image = np.random.default_rng(channels).integers(0, top + 1, (31, 47, channels)).astype(dtype)
    cv2.imwrite(str(tmp_path / f"a{suffix}"), image)
    (frame,) = good(tmp_path / f"a{suffix}")
    expected = image[..., 0] if channels == 1 else image[..., :3] @ np.array([0.114, 0.587, 0.299])
    assert frame.image.dtype == np.uint8
    assert np.abs(frame.image - expected * (255 / top)).max() <= 1.5


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_grey_is_the_luma_of_its_colour(tmp_path: Path, channels: int) -> None:
    noise = np.random.default_rng(0).normal(0, 40, (64, 96, channels))
    smooth = np.clip(128 + cv2.GaussianBlur(noise, (0, 0), 4).reshape(noise.shape) * 6, 0, 255).astype(
        np.uint8
    )
    cv2.imwrite(str(tmp_path / "a.jpg"), smooth, [cv2.IMWRITE_JPEG_QUALITY, 95])
    colour = cv2.imread(str(tmp_path / "a.jpg"), cv2.IMREAD_COLOR)
    (frame,) = good(tmp_path / "a.jpg")
    difference = frame.image.astype(int) - cv2.cvtColor(colour, cv2.COLOR_BGR2GRAY)
    assert np.abs(difference).max() <= 3
    assert np.abs(difference).mean() < 0.5


def test_palette_one_bit_and_ancillary_chunks_of_a_png(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]], np.uint8)
    index = np.random.default_rng(1).integers(0, 4, (8, 10), dtype=np.uint8)
    palette = (b"PLTE", colours.tobytes())
    alpha, profile = (b"tRNS", b"\0\x40\x80\xff"), (b"iCCP", b"broken")
    (tmp_path / "1.png").write_bytes(png_image(index, 10, 8, 3, palette))
    (tmp_path / "2.png").write_bytes(png_image(index, 10, 8, 3, profile, palette, alpha))
    (tmp_path / "3.png").write_bytes(png_image(np.packbits(BITS, axis=1), 16, 1, 0))
    opaque, transparent, one_bit = good(tmp_path)
    np.testing.assert_array_equal(opaque.image, np.array([76, 149, 29, 255], np.uint8)[index])
    np.testing.assert_array_equal(transparent.image, opaque.image)
    np.testing.assert_array_equal(one_bit.image, BITS * 255)


def test_palette_bmp(tmp_path: Path) -> None:
    index = np.random.default_rng(2).integers(0, 2, (4, 8), dtype=np.uint8)
    colours = bytes([0, 0, 255, 0, 255, 255, 255, 0])  # red, white, as BGR0
    header = struct.pack("<IiiHHIIiiII", 40, 8, 4, 1, 8, 0, 32, 0, 0, 2, 0)
    body = header + colours + index[::-1].tobytes()
    (tmp_path / "a.bmp").write_bytes(struct.pack("<2sIHHI", b"BM", 14 + len(body), 0, 0, 14 + 48) + body)
    np.testing.assert_array_equal(good(tmp_path)[0].image, np.where(index == 0, 76, 255))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_byte_orders_depths_and_bigtiff(tmp_path: Path, order: str, big: bool) -> None:
    deep = np.random.default_rng(3).integers(0, 65536, (12, 20), dtype=np.uint16)
    swapped = deep.astype(order + "u2")
    one_bit = ({256: 16, 257: 8, 258: 1}, np.packbits(BITS, axis=1).tobytes())
    white_is_zero = grey_page(255 - GREY, t262=0)
    (tmp_path / "a.tif").write_bytes(
        tiff(order, [grey_page(GREY), grey_page(swapped, t258=16), one_bit, white_is_zero], big=big)
    )
    first, second, third, fourth = good(tmp_path / "a.tif")
    np.testing.assert_array_equal(first.image, GREY)
    np.testing.assert_array_equal(second.image, np.rint(deep / 257))
    np.testing.assert_array_equal(third.image, BITS * 255)
    np.testing.assert_array_equal(fourth.image, GREY)
    assert [f.name for f in (first, fourth)] == [f"{tmp_path}/a.tif#0", f"{tmp_path}/a.tif#3"]


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
def test_compressed_colour_tiff_stacks_keep_every_page(tmp_path: Path, compression: int) -> None:
    pages = [np.random.default_rng(k).integers(0, 256, (40, 70, 3), dtype=np.uint8) for k in range(5)]
    stack, single = tmp_path / "stack.tif", tmp_path / "z.tif"
    cv2.imwritemulti(str(stack), pages, [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    cv2.imwrite(str(single), pages[0], [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    frames = good(stack, single)
    assert [frame.name for frame in frames] == [*(f"{stack}#{k}" for k in range(5)), str(single)]
    for frame, page in zip(frames, [*pages, pages[0]], strict=True):
        assert np.abs(frame.image.astype(int) - cv2.cvtColor(page, cv2.COLOR_BGR2GRAY)).max() <= 1


def test_orientation_marks_are_not_applied(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(tiff("<", [grey_page(GREY, t274=6)]))
    jpeg = cv2.imencode(".jpg", GREY)[1].tobytes()
    exif = b"Exif\0\0" + b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x0112, 3, 1, 6, 0, 0)
    (tmp_path / "b.jpg").write_bytes(
        jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]
    )
    turned = cv2.imread(str(tmp_path / "b.jpg"), cv2.IMREAD_GRAYSCALE)
    assert turned.shape == (20, 12)  # the mark is there, OpenCV left alone follows it
    assert [frame.image.shape for frame in good(tmp_path)] == [(12, 20), (12, 20)]


def test_previews_inside_a_tiff_are_no_frames(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(
        tiff("<", [grey_page(GREY), grey_page(GREY[::2, ::2].copy(), t254=1), grey_page(GREY[::-1].copy())])
    )
    assert [frame.name[-2:] for frame in good(tmp_path)] == ["#0", "#1"]


@pytest.mark.parametrize("bit_depth", [10, 12, 16])
def test_sixteen_bit_samples_are_scaled_by_their_declared_depth_only(tmp_path: Path, bit_depth: int) -> None:
    white = 2**bit_depth - 1
    dim = np.linspace(0, white // 2, 64).astype(np.uint16).reshape(8, 8)
    bright = np.full((8, 8), white, np.uint16)
    cv2.imwrite(str(tmp_path / "1.png"), dim)
    cv2.imwrite(str(tmp_path / "2.png"), bright)
    cv2.imwrite(str(tmp_path / "3.png"), bright // 2)
    first, second, third = good(tmp_path, bit_depth=bit_depth)
    np.testing.assert_allclose(first.image, dim * (255 / white), atol=0.51)
    assert (second.image == 255).all()
    assert (third.image == 127).all()


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize(
    ("white", "bit_depth", "likely"),
    [
        *((2**bits - 1, 16, bits) for bits in (10, 12, 14)),
        (255 * 16, 16, 12),
        (1500, 16, 12),
        (65535, 16, None),
        (40000, 16, None),
        (4095, 12, None),
        (1023, 12, 10),
        (255, 16, None),
        (0, 16, None),
    ],
)
def test_a_camera_that_uses_fewer_bits_than_the_file_is_noticed(
    tmp_path: Path, suffix: str, white: int, bit_depth: int, likely: int | None
) -> None:
    image = np.linspace(0, white, 64 * 64).astype(np.uint16).reshape(64, 64)
    path = write(tmp_path / f"a{suffix}", image)
    (frame,) = good(path, bit_depth=bit_depth)
    assert frame.likely_bit_depth == likely


def test_eight_bits_never_use_fewer(tmp_path: Path) -> None:
    for name in ("a.png", "a.tif", "a.jpg", "a.bmp"):
        write(tmp_path / name, np.full((8, 8), 15, np.uint8))
    assert {frame.likely_bit_depth for frame in good(tmp_path)} == {None}


@pytest.mark.parametrize("bit_depth", [9, 12, 15])
def test_a_video_has_no_other_bit_depth(tmp_path: Path, bit_depth: int) -> None:
    path = tmp_path / "v.mkv"
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 5, (64, 48), False)
    writer.write(np.full((48, 64), 90, np.uint8))
    writer.release()
    write(tmp_path / "w.png", np.full((8, 8), 900, np.uint16))
    refused, image = read_frames([tmp_path], bit_depth=bit_depth)
    assert isinstance(refused, FailedFrame)
    assert refused.reason == "a video is read at 8 bits: leave out --bit-depth, or save 16-bit images"
    assert isinstance(image, Frame)
    assert len(good(path)) == 1


@pytest.mark.parametrize(("name", "codec"), [("a.avi", "MJPG"), ("a.mkv", "FFV1"), ("a.mp4", "mp4v")])
def test_videos(tmp_path: Path, name: str, codec: str) -> None:
    path = tmp_path / name
    frames = [np.full((48, 64), 40 + 20 * k, np.uint8) for k in range(8)]
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 10, (64, 48), False)
    for image in frames:
        writer.write(image)
    writer.release()
    read = good(path)
    assert [frame.name for frame in read] == [f"{path}#{k}" for k in range(8)]
    assert max(np.abs(r.image.astype(int) - f).max() for r, f in zip(read, frames, strict=True)) <= 4
    start = path.stat().st_mtime_ns
    assert [frame.time_ns - start for frame in read] == [k * 100_000_000 for k in range(8)]
    assert "the limit is 0.001" in failure(path, max_megapixels=0.001).reason


def test_the_last_frame_of_a_video_that_was_cut_off_is_not_trusted(tmp_path: Path) -> None:
    path = tmp_path / "cut.avi"
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 10, (640, 480), False
    )
    noise = np.random.default_rng(0)
    for _ in range(6):
        writer.write(noise.integers(0, 256, (480, 640), np.uint8))
    writer.release()
    uncut = good(path)
    assert len(uncut) == 6
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    *whole, last = read_frames([path])
    assert len(whole) >= 3
    for frame, expected in zip(whole, uncut, strict=False):
        assert isinstance(frame, Frame)
        np.testing.assert_array_equal(frame.image, expected.image)
    assert isinstance(last, FailedFrame)
    assert last.reason.startswith("truncated")
    cut = path.read_bytes()[: path.stat().st_size // 2]
    path.write_bytes(cut)
    *_, last = read_frames([path])
    assert isinstance(last, FailedFrame)


# ---- sources -------------------------------------------------------------------------------------------


def write(path: Path, image: Image = GREY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image)
    return path


def test_a_folder_gives_its_images_in_natural_order_and_nothing_else(tmp_path: Path) -> None:
    for name in ("f10.png", "f2.PNG", "f1.bmp", ".hidden.png", "sub/f3.png"):
        write(tmp_path / name)
    for name in ("boxes.csv", "README", "notes.txt"):
        (tmp_path / name).write_text("x")
    assert [Path(path).name for path in list_files([tmp_path])] == ["f1.bmp", "f2.PNG", "f10.png"]


JPEG = cv2.imencode(".jpg", GREY)[1].tobytes()
BMP = cv2.imencode(".bmp", GREY)[1].tobytes()


@pytest.mark.parametrize(
    ("suffix", "content"),
    [
        *((suffix, JPEG) for suffix in (".jfif", ".jpe", ".jif", ".JFIF")),
        *((suffix, tiff("<", [grey_page(GREY)], big=True)) for suffix in (".btf", ".tf8", ".lsm", ".stk")),
        (".dib", BMP),
    ],
)
def test_a_folder_gives_every_suffix_of_what_is_read(tmp_path: Path, suffix: str, content: bytes) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    (by_folder,) = good(tmp_path)
    (by_name,) = good(path)
    assert by_folder.image.shape == by_name.image.shape == GREY.shape
    assert np.array_equal(by_folder.image, by_name.image)
    assert not passed_over([tmp_path])


def test_what_a_folder_passes_over_is_counted_by_suffix(tmp_path: Path) -> None:
    write(tmp_path / "a.png")
    (tmp_path / "sub.webp").mkdir()
    for name in ("b.webp", "c.WEBP", "d.czi", "e", ".hidden.webp", "boxes.csv", "Thumbs.db", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    expected = {".webp": 2, ".czi": 1, "": 1}
    assert passed_over([tmp_path]) == passed_over([tmp_path, f"{tmp_path}/../{tmp_path.name}"]) == expected
    assert (
        passed_over([tmp_path.name], tmp_path.parent) == passed_over([f"{str(tmp_path)[:-1]}?"]) == expected
    )
    assert not passed_over([tmp_path / "b.webp", tmp_path / "absent", f"{tmp_path}/*.png"])


def test_globs_expand_here_when_the_shell_did_not(tmp_path: Path) -> None:
    for name in ("a/f10.png", "a/f9.png", "b/f1.png", "b/sub/f2.png", "[x].png"):
        write(tmp_path / name)
    (tmp_path / "a" / "notes.txt").write_text("x")
    names = [
        str(Path(path).relative_to(tmp_path)) for path in list_files([f"{tmp_path}/a/*", f"{tmp_path}/?"])
    ]
    assert names == ["a/f9.png", "a/f10.png", "a/notes.txt", "b/f1.png"]
    assert len(list_files([f"{tmp_path}/**/*.png"])) == 5
    assert list_files([f"{tmp_path}/[x].png"]) == [f"{tmp_path}/[x].png"]


def test_each_file_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to(path)
    monkeypatch.chdir(tmp_path)
    assert list_files([tmp_path, path, "a.png", "./*.png"]) == [str(path)]


@given(st.sets(st.integers(0, 10**30), min_size=1, max_size=20))
def test_natural_order_is_numeric_order(tmp_path_factory: pytest.TempPathFactory, numbers: set[int]) -> None:
    folder = tmp_path_factory.mktemp("natural")
    for number in numbers:
        (folder / f"frame{number}.png").touch()
    assert [Path(path).name for path in list_files([folder])] == [f"frame{n}.png" for n in sorted(numbers)]


def test_nothing_is_decoded_before_it_is_asked_for(tmp_path: Path) -> None:
    first, second = write(tmp_path / "1.png"), write(tmp_path / "2.png")
    frames = read_frames([tmp_path])
    assert isinstance(next(frames), Frame)
    second.unlink()
    gone = next(frames)
    assert gone == FailedFrame(str(second), 1, "no such file or directory")
    assert first.exists()
    assert next(frames, None) is None


# ---- failures ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, world\n" * 10, "not a PNG"),
        (b"\x89PNG\r\n\x1a\n", "truncated"),
        (
            sized_png(50_000, 50_000),
            "2500.0 megapixels",
        ),
        (sized_png(0, 5), "0 x 5"),
        (sized_png(2000, 2000), "damaged"),
        (png((b"IDAT", b""), (b"IEND", b"")), "header"),
        (b"\xff\xd8\xff\xe0\0\x04ab\xff\xc0\0\x11\x08\xff\xff\xff\xff" + b"\0" * 30, "4294.8 megapixels"),
        (b"\xff\xd8\xff\xd9", "no picture"),
        (b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 30_000, -30_000, 1, 24, 0), "900.0 megapixels"),
        (b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, -4, 4, 1, 24, 0), "-4 x 4"),
        (b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 4, 4, 1, 24, 0), "truncated"),
        (b"BM", "truncated"),
        (tiff("<", [grey_page(GREY, t256=70_000, t257=70_000)]), "4900.0 megapixels"),
        (tiff(">", [grey_page(GREY)])[:-5], "truncated"),
        (tiff("<", [grey_page(GREY, t279=2**31)]), "more data than there is"),
        (
            tiff("<", [grey_page(np.zeros((4, 16), np.uint16), t256=8, t258=32, t339=3)]),
            "32-bit floating-point",
        ),
        (b"II*\0" + struct.pack("<I", 0), "no image"),
        (b"MM\0*" + struct.pack(">I", 2**31), "truncated"),
        (b"RIFF\x10\0\0\0AVI LIST", "cannot be decoded"),
    ],
)
def test_unreadable_files_give_their_reason(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    failed = failure(path)
    assert reason in failed.reason
    assert failed.name == str(path)


def test_sources_without_frames_are_reported(tmp_path: Path) -> None:
    (tmp_path / "loop.png").symlink_to(tmp_path / "loop.png")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    folder = [tmp_path / name for name in ("empty", "loop.png", "pipe.png")]
    reasons = [
        read.reason
        for read in read_frames(["missing.png", "*.nothing", *folder])
        if isinstance(read, FailedFrame)
    ]
    assert reasons == [
        "no such file or directory",
        "no such file or directory",
        "a folder without images or videos",
        "too many levels of symbolic links",
        "not a regular file",
    ]


def test_a_folder_of_folders_names_those_that_hold_frames(tmp_path: Path) -> None:
    for name in ("frames", "masks", "notes"):
        (tmp_path / "sample" / name).mkdir(parents=True)
    (tmp_path / "sample" / "frames" / "1.png").touch()
    (tmp_path / "sample" / "masks" / "1.tif").touch()
    (failed,) = read_frames([tmp_path / "sample"])
    assert isinstance(failed, FailedFrame)
    assert failed.reason == (
        "a folder without images or videos; its folders frames, masks hold some: give one of these"
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_permission_denied(tmp_path: Path) -> None:
    path = write(tmp_path / "a.png")
    path.chmod(0)
    assert failure(path).reason == "permission denied"


def test_one_bad_page_does_not_end_a_stack(tmp_path: Path) -> None:
    pages = [grey_page(GREY), grey_page(GREY, t256=90_000, t257=90_000), grey_page(GREY)]
    (tmp_path / "a.tif").write_bytes(tiff("<", pages))
    first, second, third = read_frames([tmp_path])
    assert isinstance(first, Frame)
    assert isinstance(second, FailedFrame)
    assert isinstance(third, Frame)
    assert [second.name[-2:], second.index, third.index] == ["#1", 1, 2]


def test_a_stack_whose_pages_run_in_a_circle_ends(tmp_path: Path) -> None:
    page = tiff("<", [grey_page(GREY)])
    following = len(page) - GREY.size - 4
    (tmp_path / "a.tif").write_bytes(page[:following] + struct.pack("<I", 8) + page[following + 4 :])
    frame, failed = read_frames([tmp_path])
    assert isinstance(frame, Frame)
    assert isinstance(failed, FailedFrame)
    assert "circle" in failed.reason


def test_a_name_that_is_not_utf8_travels_as_text(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    path.write_bytes(cv2.imencode(".png", GREY)[1].tobytes())
    (frame,) = good(tmp_path)
    assert frame.name == f"{tmp_path}/\\xff.png"
    np.testing.assert_array_equal(frame.image, GREY)


@pytest.mark.parametrize("settings", [{"bit_depth": 8}, {"bit_depth": 17}, {"max_megapixels": 0.0}])
def test_invalid_settings_raise_at_once(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must be"):
        read_frames([], **settings)  # type: ignore[arg-type]


# ---- damage --------------------------------------------------------------------------------------------


def scene(seed: int, dtype: type = np.uint8) -> Image:
    """A smooth picture with a little noise, so that files compress and every byte of them matters."""
    rng = np.random.default_rng(seed)
    smooth = cv2.GaussianBlur(rng.normal(0, 1, (96, 128)), (0, 0), 5) * 6 + rng.normal(0, 0.01, (96, 128))
    return np.clip((smooth + 1) / 2 * np.iinfo(dtype).max, 0, np.iinfo(dtype).max).astype(dtype)


def originals() -> dict[str, bytes]:
    lzw, deflate = ([cv2.IMWRITE_TIFF_COMPRESSION, kind] for kind in (5, 8))
    return {
        "grey.png": cv2.imencode(".png", scene(1))[1].tobytes(),
        "deep.png": cv2.imencode(".png", scene(2, np.uint16))[1].tobytes(),
        "photo.jpg": cv2.imencode(".jpg", cv2.merge([scene(3), scene(4), scene(5)]))[1].tobytes(),
        "lzw.tif": cv2.imencode(".tif", scene(6), lzw)[1].tobytes(),
        "deflate.tif": cv2.imencode(".tif", scene(7, np.uint16), deflate)[1].tobytes(),
        "plain.bmp": cv2.imencode(".bmp", scene(8))[1].tobytes(),
    }


def forge_size(name: str, data: bytes) -> bytes:
    """Declare 60,000 x 60,000 px."""
    side = 60_000
    if name.endswith(".png"):
        body = b"IHDR" + struct.pack(">II", side, side) + data[24:29]
        return data[:12] + body + struct.pack(">I", zlib.crc32(body)) + data[33:]
    if name.endswith(".jpg"):
        at = data.index(b"\xff\xc0") + 5
        return data[:at] + struct.pack(">HH", side, side) + data[at + 4 :]
    if name.endswith(".bmp"):
        return data[:18] + struct.pack("<ii", side, side) + data[26:]
    for tag in (256, 257):
        at = data.index(struct.pack("<HH", tag, 3), struct.unpack_from("<I", data, 4)[0])
        data = data[: at + 8] + struct.pack("<HH", side, 0) + data[at + 12 :]
    return data


def mutate(rng: np.random.Generator, kind: str, name: str, data: bytes) -> bytes:
    if kind == "truncated":
        return data[: int(rng.integers(1, len(data)))]
    if kind == "flipped":
        changed = bytearray(data)
        changed[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
        return bytes(changed)
    if kind == "huge":
        return forge_size(name, data)
    return b"" if kind == "empty" else b"frame,label,xmin,ymin,xmax,ymax\n" * 20


READER = """
    import hashlib, sys
    from edge.cli.options import quiet_libraries
    from edge.base import Frame
    from edge.capture import read_frames
    with quiet_libraries():
        for read in read_frames(sys.argv[1:]):
            if isinstance(read, Frame):
                print("read", read.name.rsplit("/", 1)[1], hashlib.sha256(read.image.tobytes()).hexdigest())
            else:
                print("failed", read.name.rsplit("/", 1)[1], read.reason)
        print("words", file=sys.stderr)
"""


def read_in_a_process(folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Hash of each image that was read, and reason for each that was not; no crash, no hang, no output."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(READER), str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert done.stderr == "words\n"
    read: dict[str, str] = {}
    failed: dict[str, str] = {}
    for line in done.stdout.splitlines():
        outcome, name, rest = line.split(" ", 2)
        (read if outcome == "read" else failed)[name] = rest
    return read, failed


def test_two_hundred_mutated_files_are_reported_and_the_good_ones_still_read(tmp_path: Path) -> None:
    rng = np.random.default_rng(20)
    files = originals()
    clean, dirty = tmp_path / "clean", tmp_path / "dirty"
    for folder in (clean, dirty):
        folder.mkdir()
        for name, data in files.items():
            (folder / name).write_bytes(data)
    # no checksum covers the pixels of these: a flip there is another, valid picture
    unprotected = {"photo.jpg", "lzw.tif", "plain.bmp"}
    detectable = set()
    for k in range(200):
        kind = ("truncated", "flipped", "empty", "text", "huge")[k % 5]
        name = list(files)[k // 5 % len(files)]
        mutant = f"mutant{k}-{kind}-{name}"
        (dirty / mutant).write_bytes(mutate(rng, kind, name, files[name]))
        if kind != "flipped" or name not in unprotected:
            detectable.add(mutant)
    alone, none = read_in_a_process(clean)
    read, failed = read_in_a_process(dirty)
    assert not none
    assert alone == {name: read[name] for name in files}
    assert len(read) + len(failed) == 200 + len(files)
    unnoticed = {name for name in detectable - set(failed) if read[name] != alone[name.split("-")[-1]]}
    assert not unnoticed
    assert len(failed) >= 175
    assert all(reason for reason in failed.values())


@pytest.mark.parametrize("name", list(originals()))
@given(st.data())
def test_no_bytes_make_the_reader_raise(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    content = bytearray(originals()[name])
    for _ in range(data.draw(st.integers(1, 6))):
        # headers and directories sit at either end
        place = data.draw(st.integers(0, 300) | st.integers(len(content) - 300, len(content) - 1))
        content[place] = data.draw(st.integers(0, 255))
    path = tmp_path_factory.mktemp("fuzz") / name
    path.write_bytes(content)
    with quiet_libraries():
        for read in read_frames([path], max_megapixels=1.0):
            assert isinstance(read, FailedFrame) or read.image.size <= 1_000_000


def test_every_truncation_of_a_jpeg_is_noticed(tmp_path: Path) -> None:
    photo = originals()["photo.jpg"]
    for k, length in enumerate(range(1, len(photo), 23)):
        (tmp_path / f"{k}.jpg").write_bytes(photo[:length])
    assert all(isinstance(read, FailedFrame) for read in read_frames([tmp_path]))


def test_relative_sources_start_from_the_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a/2.png", "a/10.png", "b/3.png", "c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(tmp_path / name), GREY)
    sources = ("a", "[ab]/*.png", "./c.png", "../gone.png", str(tmp_path / "b"), "a/../b")
    read = [(frame.name, frame.index) for frame in read_frames(sources, root=tmp_path)]
    assert [name for name, _ in read] == ["a/2.png", "a/10.png", "b/3.png", "c.png", "../gone.png"]
    monkeypatch.chdir(tmp_path)
    assert [(frame.name, frame.index) for frame in read_frames(sources)] == read


def test_options_without_an_effect_are_noted(tmp_path: Path) -> None:
    grey = np.full((40, 50), 99, np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), grey)
    cv2.imwrite(str(tmp_path / "b.png"), grey.astype(np.uint16) * 16)
    eight, sixteen = good(tmp_path, bit_depth=12)
    assert eight.notes == ("--bit-depth 12 has no effect on files without 16-bit samples: leave it out",)
    assert sixteen.notes == ()
    assert good(tmp_path / "a.png")[0].notes == ()


def test_a_folder_of_many_files_is_listed_in_linear_time(tmp_path: Path) -> None:
    """Per file no path object, no look-up of links: 20,000 empty files take a fraction of a second."""
    for number in range(20_000):
        os.close(os.open(tmp_path / f"f{number}.png", os.O_CREAT))
    (tmp_path / "again.png").symlink_to(tmp_path / "f7.png")
    began = time.process_time()
    files = list_files([tmp_path, f"{tmp_path}/f7.png"])
    assert time.process_time() - began < 1
    assert len(files) == 20_000
    assert Path(files[0]).name == "again.png"  # instead of f7.png, which it leads to
    assert Path(files[-1]).name == "f19999.png"
