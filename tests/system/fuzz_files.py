"""Mutated images, videos, tables and settings, each given to the command that reads it.

``python -m tests.system.fuzz_files FOLDER [--files 3300] [--seed 0]``, see `tests.system.fuzz`. After one
round of the plain originals, half of the mutations are of images in every variant that other programs write
(`tests.system.image_files`), or of small files that ask for much (`tests.system.amplified_files`).
"""

from __future__ import annotations

import contextlib
import functools
import io
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random

import cv2
import numpy as np
import tifffile
from PIL import Image

from edge.calibration import Calibration, PixelCalibration, VolumeCalibration, write_calibration
from edge.cli import main
from edge.simulate import Scene, simulate_frame
from firmware_config.start import PLACEHOLDER
from tests.system import amplified_files
from tests.system.fuzz import Mutation, Trial, attempt, fuzz_from_command_line, in_child
from tests.system.fuzz_bundle import exchange, flip, insert, remove, repeat, truncate, zero
from tests.system.image_files import LIBRARIES, write_image_files

Command = Callable[[Path, Path], list[str]]
"""Command line for a mutated file and the folder of the originals."""


def text_mutation(random: Random, content: bytes) -> bytes:
    """Put a value where another one stands, as a person or another program would."""
    words = content.split(random.choice((b",", b"\n", b"=", b" ")))
    values = (
        b"",
        b"-1",
        b"0",
        b"1e309",
        b"nan",
        b"9" * 400,
        b'"',
        b"\xff\xfe",
        b"true",
        b"=1+1",
        b"../x",
        b"[",
        b";",
    )
    at = random.randrange(len(words))
    words[at] = random.choice(values)
    return random.choice((b",", b"\n", b"=", b" ", b"\t", b"\r\n")).join(words)


BINARY: tuple[Mutation, ...] = (exchange, flip, flip, insert, remove, repeat, truncate, zero)
TEXT: tuple[Mutation, ...] = (*BINARY, text_mutation, text_mutation, text_mutation)


def _count(file: Path, folder: Path) -> list[str]:
    return ["count", str(file), "--bundle", "phantom3", "--json"]


def _grid(file: Path, folder: Path) -> list[str]:
    return [
        "calibrate",
        "pixel",
        str(file),
        "--pitch-um",
        "50",
        "--calibration",
        str(file.with_suffix(".cal")),
    ]


def _blank(file: Path, folder: Path) -> list[str]:
    return ["calibrate", "flatfield", *[str(file)] * 5, "--calibration", str(file.with_suffix(".cal"))]


IMAGE_COMMANDS: tuple[Command, ...] = (_count, _count, _count, _count, _grid, _blank)


def _crops(file: Path, folder: Path) -> list[str]:
    out = ["--out", str(file.with_suffix(".crops"))]
    return ["crops", str(folder / "frame.png"), str(file), *out, "--pixel-um", "0.25"]


def _calibrated(file: Path, folder: Path) -> list[str]:
    return [*_count(folder / "frame.png", folder), "--calibration", str(file)]


def _profile(file: Path, folder: Path) -> list[str]:
    return ["firmware", "render", str(file), "--out", str(file.with_suffix(".tree"))]


def _evaluate(file: Path, folder: Path) -> list[str]:
    return ["evaluate", "phantom3", str(file)]


@dataclass(frozen=True)
class Original:
    """A sound file, the command that reads it, and how it is mutated."""

    name: str
    command: Command
    mutations: tuple[Mutation, ...] = BINARY


