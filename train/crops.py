"""Training crops cut from frames around labelled boxes."""

from __future__ import annotations

import csv
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, FailedFrame
from edge.capture import read_frames
from edge.find import DEFAULT_PIXEL_UM, crop_cells, segment
from train.data import BACKGROUNDS, CELLS_CSV

CROP_PX = 200
"""Side of a crop, px (the paper's)."""

LARGEST_PX = 100_000
"""Coordinates beyond this are no frame's."""

TRIES = 10
"""Random places looked at for each empty one that is wanted: dense frames may have fewer."""

CANDIDATES = 4
"""Empty places drawn for each background that is kept. Those with most structure are: the lines of a counting
chamber cross about a third of them (measured), and a flat one teaches nothing."""

_SIDES, _CORNERS = ("x", "y", "width", "height"), ("xmin", "ymin", "xmax", "ymax")
"""Columns of a box: those of ``cells.csv`` and ``truth.csv``, or its corners, the maximum exclusive."""


@dataclass(frozen=True)
class Box:
    """A row of a box file: its line, its fields, and the box as a cell whose area nobody measured."""

    line: int
    row: dict[str, str]
    cell: Cell


@dataclass(frozen=True)
class Cut:
    """What became of the boxes.

    Attributes
    ----------
    counts : crops a class
    outside : boxes left out because their centre lies outside their frame
    repeated : boxes left out because a row before says the same
    elsewhere : boxes a frame that was not given
    """

    counts: dict[str, int]
    outside: int
    repeated: int
    elsewhere: dict[str, int]


def read_boxes(path: Path, *, separate: bool = False) -> dict[str, list[Box]]:
    """Read a box file: boxes by the frame's file name, in the file's order.

    Parameters
    ----------
    path
        CSV with the columns ``frame,label,x,y,width,height`` or ``frame,label,xmin,ymin,xmax,ymax`` (max
        exclusive), in full-frame px; further columns are kept.
    separate
        Leave out cells whose ``touching`` or ``border`` column is 1.

    Raises
    ------
    ValueError
        On a missing column or a box that is none.
    """
    boxes: defaultdict[str, list[Box]] = defaultdict(list)
    if not path.is_file():
        raise ValueError(f"{path}: not a regular file")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        columns = set(reader.fieldnames or ())
        box = _SIDES if columns & {"width", "height"} else _CORNERS
        missing = [name for name in ("frame", "label", *box) if name not in columns]
        if missing:
            raise ValueError(f"{path}: column {', '.join(missing)} is missing; columns are parted by commas")
        for row in reader:
            if not (separate and "1" in (row.get("touching"), row.get("border"))):
                frame = Path(row["frame"] or "").name
                boxes[frame].append(
                    Box(reader.line_num, row, _cell(row, box, f"{path}, line {reader.line_num}"))
                )
    return dict(boxes)


def _cell(row: Mapping[str, str], columns: Sequence[str], where: str) -> Cell:
    """Return the box in these columns as a cell whose area is unknown."""
    try:
        x, y, width, height = (round(float(row[key])) for key in columns)
    except (TypeError, ValueError, OverflowError):
        x, y, width, height = 0, 0, 0, 0
    if columns is _CORNERS:
        width, height = width - x, height - y
    if width <= 0 or height <= 0 or max(map(abs, (x, y, x + width, y + height))) > LARGEST_PX:
        raise ValueError(f"{where}: no box: {', '.join(f'{key}={row[key]}' for key in columns)}")
    return Cell(x=x, y=y, width=width, height=height, area_px=0.0, border=False, touching=False)


def empty_places(
    shape: tuple[int, ...], cells: Sequence[Cell], side_px: int, count: int, rng: np.random.Generator
) -> list[Cell]:
    """Draw up to `count` squares at random that lie within a frame [h, w] and overlap no cell's box."""
    height, width = shape
    if min(shape) < side_px:
        return []
    taken = np.zeros(shape, np.uint8)
    for cell in cells:
        taken[max(0, cell.y) : max(0, cell.y + cell.height), max(0, cell.x) : max(0, cell.x + cell.width)] = 1
    covered = cv2.integral(taken)
    places: list[Cell] = []
    for _ in range(TRIES * count):
        top = int(rng.integers(height - side_px + 1))
        left = int(rng.integers(width - side_px + 1))
        bottom, right = top + side_px, left + side_px
        if covered[bottom, right] - covered[top, right] - covered[bottom, left] + covered[top, left] == 0:
            places.append(
                Cell(x=left, y=top, width=side_px, height=side_px, area_px=0.0, border=False, touching=False)
            )
            if len(places) == count:
                break
    return places


