"""Videos: every frame at its place in the file, damaged ones named, and decoders that crash or hang."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import struct
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.base import FailedFrame, Frame
from edge.capture import read_frames
from edge.capture.page import ImageFileError
from edge.capture.video_file import read_video
from edge.capture.video_packets import LOOKAHEAD

Image = NDArray[np.uint8]
ROOT = Path(__file__).resolve().parents[3]
HEIGHT, WIDTH = 120, 160
FRAMES = 30
GROUP = 10
"""Frames from one that builds on no other to the next."""

needs_ffmpeg = pytest.mark.skipif(
    not (shutil.which("ffmpeg") and shutil.which("ffprobe")), reason="needs ffmpeg: sudo apt install ffmpeg"
)


def pictures(count: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> list[Image]:
    """Smooth grey pictures, each another one."""
    blurred = cv2.GaussianBlur(
        np.random.default_rng(0).integers(0, 256, (height, width), np.uint8), (9, 9), 0
    )
    return [np.roll(blurred, 5 * k, axis=1) for k in range(count)]


def jpeg(image: Image, sampling: int = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420) -> bytes:
    options = [cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, sampling]
    return cv2.imencode(".jpg", image, options)[1].tobytes()


def still(encoded: bytes) -> Image:
    image = cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_GRAYSCALE)
    return image.astype(np.uint8, copy=False)


def avi(path: Path, frames: Sequence[bytes], size: tuple[int, int] = (WIDTH, HEIGHT)) -> Path:
    """Write Motion JPEG."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)

    n, (width, height) = len(frames), size
    main = struct.pack("<14I", 200_000, 0, 0, 0x10, n, 0, 1, 0, width, height, 0, 0, 0, 0)
    stream = b"vidsMJPG" + struct.pack("<10I4H", 0, 0, 0, 1, 5, 0, n, 0, 0xFFFFFFFF, 0, 0, 0, width, height)
    form = struct.pack("<IiiHH4sIiiII", 40, width, height, 1, 24, b"MJPG", width * height * 3, 0, 0, 0, 0)
    movi, index = b"movi", b""
    for data in frames:
        index += b"00dc" + struct.pack("<3I", 0x10, len(movi), len(data))
        movi += chunk(b"00dc", data)
    streams = chunk(b"LIST", b"strl" + chunk(b"strh", stream) + chunk(b"strf", form))
    headers = chunk(b"LIST", b"hdrl" + chunk(b"avih", main) + streams)
    path.write_bytes(chunk(b"RIFF", b"AVI " + headers + chunk(b"LIST", movi) + chunk(b"idx1", index)))
    return path


def read(path: Path) -> tuple[dict[str, Image], dict[str, str]]:
    """Return pixels and reasons by what follows the name of the file."""
    items = list(read_frames([path]))
    names = [item.name.removeprefix(str(path)) for item in items]
    assert [item.index for item in items] == list(range(len(items)))
    whole = {name: item.image for name, item in zip(names, items, strict=True) if isinstance(item, Frame)}
    lost = {
        name: item.reason for name, item in zip(names, items, strict=True) if isinstance(item, FailedFrame)
    }
    assert len(whole) + len(lost) == len(items), "a name came twice"
    return whole, lost


def numbers(names: Sequence[str] | dict[str, str] | dict[str, Image]) -> list[int]:
    return [int(name.removeprefix("#")) for name in names if name]


# ---- Motion JPEG -----------------------------------------------------------------------------------------


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def no_jpeg(data: bytes) -> bytes:
    return b"\x55" * len(data)


