"""A simulated sample as a folder: frames, truth, masks and the parameters that made them."""

from __future__ import annotations

import csv
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from itertools import count, islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

import edge
from edge.base import ANOTHER_NAME, REPLACE
from edge.simulate.frame import phantom_frame
from edge.simulate.leukocytes import LEUKOCYTES
from edge.simulate.motion import Flow, Scan, motion_frames
from edge.simulate.optics import Optics
from edge.simulate.scene import Phantom, Scene, SimulatedFrame

COLUMNS = (
    *("frame", "label", "x", "y", "width", "height", "touching", "border", "pixel_um"),
    *("xmin", "ymin", "xmax", "ymax"),
)
"""Header of ``truth.csv``: boxes in full-frame px as in ``cells.csv``, flags 0 or 1, the pixel size, and the
boxes as annotation tools write them, max exclusive. A scan or flow adds a column ``particle``: the same
number in every frame that shows the particle."""

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
    """Write a simulated sample and yield the path of each bright-field frame as it is written.

    The folder gets ``frames/frame_0001.png`` … (8 bits), ``masks/`` with the same names (16 bits, value = row
    among the frame's rows of the truth, from 1), with fluorescence a folder ``fluorescence/`` (8 bits),
    ``simulation.json`` (every parameter) and last ``truth.csv``: a folder without it was interrupted.

    Parameters
    ----------
    directory : str or Path
        Created if absent; must be empty or, with `force`, an earlier simulation's.
    frames : int
        Number of frames, at most the fields of a scan; more frames leave the first ones unchanged.
    motion : Scan or Flow, optional
        How the frames are related; without it each is a sample of its own. The files of a flow bear the times
        of its frames.

    Raises
    ------
    ValueError
        For fewer than one frame, more frames than a scan has fields, or more particles than fit.
    OSError
        If the directory holds something else or cannot be written.
    """
    if frames < 1:
        raise ValueError("the number of frames must be at least 1")
    if seed < 0:
        raise ValueError("the seed must be at least 0")
    if isinstance(motion, Scan) and frames > motion.frames:
        raise ValueError(f"the scan has {motion.frames} fields, not {frames}")
    directory = Path(directory)
    _clear(directory, force)
    phantom = Phantom(seed, scene or Scene(), optics or Optics(), fluorescence)
    return _write(directory, phantom, frames, motion)


def _clear(directory: Path, force: bool) -> None:
    """Create the directory, or remove an earlier simulation from it."""
    if directory.exists() and not directory.is_dir():
        raise FileExistsError(f"{directory} is a file; {ANOTHER_NAME}")
    directory.mkdir(parents=True, exist_ok=True)
    if not any(directory.iterdir()):
        return
    if not (directory / PARAMETERS).is_file():
        raise FileExistsError(f"{directory} holds other files; {ANOTHER_NAME}")
    if not force:
        raise FileExistsError(f"{directory} holds a simulation; {REPLACE}")
    (directory / "truth.csv").unlink(missing_ok=True)
    for folder in ("frames", "masks", "fluorescence"):
        for path in (directory / folder).glob("frame_*.png"):
            path.unlink()


def _write(directory: Path, phantom: Phantom, frames: int, motion: Scan | Flow | None) -> Iterator[Path]:
    for folder in ("frames", "masks", *(["fluorescence"] if phantom.fluorescence else [])):
        (directory / folder).mkdir(exist_ok=True)
    parameters = _parameters(phantom, frames, motion)
    (directory / PARAMETERS).write_text(json.dumps(parameters, indent=2) + "\n", encoding="utf-8")
    independent = map(partial(phantom_frame, phantom), count())
    simulated = independent if motion is None else motion_frames(phantom, motion)
    rows: list[tuple[str | int | float, ...]] = []
    started = time.time()
    for index, frame in enumerate(islice(simulated, frames)):
        name = f"frame_{index + 1:04d}.png"
        _write_png(directory / "masks" / name, frame.labels)
        if frame.fluorescence is not None:
            _write_png(directory / "fluorescence" / name, frame.fluorescence)
        path = directory / "frames" / name
        _write_png(path, frame.image)
        if isinstance(motion, Flow):
            os.utime(path, (started + index / motion.fps,) * 2)
        rows += _rows(name, frame, phantom.optics.pixel_um)
        yield path
    with (directory / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(COLUMNS if motion is None else (*COLUMNS, "particle"))
        writer.writerows(rows)


def _parameters(phantom: Phantom, frames: int, motion: Scan | Flow | None) -> dict[str, object]:
    return {
        "version": edge.__version__,
        "seed": phantom.seed,
        "frames": frames,
        "pixel_um": phantom.optics.pixel_um,
        "optics": asdict(phantom.optics),
        "scene": {**asdict(phantom.scene), "mix": dict(phantom.scene.mix)},
        "leukocytes": [asdict(model) for model in LEUKOCYTES],
        "fluorescence": phantom.fluorescence,
        **({} if motion is None else {type(motion).__name__.lower(): asdict(motion)}),
    }


def _rows(name: str, frame: SimulatedFrame, pixel_um: float) -> Iterator[tuple[str | int | float, ...]]:
    """Yield one row of ``truth.csv`` per particle of a frame."""
    for t in frame.truth:
        x, y, width, height = t.cell.x, t.cell.y, t.cell.width, t.cell.height
        flags = (int(t.cell.touching), int(t.cell.border))
        corners = (x, y, x + width, y + height)
        particle = () if t.particle is None else (t.particle,)
        yield (name, t.label, x, y, width, height, *flags, pixel_um, *corners, *particle)


def _write_png(path: Path, image: NDArray[np.uint8] | NDArray[np.uint16]) -> None:
    """Encode in memory, so that a full disk raises instead of leaving a truncated file."""
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