def write_originals(folder: Path) -> list[Original]:
    """Write one sound file of each kind."""
    image = simulate_frame(1, scene=Scene(240, 160, leukocytes=2, erythrocytes=2)).image
    deep = image.astype(np.uint16) * 257
    colour = np.stack([image, image[::-1], image[:, ::-1]], -1)
    Image.fromarray(image).save(folder / "frame.png")
    Image.fromarray(deep).save(folder / "deep.png")
    Image.fromarray(colour).save(folder / "colour.jpg", quality=90)
    Image.fromarray(image).save(folder / "progressive.jpg", progressive=True)
    Image.fromarray(image).save(folder / "frame.bmp")
    tifffile.imwrite(folder / "deflate.tif", deep, compression="deflate", predictor=True, tile=(64, 64))
    tifffile.imwrite(folder / "plain.tif", colour, photometric="rgb", byteorder=">", bigtiff=True)
    Image.fromarray(image).save(folder / "lzw.tif", compression="tiff_lzw")
    Image.fromarray(colour).save(folder / "jpeg.tif", compression="jpeg")
    planes = np.stack([image, image[::-1]])
    tifffile.imwrite(folder / "stack.ome.tif", planes, metadata={"axes": "ZYX", "PhysicalSizeX": 0.25})
    tifffile.imwrite(folder / "stack.tif", planes, imagej=True, metadata={"axes": "TYX"})
    for suffix, code in (("avi", "MJPG"), ("mp4", "mp4v"), ("mkv", "MJPG")):
        size = image.shape[::-1]
        writer = cv2.VideoWriter(str(folder / f"video.{suffix}"), cv2.VideoWriter.fourcc(*code), 5, size)
        for k in range(4):
            writer.write(np.roll(colour, 20 * k, axis=1))
        writer.release()
    boxes = "frame,label,x,y,width,height\n" + "".join(
        f"frame.png,cell{k % 2},{20 * k},{15 * k},40,40\n" for k in range(6)
    )
    (folder / "boxes.csv").write_text(boxes)
    for k in range(3):
        Image.fromarray(image[:160, 20 * k : 160 + 20 * k]).resize((200, 200)).save(folder / f"crop{k}.png")
    rows = "".join(f"{folder / f'crop{k}.png'},granulocyte,g{k}\n" for k in range(3))
    (folder / "crops.csv").write_text("path,label,group\n" + rows)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    pixel = PixelCalibration(0.25, 0.001, image.shape[1], image.shape[0], "stage micrometre", now)
    volume = VolumeCalibration(100.0, 1.0, 20.0, now)
    write_calibration(folder / "calibration.toml", Calibration(pixel, volume=volume))
    profile = _printed(["firmware", "init", "--board", "pi5", "--sensor", "imx477"])
    (folder / "device.toml").write_text(profile.replace(PLACEHOLDER, "40x"))
    images = sorted(
        path.name for path in folder.iterdir() if path.suffix in _FRAMES and not path.stem.startswith("crop")
    )
    return [
        *(Original(name, _count) for name in images),
        Original("boxes.csv", _crops, TEXT),
        Original("crops.csv", _evaluate, TEXT),
        Original("calibration.toml", _calibrated, TEXT),
        Original("device.toml", _profile, TEXT),
    ]


_FRAMES = {".png", ".jpg", ".bmp", ".tif", ".avi", ".mp4", ".mkv"}


def _printed(words: Sequence[str]) -> str:
    """Return what a command prints."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        main(list(words), standalone_mode=False)
    return printed.getvalue()


def mutate(original: Original, folder: Path, random: Random) -> bytes:
    """Return a mutation of a file, one to three times over."""
    content = (folder / original.name).read_bytes()
    for _ in range(random.choice((1, 1, 2, 3))):
        if len(content) < 8:
            break
        content = random.choice(original.mutations)(random, content)
    return content


def variants(folder: Path) -> list[Original]:
    """Write images of every format and kind of pixels that libraries write; `folder` comes to hold them."""
    folder.mkdir()

    def work() -> None:
        for stream in (1, 2):  # the libraries complain of what they cannot write
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
        write_image_files(folder, LIBRARIES)
        os._exit(0)

    # what is imported here would be memory of each later child
    in_child(work, folder / "output.txt")
    return [
        Original(f"{folder.name}/{path.name}", _count)
        for path in sorted(folder.iterdir())
        if path.suffix not in (".npy", ".json", ".txt")
    ]


def amplified(folder: Path) -> list[Original]:
    """Write small files that ask for much; `folder` comes to hold them."""
    folder.mkdir()
    for name, make in amplified_files.KINDS.items():

        def work(name: str = name, make: Callable[[], bytes] = make) -> None:
            (folder / name).write_bytes(make())
            os._exit(0)

        in_child(work, folder / "output.txt", 4000)
    return [Original(f"{folder.name}/{name}", _count) for name in amplified_files.KINDS]


def prepare(folder: Path) -> Trial:
    """Write the originals; return what tries a mutation of one, and keeps the file that did wrong."""
    plain = write_originals(folder)
    for original in plain:
        output = folder / "output.txt"
        wrong = attempt(original.command(folder / original.name, folder), output, codes=(0,))
        assert not wrong, f"{original.name}: {wrong}\n{output.read_text()}"

    @functools.cache
    def rarer() -> list[list[Original]]:
        return [plain, plain, variants(folder / "variants"), amplified(folder / "amplified")]

    def trial(number: int, random: Random) -> tuple[str, list[str]]:
        if number < len(plain):
            original, command = plain[number], plain[number].command
        else:
            original = random.choice(random.choice(rarer()))
            command = random.choice(IMAGE_COMMANDS) if original.command is _count else original.command
        name = Path(original.name)
        home = folder / str(number)
        home.mkdir()
        file, output = home / name.name, home / "output.txt"
        file.write_bytes(mutate(original, folder, random))
        words = command(file, folder)
        wrong = attempt(words, output)
        if not wrong:
            shutil.rmtree(home)
        kind = name.parent.name or original.name
        return kind, [f"{wrong}: leuko {' '.join(words)}"] if wrong else []

    return trial


if __name__ == "__main__":
    fuzz_from_command_line(__doc__, prepare, 3300)
