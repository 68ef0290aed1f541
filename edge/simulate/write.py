"""A simulated sample as a folder: frames, truth, masks and the parameters that made them."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import edge
from edge.simulate.cells import LEUKOCYTES
from edge.simulate.motion import Flow, Scan, moving_frames
from edge.simulate.optics import Optics
from edge.simulate.scene import Scene, SimulatedFrame, simulate_frame

COLUMNS = ("frame", "label", "x", "y", "width", "height", "touching", "border", "pixel_um")
"""Header of ``truth.csv``: boxes in full-frame px as in ``cells.csv``, flags 0 or 1, and the pixel size. A
scan or flow adds a column ``particle``: the same number in every frame that shows the particle."""

PARAMETERS = "simulation.json"
"""The file that tells a simulation's folder from any other."""


def simulate(
    directory: str | Path,
    *,
    frames: int,
    seed: int = 0,
    motion: Scan | Flow | None = None,
    scene: Scene | None = None,
    optics: Optics | None = None,
    fluorescence: bool = False,
    force: bool = False,
) -> Iterator[Path]:
    """Write a simulated sample and yield the path of each bright-field frame as it is done.

    Into `directory` go ``frames/frame_0001.png`` … (8 bit), ``masks/`` of the same names (16 bit, value = row
    among the frame's rows of the truth, from 1), with `fluorescence` a folder of that name (8 bit),
    ``simulation.json`` (every parameter) and, last, ``truth.csv``: a folder without it was interrupted.

    Parameters
    ----------
    directory : made if absent; must be empty or, with `force`, an earlier simulation's
    frames : number of frames, at most a scan's fields; asking for more leaves the first as they are
    seed : names the run
    motion : what makes the frames belong together; without it each is a sample of its own. A flow's files are
        dated as its frames were taken
    scene, optics : what is simulated
    fluorescence : write the paired nuclear stain too
    force : replace an earlier simulation

    Raises
    ------
    ValueError
        fewer than one frame, more frames than a scan has fields, or more particles than fit
    FileExistsError
        `directory` holds something else
    OSError
        it cannot be written
    """
    if frames < 1:
        raise ValueError("the number of frames must be at least 1")
    if seed < 0:
        raise ValueError("the seed must be at least 0")
    if isinstance(motion, Scan) and frames > motion.frames:
        raise ValueError(f"the scan has {motion.frames} fields, not {frames}")
    directory = Path(directory)
    _clear(directory, force)
    return _write(directory, frames, seed, motion, scene or Scene(), optics or Optics(), fluorescence)


def _simulated(
    frames: int, seed: int, motion: Scan | Flow | None, scene: Scene, optics: Optics, fluorescence: bool
) -> Iterator[SimulatedFrame]:
    if motion is not None:
        moving = moving_frames(seed, motion, scene=scene, optics=optics, fluorescence=fluorescence)
        yield from islice(moving, frames)
        return
    for index in range(frames):
        yield simulate_frame(seed, index, scene=scene, optics=optics, fluorescence=fluorescence)


def _clear(directory: Path, force: bool) -> None:
    """Make sure that `directory` exists and is empty of everything but, at most, what is to be replaced."""
    if directory.exists() and not directory.is_dir():
        raise FileExistsError(f"{directory} is a file; name a folder")
    directory.mkdir(parents=True, exist_ok=True)
    if not any(directory.iterdir()):
        return
    if not (directory / PARAMETERS).is_file():
        raise FileExistsError(f"{directory} holds other files; name an empty or a new folder")
    if not force:
        raise FileExistsError(f"{directory} holds an earlier simulation; use --force to replace it")
    (directory / "truth.csv").unlink(missing_ok=True)
    for folder in ("frames", "masks", "fluorescence"):
        for path in (directory / folder).glob("frame_*.png"):
            path.unlink()


def _write(
    directory: Path,
    frames: int,
    seed: int,
    motion: Scan | Flow | None,
    scene: Scene,
    optics: Optics,
    fluorescence: bool,
) -> Iterator[Path]:
    folders = ["frames", "masks", *(["fluorescence"] if fluorescence else [])]
    for folder in folders:
        (directory / folder).mkdir(exist_ok=True)
    parameters = {
        "version": edge.__version__,
        "seed": seed,
        "frames": frames,
        "pixel_um": optics.pixel_um,
        "optics": asdict(optics),
        "scene": {**asdict(scene), "mix": dict(scene.mix)},
        "leukocytes": [asdict(model) for model in LEUKOCYTES],
        "fluorescence": fluorescence,
        **({} if motion is None else {type(motion).__name__.lower(): asdict(motion)}),
    }
    (directory / PARAMETERS).write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
    rows: list[tuple[str | int | float, ...]] = []
    started = time.time()
    for index, frame in enumerate(_simulated(frames, seed, motion, scene, optics, fluorescence)):
        name = f"frame_{index + 1:04d}.png"
        _write_png(directory / "masks" / name, frame.labels)
        if frame.fluorescence is not None:
            _write_png(directory / "fluorescence" / name, frame.fluorescence)
        _write_png(directory / "frames" / name, frame.image)
        if isinstance(motion, Flow):
            os.utime(directory / "frames" / name, (started + index / motion.fps,) * 2)
        for t in frame.truth:
            box = (t.cell.x, t.cell.y, t.cell.width, t.cell.height)
            flags = (int(t.cell.touching), int(t.cell.border))
            particle = () if t.particle is None else (t.particle,)
            rows.append((name, t.label, *box, *flags, optics.pixel_um, *particle))
        yield directory / "frames" / name
    with (directory / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS if motion is None else (*COLUMNS, "particle"))
        writer.writerows(rows)


def _write_png(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Encode in memory, so that a full disk raises instead of leaving a truncated file unnoticed."""
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