def lacks_bytes(data: bytes) -> bytes:
    """All markers are there, but not all of the data between them."""
    return data[: len(data) // 2] + data[len(data) // 2 + 400 :]


def has_spare_blocks(data: bytes) -> bytes:
    """More data than there are blocks, as behind a changed bit: libjpeg calls the rest extraneous."""
    return data[:-2] + data[-22:]


@pytest.mark.parametrize("harm", [cut, no_jpeg, lacks_bytes, has_spare_blocks])
@pytest.mark.parametrize("at", [0, 2, 5])
def test_a_damaged_jpeg_is_named_and_those_after_it_are_read(
    tmp_path: Path, harm: Callable[[bytes], bytes], at: int
) -> None:
    frames = [jpeg(picture) for picture in pictures(6)]
    damaged = [harm(data) if k == at else data for k, data in enumerate(frames)]
    whole, lost = read(avi(tmp_path / "a.avi", damaged))
    assert numbers(whole) == [k for k in range(6) if k != at]
    assert numbers(lost) == [at]
    for name, image in whole.items():
        np.testing.assert_array_equal(image, still(frames[int(name[1:])]))


def test_an_index_of_endless_empty_frames_is_one_failure(tmp_path: Path) -> None:
    """Each entry costs 16 bytes of the file, and its failure a thousand times as much."""
    (picture,) = pictures(1)
    path = avi(tmp_path / "a.avi", [jpeg(picture), *[b""] * 20_000])
    whole, failure = read_frames([path])
    assert isinstance(whole, Frame)
    assert isinstance(failure, FailedFrame)
    assert failure.reason.startswith("its index lists 20,000 empty frames, 1 are whole: convert it")


@pytest.mark.parametrize("empty", [[1, 2, 3], [5], [1, 3, 5], list(range(1, 40))])
def test_empty_frames_of_an_avi_show_the_one_before_again(tmp_path: Path, empty: list[int]) -> None:
    frames = [jpeg(picture) for picture in pictures(max(empty) + 2)]
    path = avi(tmp_path / "a.avi", [b"" if k in empty else data for k, data in enumerate(frames)])
    whole, lost = read(path)
    kept = [data for k, data in enumerate(frames) if k not in empty]
    assert len(whole) == len(kept)
    for image, data in zip(whole.values(), kept, strict=True):
        np.testing.assert_array_equal(image, still(data))
    if len(empty) > 1:  # one frame in a hundred may be missing
        assert list(lost) == [f"#empty{k}" for k in empty]
        assert {item.kind for item in read_frames([path]) if isinstance(item, FailedFrame)} == {"repeat"}


@pytest.mark.parametrize(
    ("first", "later", "size"),
    [
        *product(("420", "422", "444"), ("420", "422", "444"), ((160, 120), (163, 121))),
        *product(("420",), ("422", "444"), ((1640, 1232),)),
    ],
)
def test_subsampling_may_change(tmp_path: Path, first: str, later: str, size: tuple[int, int]) -> None:
    colour = [np.dstack([p, p // 2, 255 - p]) for p in pictures(3, size[1], size[0])]
    ways = [getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{way}") for way in (first, later, later)]
    frames = [jpeg(image, way) for image, way in zip(colour, ways, strict=True)]
    whole, lost = read(avi(tmp_path / "a.avi", frames, size))
    assert not lost
    for image, data in zip(whole.values(), frames, strict=True):
        np.testing.assert_array_equal(image, still(data))


@pytest.mark.parametrize("padding", [b"\x12\x34\x56", bytes(32)])
def test_padding_in_a_jpeg_is_no_damage(tmp_path: Path, padding: bytes) -> None:
    frames = [data[:-2] + padding + data[-2:] for data in map(jpeg, pictures(3))]
    whole, lost = read(avi(tmp_path / "a.avi", frames))
    assert numbers(whole) == [0, 1, 2]
    assert not lost


def test_grey_levels_of_video_range_are_stretched(tmp_path: Path) -> None:
    comment = b"\xff\xfe\0\x0bCS=ITU601"
    levels = np.repeat(np.linspace(16, 235, WIDTH).astype(np.uint8)[None], HEIGHT, axis=0)
    data = jpeg(levels)
    whole, _ = read(avi(tmp_path / "a.avi", [data[:2] + comment + data[2:]] * 2))
    assert [int(whole["#1"].min()), int(whole["#1"].max())] == [0, 255]
    whole, _ = read(avi(tmp_path / "b.avi", [data] * 2))
    assert [int(whole["#1"].min()), int(whole["#1"].max())] == pytest.approx([16, 235], abs=2)


def test_a_jpeg_over_the_limit_is_not_decoded(tmp_path: Path) -> None:
    small, large = jpeg(pictures(1)[0]), jpeg(pictures(1, 2000, 2000)[0])
    path = avi(tmp_path / "a.avi", [small, large, small])
    names = {item.name[-2:]: item for item in read_frames([path], max_megapixels=1)}
    assert isinstance(names["#1"], FailedFrame)
    assert isinstance(names["#2"], Frame)


# ---- other codecs ----------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    for k, picture in enumerate(pictures()):
        cv2.imwrite(str(folder / f"{k:03d}.png"), picture)
    return folder


def encode(path: Path, sources: Path, *options: str) -> Path:
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", "-framerate", "10", "-i"]
    done = subprocess.run(
        [*command, str(sources / "%03d.png"), *options, str(path)],
        capture_output=True,
        text=True,
        check=False,
    )
    if "Unknown encoder" in done.stderr:
        pytest.skip(done.stderr.strip())  # distributions build ffmpeg with different codecs
    assert done.returncode == 0, done.stderr
    return path


def decoded(path: Path) -> list[Image]:
    """Return the frames as ffmpeg decodes them."""
    command = ["ffmpeg", "-loglevel", "error", "-i", str(path), "-f", "rawvideo", "-pix_fmt", "gray", "-"]
    raw = subprocess.run(command, capture_output=True, check=True).stdout
    return list(np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH))


def packets(path: Path) -> list[tuple[int, int]]:
    """Return position and size of each frame as it is stored."""
    command = [
        "ffprobe",
        "-v",
        "error",
        "-select_streams",
        "v",
        "-show_entries",
        "packet=pos,size",
        "-of",
        "csv=p=0",
    ]
    said = subprocess.run([*command, str(path)], capture_output=True, text=True, check=True).stdout
    pairs = [line.strip(",").split(",") for line in said.split()]
    return [(int(position), int(size)) for size, position in pairs]


def overwrite(path: Path, place: int) -> None:
    """Destroy a stored frame, and leave the container as it is."""
    position, size = packets(path)[place]
    position += 16 * (path.suffix == ".mkv")  # behind the head of its block
    size -= 32 * (path.suffix == ".mkv")
    data = bytearray(path.read_bytes())
    data[position : position + size] = b"\x55" * size
    path.write_bytes(data)


X264 = ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "10", "-g", str(GROUP))
CODECS = {
    "x264.mp4": (*X264, "-bf", "2"),
    "x264.mkv": (*X264, "-bf", "2"),
    "no_b.mp4": (*X264, "-bf", "0"),
    "no_b.avi": (*X264, "-bf", "0"),
    "x265.mp4": ("-c:v", "libx265", "-x265-params", f"log-level=none:keyint={GROUP}:scenecut=0"),
    "mpeg4.avi": ("-c:v", "mpeg4", "-q:v", "2", "-g", str(GROUP)),
    "mpeg4.mkv": ("-c:v", "mpeg4", "-q:v", "2", "-g", str(GROUP), "-bf", "2"),
    "mpeg2.mkv": ("-c:v", "mpeg2video", "-q:v", "2", "-g", str(GROUP), "-bf", "2"),
    "vp9.mkv": ("-c:v", "libvpx-vp9", "-g", str(GROUP), "-deadline", "realtime", "-cpu-used", "8"),
    "ffv1.mkv": ("-c:v", "ffv1", "-level", "3", "-slicecrc", "1", "-g", str(GROUP)),
    "ffv1.avi": ("-c:v", "ffv1", "-level", "3", "-slicecrc", "1", "-g", str(GROUP)),
    "png.mov": ("-c:v", "png"),
    "prores.mov": ("-c:v", "prores"),
    "mjpeg.mov": ("-c:v", "mjpeg", "-q:v", "2"),
    "mjpeg.mkv": ("-c:v", "mjpeg", "-q:v", "2"),
    "huffyuv.avi": ("-c:v", "huffyuv"),
    "raw.avi": ("-c:v", "rawvideo", "-pix_fmt", "gray"),
    "b.avi": ("-c:v", "mpeg4", "-q:v", "2", "-g", str(GROUP), "-bf", "2"),
}


Before = tuple[Path, dict[str, Image], dict[str, str]]


@pytest.fixture(scope="session")
def sound(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Callable[[str], Before]:
    """What encodes a video of a codec, once, and returns it with what is read from it."""
    folder = tmp_path_factory.mktemp("sound")

    @cache
    def encoded(name: str) -> Before:
        path = encode(folder / name, sources, *CODECS[name])
        return path, *read(path)

    return encoded


@pytest.mark.seconds
@needs_ffmpeg
@pytest.mark.parametrize("name", CODECS)
def test_every_frame_is_that_of_ffmpeg(sound: Callable[[str], Before], name: str) -> None:
    path, whole, lost = sound(name)
    assert not lost
    assert numbers(whole) == list(range(FRAMES))
    for image, expected in zip(whole.values(), decoded(path), strict=True):
        assert np.abs(image.astype(int) - expected).max() <= 3  # its own arithmetic of grey from YUV


KEYS = {"png.mov": 1, "prores.mov": 1, "mjpeg.mov": 1}
NOTICED = ("x264.mp4", "x264.mkv", "no_b.mp4", "no_b.avi", "x265.mp4", "mpeg4.avi", "ffv1.avi", *KEYS)
"""Where overwriting a frame leaves the container in order; none of huffyuv and raw is ever noticed."""


@pytest.mark.seconds
@needs_ffmpeg
@pytest.mark.parametrize("name", NOTICED)
@pytest.mark.parametrize("place", [0, 13, FRAMES - 1])
def test_damage_costs_no_more_than_what_builds_on_it(
    tmp_path: Path, sound: Callable[[str], Before], name: str, place: int
) -> None:
    sound_path, before, _ = sound(name)
    path = Path(shutil.copy(sound_path, tmp_path))
    overwrite(path, place)
    whole, lost = read(path)
    assert lost
    for frame, image in whole.items():
        np.testing.assert_array_equal(image, before[frame], err_msg=f"{name}{frame} is another frame")
    if (name, place) == ("no_b.avi", 0):  # nothing else in the file says what size it is
        assert list(lost) == [""]
        return
    group = KEYS.get(name, GROUP)
    begin, end = place - place % group, place - place % group + group
    end += GROUP * (name == "x265.mp4")  # newer decoders keep so much back that the next group is in doubt
    safe = [k for k in range(FRAMES) if k < begin or k >= end]
    assert set(safe) <= set(numbers(whole))


@pytest.mark.seconds
@needs_ffmpeg
@pytest.mark.parametrize("name", ["no_b.mp4", "mpeg4.avi", "ffv1.mkv", "mjpeg.mkv", "png.mov"])
@pytest.mark.parametrize("share", [0.35, 0.8])
def test_a_truncated_video_gives_what_is_whole(
    tmp_path: Path, sources: Path, sound: Callable[[str], Before], name: str, share: float
) -> None:
    sound_path, before, _ = sound(name)
    path = tmp_path / name
    if name.endswith(("mp4", "mov")):  # its index would be lost
        encode(path, sources, *CODECS[name], "-movflags", "+faststart")
        sound_path = path
    path.write_bytes(sound_path.read_bytes()[: round(sound_path.stat().st_size * share)])
    whole, lost = read(path)
    assert bool(whole) == (share == 0.8 or name != "mpeg4.avi")
    assert name == "mpeg4.avi" or "ends after" in lost[""]
    for frame, image in whole.items():
        np.testing.assert_array_equal(image, before[frame])


@pytest.mark.seconds
@needs_ffmpeg
def test_lost_blocks_of_a_matroska_keep_their_numbers(tmp_path: Path, sound: Callable[[str], Before]) -> None:
    sound_path, before, _ = sound("ffv1.mkv")
    path = Path(shutil.copy(sound_path, tmp_path))
    (first, _), (last, _) = packets(path)[12], packets(path)[15]
    data = bytearray(path.read_bytes())
    data[first:last] = b"\x55" * (last - first)
    path.write_bytes(data)
    whole, lost = read(path)
    assert {12, 13, 14} <= set(numbers(lost))
    for frame, image in whole.items():
        np.testing.assert_array_equal(image, before[frame])
    assert {*range(12), *range(20, 30)} <= set(numbers(whole))


@pytest.mark.seconds
@needs_ffmpeg
def test_b_frames_of_an_avi_end_at_damage(tmp_path: Path, sound: Callable[[str], Before]) -> None:
    sound_path, before, _ = sound("b.avi")
    path = Path(shutil.copy(sound_path, tmp_path))
    overwrite(path, 13)
    whole, lost = read(path)
    assert any("B-frames" in reason for reason in lost.values())
    for frame, image in whole.items():
        np.testing.assert_array_equal(image, before[frame])


@pytest.mark.seconds
@needs_ffmpeg
@pytest.mark.parametrize("later", [("-pix_fmt", "yuv444p"), ("-pix_fmt", "yuv422p"), ("-s", "80x60")])
@pytest.mark.parametrize("frames", [6, 60])
def test_a_change_of_size_or_pixel_format_is_refused(
    tmp_path: Path, sources: Path, later: tuple[str, ...], frames: int
) -> None:
    x264 = ("-c:v", "libx264", "-bf", "0", "-g", "3")
    for part, options in (("a", ("-pix_fmt", "yuv420p")), ("b", later)):
        encode(tmp_path / f"{part}.avi", sources, "-frames:v", "6", *x264, *options)
    parts = "file a.avi\n" * (frames // 6) + "file b.avi\n"
    (tmp_path / "parts.txt").write_text(parts)
    join = "ffmpeg -loglevel error -f concat -i parts.txt -c copy joined.avi"
    subprocess.run(join.split(), cwd=tmp_path, check=True)
    whole, lost = read(tmp_path / "joined.avi")
    assert "split it" in list(lost.values())[-1]
    alone, _ = read(tmp_path / "a.avi")
    for frame, image in whole.items():
        np.testing.assert_array_equal(image, alone[f"#{int(frame[1:]) % 6}"])
    assert len(whole) == (frames if frames > LOOKAHEAD else 0)


@pytest.mark.seconds
@needs_ffmpeg
def test_what_holds_no_video(tmp_path: Path) -> None:
    tone = "ffmpeg -loglevel error -f lavfi -i sine=duration=1"
    for name in ("sound.mkv", "sound.mp4", "sound.avi"):
        subprocess.run([*tone.split(), str(tmp_path / name)], check=True)
    (tmp_path / "head.mkv").write_bytes(b"\x1a\x45\xdf\xa3")
    (tmp_path / "head.mp4").write_bytes(b"\0\0\0\x20ftypisom")
    avi(tmp_path / "no_frames.avi", [])
    for path in tmp_path.iterdir():
        whole, lost = read(path)
        assert not whole
        assert list(lost) == [""]
        assert "cannot be decoded" in lost[""]


# ---- a process of its own --------------------------------------------------------------------------------


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return avi(tmp_path / "v.avi", [jpeg(p) for p in pictures(40, 1232, 1640)], (1640, 1232))


def children(pid: int | str = "self") -> list[int]:
    found = [
        int(child)
        for task in Path(f"/proc/{pid}/task").iterdir()
        for child in (task / "children").read_text().split()
    ]
    return [child for child in found if "video_decoder" in Path(f"/proc/{child}/cmdline").read_text()]


def ended(pid: int, within_s: float = 10) -> bool:
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return True
        except OSError:
            return True
        time.sleep(0.02)
    return False


def frames_until(video: Path, number: int, hangs_s: float = 15) -> Iterator[Frame | FailedFrame]:
    frames = read_video(video, "v.avi", 0, 100, hangs_s=hangs_s)
    for _ in range(number):
        assert isinstance(next(frames), Frame)
    return frames


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGSEGV, "crashed (SIGSEGV) after"),
        (signal.SIGABRT, "crashed (SIGABRT) after"),
        (signal.SIGKILL, "was killed (SIGKILL), as when memory runs out, after"),
    ],
)
def test_a_decoder_that_dies_costs_its_file(video: Path, number: int, said: str) -> None:
    frames = frames_until(video, 3)
    os.kill(children()[0], number)
    with pytest.raises(ImageFileError) as failure:
        list(frames)
    assert said in str(failure.value)
    assert "convert it" in str(failure.value)
    assert not children()


def test_a_decoder_that_hangs_is_ended(video: Path) -> None:
    frames = frames_until(video, 3, hangs_s=6)
    child = children()[0]
    os.kill(child, signal.SIGSTOP)
    with pytest.raises(ImageFileError, match=r"hangs after \d+ frames \(no answer for 6 s\)"):
        list(frames)
    assert ended(child)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_to_all_of_a_service_does_not_end_a_decoder(video: Path, number: int) -> None:
    frames = frames_until(video, 1)
    os.kill(children()[0], number)
    assert len(list(frames)) == 39


def test_leaving_a_video_ends_its_decoder(video: Path) -> None:
    frames = frames_until(video, 1)
    child = children()[0]
    frames.close()  # type: ignore[attr-defined]
    assert ended(child, 1)


def test_a_decoder_ends_with_its_parent(video: Path) -> None:
    program = """
        import sys, time
        from pathlib import Path
        from edge.capture.video_file import read_video
        frames = read_video(Path(sys.argv[1]), "v.avi", 0, 100)
        next(frames)
        print("reads", flush=True)
        time.sleep(100)
    """
    command = [sys.executable, "-c", textwrap.dedent(program), str(video)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.stdout
        parent.stdout.readline()
        (child,) = children(parent.pid)
        parent.kill()
        assert ended(child)


def test_the_environment_of_opencv_changes_nothing(video: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENCV_FFMPEG_DEBUG", "1")
    monkeypatch.setenv("OPENCV_FFMPEG_CAPTURE_OPTIONS", "protocol_whitelist;http")
    assert len([item for item in read_frames([video]) if isinstance(item, Frame)]) == 40


def test_a_service_may_forbid_limits(video: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``SystemCallFilter=~@resources`` does."""
    forbid = """
        import resource

        def forbidden(*_):
            raise ValueError("not allowed to raise maximum limit")

        resource.setrlimit = forbidden
    """
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(forbid))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    assert len([item for item in read_frames([video]) if isinstance(item, Frame)]) == 40


def test_the_program_loads_little() -> None:
    program = "import sys, edge.capture.video_decoder; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    modules = set(loaded.stdout.split())
    assert {name.split(".")[1] for name in modules if name.startswith("edge.")} == {"base", "capture"}
    assert not modules & {"ai_edge_litert", "tflite_runtime", "click", "rich", "tifffile", "socket", "ssl"}


def test_a_file_that_vanishes_is_one_failure(tmp_path: Path) -> None:
    with contextlib.suppress(ImageFileError):
        list(read_video(tmp_path / "absent.avi", "absent.avi", 0, 100))
        pytest.fail("nothing was raised")
