"""Mutated images, videos, tables and settings, each given to the command that reads it.

``python -m tests.system.fuzz_files FOLDER [--files 2000] [--seed 0]`` writes the originals to FOLDER, tries
that many mutations, and prints what became of each kind. A crash, a traceback or a hang gives exit code 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import signal
import sys
import time
import traceback
from collections import Counter
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
from tests.system.fuzz_bundle import exchange, flip, insert, remove, repeat, truncate, zero

LIMIT_S = 20.0
"""Longest time for one file."""

EXIT_CODES = (0, 1, 2, 3)

Mutation = Callable[[Random, bytes], bytes]
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


def attempt(words: Sequence[str], output: Path, codes: Sequence[int] = EXIT_CODES) -> str:
    """Run a command in a process of its own; return what is wrong with how it ended, or nothing."""
    child = os.fork()
    if child == 0:
        become(words, output)
    limit = time.monotonic() + LIMIT_S
    while time.monotonic() < limit:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            break
        time.sleep(0.005)
    else:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return "hang"
    text = output.read_text(errors="replace")
    if os.WIFSIGNALED(status):
        return f"signal {os.WTERMSIG(status)}"
    if "Traceback" in text:
        return "traceback"
    code = os.WEXITSTATUS(status)
    if code not in codes:
        return f"exit code {code}"
    return "nothing said" if code and not text.strip() else ""


def become(words: Sequence[str], output: Path) -> None:
    """Become the command; never return."""
    code = 70
    try:
        os.setpgid(0, 0)
        descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        main(list(words))
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1 if end.code else 0
    except BaseException:  # whatever escapes the command is the finding: its traceback is printed
        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):  # the stream may be what broke; the exit code tells
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def fuzz(folder: Path, files: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Try mutations; return what became of each kind, and one line per finding, whose file is kept."""
    originals = write_originals(folder)
    outcomes: Counter[str] = Counter()
    findings = []
    for number in range(files):
        original = originals[number % len(originals)]
        name = Path(original.name)
        file = folder / f"{name.stem}-{number}{name.suffix}"
        file.write_bytes(mutate(original, folder, Random(f"{seed} {number}")))
        output = folder / "output.txt"
        words = original.command(file, folder)
        wrong = attempt(words, output)
        outcomes[f"{original.name} {wrong or 'as it should'}"] += 1
        if wrong:
            kept = output.rename(file.with_suffix(file.suffix + ".output"))
            findings.append(f"{wrong}: leuko {' '.join(words)} (see {kept.name})")
        else:
            file.unlink()
    return outcomes, findings


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    options.folder.mkdir(parents=True)
    found, lines = fuzz(options.folder, options.files, options.seed)
    for kind, number in sorted(found.items()):
        print(f"{number:5}  {kind}")
    print("\n".join(lines))
    sys.exit(bool(lines))