def cut(
    frames: Sequence[str | Path],
    boxes: Path,
    out: Path,
    *,
    rename: Mapping[str, str] | None = None,
    scale: float = 1.0,
    pixel_um: float | None = None,
    separate: bool = False,
    group_frames: int = 1,
    backgrounds: int = 0,
    on_frame: Callable[[], None] = lambda: None,
) -> Cut:
    """Cut a crop around each box into class folders under `out`, and list them in its ``cells.csv``.

    Crops of empty places, where neither a box nor a segmented cell lies, go to the folder ``backgrounds``.
    ``cells.csv`` has the columns ``path,label,group`` (the group is a frame's file name, which keeps the
    frame's cells together in a split) and the box file's further ones. `out` appears when all is in it.

    Parameters
    ----------
    frames
        Files and folders of frames.
    boxes, separate
        See `read_boxes`.
    out
        An absent or empty folder.
    rename
        Box label to class name, for labels that are to have another.
    scale
        Frame pixels a crop pixel.
    pixel_um
        Side of a frame's pixel in the specimen; by default the box file's column ``pixel_um``, if any. It
        goes to ``cells.csv``, times the scale, and from there with the run into the bundle.
    group_frames
        Consecutive frames that form one group, named after its first: more than 1 where neighbouring fields
        overlap and show the same cells.
    backgrounds
        Empty places kept of each frame: those with most structure of `CANDIDATES` times as many.
    on_frame
        Called after each frame.

    Raises
    ------
    ValueError
        If `out` is not empty, a frame is unreadable or comes twice, a label to rename does not occur or
        cannot name a folder, pixel sizes differ, or no box lies in the frames.
    OSError
        If a crop cannot be written.
    """
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: take another --out")
    by_frame = read_boxes(boxes, separate=separate)
    every = [box for found in by_frame.values() for box in found]
    sizes = sorted({box.row["pixel_um"] for box in every if box.row.get("pixel_um")})
    if pixel_um is None and len(sizes) > 1:
        raise ValueError(f"{boxes}: pixel_um is both {sizes[0]} and {sizes[1]}: say --pixel-um")
    names = dict(rename or {})
    idle = sorted(set(names) - {box.row["label"] for box in every})
    if idle:
        raise ValueError(f"{boxes}: no label {', '.join(idle)} to rename")
    for box in every:
        label = names.get(box.row["label"], box.row["label"])
        if label in ("", "..", BACKGROUNDS, CELLS_CSV) or Path(label).name != label:
            raise ValueError(f"{boxes}, line {box.line}: label {label!r} cannot name a folder")

    cells: list[dict[str, str]] = []
    seen: set[str] = set()
    outside = repeated = 0
    group = ""
    with _appearing(out) as folder:
        for index, frame in enumerate(read_frames(frames)):
            if isinstance(frame, FailedFrame):
                raise ValueError(f"{frame.name}: {frame.reason}")
            name = Path(frame.name).name
            if name in seen:
                raise ValueError(f"{frame.name}: a second frame of this name")
            seen.add(name)
            if index % group_frames == 0:
                group = name
            found = {(box.row["label"], box.cell): box for box in reversed(by_frame.get(name, []))}
            repeated += len(by_frame.get(name, [])) - len(found)
            inside = [box for box in reversed(found.values()) if _centre_lies_in(box.cell, frame.image.shape)]
            outside += len(found) - len(inside)
            there = [box.cell for box in inside]
            crops = crop_cells(frame.image, there, size_px=CROP_PX, scale=scale)
            for k, (box, crop) in enumerate(zip(inside, crops, strict=True)):
                label = names.get(box.row["label"], box.row["label"])
                path = f"{label}/{Path(name).stem}_{k:04d}.png"
                _write(folder / path, crop)
                side_um = pixel_um or float(box.row.get("pixel_um") or 0)
                seen_um = {"pixel_um": f"{side_um * scale:g}"} if side_um else {}
                cells.append({**box.row, **seen_um, "path": path, "label": label, "group": group})
            if backgrounds and found:
                stated_um = next(iter(found.values())).row.get("pixel_um")
                segmented = segment(frame.image, pixel_um=pixel_um or float(stated_um or DEFAULT_PIXEL_UM))
                empty = _empty_crops(frame.image, [*there, *segmented], scale, backgrounds, seed=index)
                for k, crop in enumerate(empty):
                    _write(folder / BACKGROUNDS / f"{Path(name).stem}_{k:04d}.png", crop)
            on_frame()
        if not cells:
            raise ValueError(f"{boxes}: no box lies in the given frames")

        others = (key for key in cells[0] if key not in ("path", "label", "group"))
        with (folder / CELLS_CSV).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, ["path", "label", "group", *others])
            writer.writeheader()
            writer.writerows(cells)
    return Cut(
        counts=dict(sorted(Counter(cell["label"] for cell in cells).items())),
        outside=outside,
        repeated=repeated,
        elsewhere={name: len(found) for name, found in by_frame.items() if name not in seen},
    )


def _centre_lies_in(cell: Cell, shape: tuple[int, ...]) -> bool:
    height, width = shape
    return 0 <= cell.x + cell.width / 2 < width and 0 <= cell.y + cell.height / 2 < height


def _empty_crops(
    image: NDArray[np.uint8], cells: Sequence[Cell], scale: float, count: int, seed: int
) -> NDArray[np.uint8]:
    """Crops of empty places uint8 [at most count, s, s], those with most structure first."""
    side_px = max(1, round(CROP_PX * scale))
    places = empty_places(image.shape, cells, side_px, CANDIDATES * count, np.random.default_rng(seed))
    crops = crop_cells(image, places, size_px=CROP_PX, scale=scale)
    structure = crops.std(axis=(1, 2)) / np.maximum(1, crops.mean(axis=(1, 2)))
    kept: NDArray[np.uint8] = crops[np.argsort(-structure, kind="stable")[:count]]
    return kept


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Give a folder that becomes `out` when the work is done, and vanishes when it fails."""
    part = out.with_name(f".{out.name}.{os.getpid()}.partial")
    part.mkdir(parents=True)
    try:
        yield part
        if out.exists():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(path: Path, crop: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    _, encoded = cv2.imencode(".png", crop)
    path.write_bytes(encoded.tobytes())
