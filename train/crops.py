"""Training crops cut from frames around labelled boxes."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.crop import crop_cells
from edge.frames import FailedFrame, read_frames
from edge.segment import DEFAULT_PIXEL_UM, Cell, segment
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

_BOX = ("xmin", "ymin", "xmax", "ymax")


def read_boxes(path: Path, *, separate: bool = False) -> dict[str, list[dict[str, str]]]:
    """Read a box file: rows by the frame's file name, in the file's order.

    Parameters
    ----------
    path
        CSV with the columns ``frame,label,xmin,ymin,xmax,ymax``, full-frame px, max exclusive; more are kept.
    separate
        Leave out cells whose ``touching`` or ``border`` column is 1.

    Raises
    ------
    ValueError
        On a missing column or a box that is none.
    """
    boxes: defaultdict[str, list[dict[str, str]]] = defaultdict(list)
    if not path.is_file():
        raise ValueError(f"{path}: not a regular file")
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as file:
        reader = csv.DictReader(file)
        missing = [name for name in ("frame", "label", *_BOX) if name not in (reader.fieldnames or ())]
        if missing:
            raise ValueError(f"{path}: column {', '.join(missing)} is missing")
        for row in reader:
            if not (separate and "1" in (row.get("touching"), row.get("border"))):
                _cell(row, path)
                boxes[Path(row["frame"]).name].append(row)
    return dict(boxes)


def _cell(row: Mapping[str, str], path: Path) -> Cell:
    """Return the box as a cell, whose area nobody measured."""
    try:
        left, top, right, bottom = (round(float(row[key])) for key in _BOX)
    except (TypeError, ValueError, OverflowError):
        left, top, right, bottom = 0, 0, 0, 0
    if right <= left or bottom <= top or max(map(abs, (left, top, right, bottom))) > LARGEST_PX:
        raise ValueError(f"{path}: no box: {', '.join(f'{key}={row[key]}' for key in _BOX)}")
    return Cell(
        x=left, y=top, width=right - left, height=bottom - top, area_px=0.0, border=False, touching=False
    )


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
) -> dict[str, int]:
    """Cut a crop around each box into class folders under `out`, and list them in its ``cells.csv``.

    Crops of empty places, where neither a box nor a segmented cell lies, go to the folder ``backgrounds``.

    ``cells.csv`` has the columns ``path,label,group`` (the group is a frame's file name, which keeps the
    frame's cells together in a split) and the box file's further ones. Boxes of other frames are ignored.

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

    Returns
    -------
    Crops a class.

    Raises
    ------
    ValueError
        If `out` is not empty, a frame is unreadable or comes twice, a label to rename does not occur or
        cannot name a folder, or no box lies in the frames.
    """
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty: take another --out")
    by_frame = read_boxes(boxes, separate=separate)
    names = dict(rename or {})
    idle = sorted(set(names) - {row["label"] for rows in by_frame.values() for row in rows})
    if idle:
        raise ValueError(f"{boxes}: no label {', '.join(idle)} to rename")

    cells: list[dict[str, str]] = []
    seen: set[str] = set()
    group = ""
    for index, frame in enumerate(read_frames(frames)):
        if isinstance(frame, FailedFrame):
            raise ValueError(f"{frame.name}: {frame.reason}")
        name = Path(frame.name).name
        if name in seen:
            raise ValueError(f"{frame.name}: a second frame of this name")
        seen.add(name)
        if index % group_frames == 0:
            group = name
        rows = by_frame.get(name, [])
        cells_there = [_cell(row, boxes) for row in rows]
        crops = crop_cells(frame.image, cells_there, size_px=CROP_PX, scale=scale)
        for k, (row, crop) in enumerate(zip(rows, crops, strict=True)):
            label = names.get(row["label"], row["label"])
            if label in ("", "..", BACKGROUNDS) or Path(label).name != label:
                raise ValueError(f"{boxes}: label {label!r} cannot name a folder")
            path = f"{label}/{Path(name).stem}_{k:04d}.png"
            _write(out / path, crop)
            side_um = pixel_um or float(row.get("pixel_um") or 0)
            seen_um = {"pixel_um": f"{side_um * scale:g}"} if side_um else {}
            cells.append({**row, **seen_um, "path": path, "label": label, "group": group})
        if backgrounds and rows:
            found = segment(
                frame.image, pixel_um=pixel_um or float(rows[0].get("pixel_um") or DEFAULT_PIXEL_UM)
            )
            side_px = max(1, round(CROP_PX * scale))
            rng = np.random.default_rng(index)
            places = empty_places(
                frame.image.shape, [*cells_there, *found], side_px, CANDIDATES * backgrounds, rng
            )
            empty = crop_cells(frame.image, places, size_px=CROP_PX, scale=scale)
            structure = empty.std(axis=(1, 2)) / np.maximum(1, empty.mean(axis=(1, 2)))
            for k, crop in enumerate(empty[np.argsort(-structure, kind="stable")[:backgrounds]]):
                _write(out / BACKGROUNDS / f"{Path(name).stem}_{k:04d}.png", crop)
        on_frame()
    if not cells:
        raise ValueError(f"{boxes}: no box lies in the given frames")

    header = ["path", "label", "group", *(key for key in cells[0] if key not in ("path", "label", "group"))]
    with (out / CELLS_CSV).open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, header)
        writer.writeheader()
        writer.writerows(cells)
    return dict(sorted(Counter(cell["label"] for cell in cells).items()))


def _write(path: Path, crop: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not cv2.imwrite(str(path), crop):
        raise OSError(f"{path}: cannot be written")
