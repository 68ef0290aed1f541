"""Training crops cut from frames around labelled boxes."""

from __future__ import annotations

import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base import Cell, FailedFrame, alike_labels, frame_name, partial_path, quantity
from edge.capture import (
    CONTRADICTS,
    PlaneChoice,
    agreed_pixel,
    contradiction,
    files_pixels,
    list_files,
    read_frames,
)
from edge.classify import REJECTED
from edge.find import DEFAULT_PIXEL_UM, LateCrops, crop_cells, segment
from train.box_places import misplaced_remark, structure_shares
from train.boxes import require_few
from train.data import BACKGROUNDS, CELLS_CSV
from train.frame_names import match_frames
from train.images import CROP_PX, require_empty, write_png
from train.readings import majority, readings, renamed
from train.table import Box, LabelledCrop, file_name, read_table, write_table

TRIES = 10
"""Random places tried for each empty one that is wanted: dense frames may have fewer."""

CANDIDATES = 4
"""Empty places drawn for each background that is kept, which are those with most structure: the lines of a
counting chamber cross about a third of them (measured), and a flat one teaches nothing."""

NO_PIXEL = "no pixel size is known, and none is written: pass --pixel-um"


@dataclass(frozen=True)
class CropOptions:
    """How crops are cut.

    Attributes
    ----------
    rename : mapping of str to str
        Box label → class name, in all readings.
    scale : float
        Frame pixels per crop pixel.
    pixel_um : float, optional
        Side of a frame's pixel in the specimen; by default that of each box, if any.
    separate : bool
        Leave out cells that touch another one or that the frame's edge cuts.
    group_frames : int
        Consecutive frames that form one group.
    backgrounds : int
        Empty places kept per frame: those with most structure of `CANDIDATES` times as many.
    bit_depth : int
        Bits in use of a 16-bit sample.
    planes : PlaneChoice
        Channel and focal plane of files with several.
    """

    rename: Mapping[str, str] = field(default_factory=dict)
    scale: float = 1.0
    pixel_um: float | None = None
    separate: bool = False
    group_frames: int = 1
    backgrounds: int = 0
    bit_depth: int = 16
    planes: PlaneChoice = PlaneChoice()


@dataclass(frozen=True)
class Cut:
    """Crops per class; boxes left out: rejected, outside their frame, repeated, per frame not given.

    The remarks are on the pixel size, on what the reader chose, and on boxes that seem to be elsewhere.
    """

    counts: dict[str, int]
    rejected: int
    outside: int
    repeated: int
    elsewhere: dict[str, int]
    remarks: tuple[str, ...] = ()


def cut(
    frames: Sequence[str | Path],
    boxes: Path,
    out: Path,
    options: CropOptions = CropOptions(),
    *,
    on_frame: Callable[[], None] = lambda: None,
) -> Cut:
    """Cut a crop around each box into class folders under `out`, and list them in its ``cells.csv``.

    Crops of empty places, with neither a box nor a segmented cell, go to the folder ``backgrounds``.
    ``cells.csv`` holds the columns of `LabelledCrop`, then those of the box; the group is the frame's file
    name (its path, if several have that name), which keeps the frame's cells together in a split. A cell
    of several readings lies in the folder of the class that most readers name, or of its label if two classes
    lead. `out` appears when it is complete.

    Parameters
    ----------
    boxes : Path
        Table of `Box`.

    Raises
    ------
    ValueError
        If `out` is not empty, a frame is unreadable or has too many boxes, it is not clear
        which frame a box is in, a label to rename is absent or cannot name a folder, pixel sizes differ, or
        no box lies in the frames.
    """
    require_empty(out)
    left_out: Counter[str] = Counter()
    listed = _boxes_by_name(boxes, options, left_out)
    files = list(map(frame_name, list_files(frames)))
    meant = match_frames(listed, files)
    by_frame = {frame: listed[name] for name, frame in meant.items()}
    pixel_um, remark = _pixel_um(frames, listed, options)
    options = replace(options, pixel_um=pixel_um)
    names = Counter(map(file_name, files))
    crops: list[LabelledCrop] = []
    notes: dict[str, None] = {}
    shares = [structure_shares(np.zeros((1, 1), np.uint8), ())]
    # files per stem, which frames of two formats may share
    crop_numbers: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    background_numbers: Counter[str] = Counter()
    seen: list[str] = []
    with _appearing(out) as folder:
        for frame in read_frames(frames, bit_depth=options.bit_depth, planes=options.planes):
            if isinstance(frame, FailedFrame) and frame.kind == "repeat":
                continue  # an empty frame of a video
            if isinstance(frame, FailedFrame):
                raise ValueError(f"{frame.name}: {frame.reason}")
            name, image, index = frame.name, frame.image, len(seen)
            seen.append(name)
            notes |= dict.fromkeys(frame.notes)
            first = seen[index - index % options.group_frames]
            group = first if names[file_name(first)] > 1 else file_name(first)
            inside = _boxes_inside(by_frame.get(name, []), image.shape, left_out)
            shares.append(structure_shares(image, [box.cell for box in inside]))
            images = LateCrops(image, [box.cell for box in inside], size_px=CROP_PX, scale=options.scale)
            for box, crop in zip(inside, images, strict=True):
                settled = majority(readings(box).values())
                left_out["tied"] += settled is None
                path = f"{settled or box.label}/{_numbered(name, crop_numbers)}"
                counts[settled or box.label] += 1
                write_png(folder / path, crop)
                crops.append(_listed(box, path, group, options))
            if options.backgrounds and name in by_frame:
                for crop in _background_crops(image, by_frame[name], inside, options, seed=index):
                    write_png(folder / BACKGROUNDS / _numbered(name, background_numbers), crop)
            on_frame()
        if not crops:
            raise ValueError(f"{boxes}: {_why_empty(listed, by_frame, seen)}")
        write_table(folder / CELLS_CSV, LabelledCrop, crops)
    return Cut(
        counts=dict(sorted(counts.items())),
        rejected=left_out["rejected"],
        outside=left_out["outside"],
        repeated=left_out["repeated"],
        elsewhere={name: len(found) for name, found in listed.items() if meant.get(name) not in seen},
        remarks=tuple(
            filter(
                None, (remark, *notes, misplaced_remark(np.concatenate(shares)), *_table_remarks(left_out))
            )
        ),
    )


def _pixel_um(
    frames: Sequence[str | Path], listed: Mapping[str, Sequence[Box]], options: CropOptions
) -> tuple[float | None, str]:
    """Return the pixel size that the option, else the table, else all files state; and a remark."""
    stated = files_pixels(frames)
    in_table = {box.pixel_um for boxes in listed.values() for box in boxes if box.pixel_um is not None}
    given = options.pixel_um or next(iter(in_table), None)
    if given is not None:
        source = "from --pixel-um" if options.pixel_um else "from the table"
        remedy = "check which is right, and pass it as --pixel-um"
        others = ", ".join(f"{um:.4g}" for um in sorted(in_table) if abs(um - given) > CONTRADICTS * given)
        if others:
            words = f"pixel_um of the table is {others}, and {given:.4g} is used ({source}): {remedy}"
            return options.pixel_um, words
        return options.pixel_um, contradiction(stated, given, source, remedy)
    if agreed := agreed_pixel(stated):
        return agreed.um, f"pixel {agreed.um:.4g} µm, from the files ({agreed.source})"
    if known := [str(pixel) for pixel in stated if pixel]:
        raise ValueError(
            f"the images do not agree on their pixel: {', '.join(known[:3])} in "
            f"{stated.total() - stated[None]} of {stated.total()}: cut each magnification by itself, with "
            "its --pixel-um"
        )
    return None, NO_PIXEL


def _boxes_by_name(path: Path, options: CropOptions, left_out: Counter[str]) -> dict[str, list[Box]]:
    """Read the wanted boxes under their class names, by the frame as the table names it."""
    boxes = read_table(path, Box)
    marked = any(box.touching is not None or box.border is not None for box in boxes.values())
    left_out["unmarked"] = options.separate and not marked
    for line, box in boxes.items():
        left_out["spaces"] += box.label != box.label.strip()
        boxes[line] = replace(box, label=box.label.strip())
    if options.separate:
        boxes = {line: box for line, box in boxes.items() if not (box.touching or box.border)}
    sizes = sorted({box.pixel_um for box in boxes.values() if box.pixel_um is not None})
    if options.pixel_um is None and len(sizes) > 1:
        raise ValueError(f"{path}: pixel_um is both {sizes[0]:g} and {sizes[1]:g}: pass --pixel-um")
    known = {text for box in boxes.values() for text in readings(box).values()}
    if idle := sorted(set(options.rename) - known):
        labels = ", ".join(sorted(known))
        raise ValueError(f"{path}: no label {', '.join(idle)} to rename; it has {labels or 'no box'}")
    by_frame: defaultdict[str, list[Box]] = defaultdict(list)
    for line, box in boxes.items():
        if options.rename.get(box.label, box.label) == REJECTED:  # of a count's cells.csv: no class
            left_out["rejected"] += 1
            continue
        try:
            by_frame[box.frame].append(renamed(box, options.rename))
        except ValueError as error:
            raise ValueError(f"{path}, line {line}: {error}") from None
    require_few(path, by_frame)
    if alike := alike_labels(
        {text for listed in by_frame.values() for box in listed for text in readings(box).values()}
    ):
        raise ValueError(f"{path}: {alike[0]}, for example with --rename")
    return dict(by_frame)


def _table_remarks(left_out: Counter[str]) -> Iterator[str]:
    """Yield remarks on what the table of boxes holds, or lacks."""
    if left_out["spaces"]:
        yield f"spaces around {quantity(left_out['spaces'], 'label')} are left out"
    if left_out["tied"]:
        yield (
            f"of {quantity(left_out['tied'], 'cell')} the readers settle on no class: training learns from "
            "every reading, and scores leave them out"
        )
    if left_out["unmarked"]:
        yield "--separate has no effect: BOXES has no column touching or border"


def _why_empty(
    listed: Mapping[str, Sequence[Box]], by_frame: Mapping[str, Sequence[Box]], names: Sequence[str]
) -> str:
    """Return why no box gave a crop."""
    if not listed:
        return "it lists no box"
    if set(by_frame) & set(names):
        return "no box has its centre in its frame"
    named, frame = next(iter(listed)), file_name(names[0])
    return f"none of its frame names is among the frames: {named} is in the table, {frame} is a frame"


def _numbered(frame: str, numbers: Counter[str]) -> str:
    """Return the next file name for a crop of this frame."""
    stem = Path(file_name(frame)).stem
    numbers[stem] += 1
    return f"{stem}_{numbers[stem] - 1:04d}.png"


def _boxes_inside(listed: Sequence[Box], shape: tuple[int, ...], left_out: Counter[str]) -> list[Box]:
    """Return the different boxes whose centre lies in a frame [h, w], and count the others."""
    height, width = shape
    first = {(box.label, box.cell): box for box in reversed(listed)}
    inside = [
        box
        for box in reversed(first.values())
        if 0 <= box.x + box.width / 2 < width and 0 <= box.y + box.height / 2 < height
    ]
    left_out.update(repeated=len(listed) - len(first), outside=len(first) - len(inside))
    return inside


def _listed(box: Box, path: str, group: str, options: CropOptions) -> LabelledCrop:
    pixel_um = options.pixel_um or box.pixel_um
    return LabelledCrop(
        path=path,
        label=box.label,
        group=group,
        pixel_um=None if pixel_um is None else pixel_um * options.scale,
        others={
            name: text for name, text in box.cells().items() if text and name not in LabelledCrop.columns()
        }
        | {"crop_scale": f"{options.scale:g}"},
    )


def _background_crops(
    image: NDArray[np.uint8], listed: Sequence[Box], boxes: Sequence[Box], options: CropOptions, seed: int
) -> NDArray[np.uint8]:
    """Return crops of empty places uint8 [at most options.backgrounds, s, s], most structure first."""
    pixel_um = options.pixel_um or listed[0].pixel_um or DEFAULT_PIXEL_UM
    cells = [*(box.cell for box in boxes), *segment(image, pixel_um=pixel_um)]
    side_px = max(1, round(CROP_PX * options.scale))
    wanted = CANDIDATES * options.backgrounds
    places = empty_places(image.shape, cells, side_px, wanted, np.random.default_rng(seed))
    crops = crop_cells(image, places, size_px=CROP_PX, scale=options.scale)
    structure = crops.std(axis=(1, 2)) / np.maximum(1, crops.mean(axis=(1, 2)))
    kept: NDArray[np.uint8] = crops[np.argsort(-structure, kind="stable")[: options.backgrounds]]
    return kept


def empty_places(
    shape: tuple[int, ...], cells: Sequence[Cell], side_px: int, count: int, rng: np.random.Generator
) -> list[Cell]:
    """Draw up to `count` random squares that lie within a frame [h, w] and overlap no cell's box."""
    height, width = shape
    if min(shape) < side_px:
        return []
    taken = np.zeros(shape, bool)
    for cell in cells:
        taken[max(0, cell.y) : max(0, cell.y + cell.height), max(0, cell.x) : max(0, cell.x + cell.width)] = (
            True
        )
    places: list[Cell] = []
    for _ in range(TRIES * count):
        top = int(rng.integers(height - side_px + 1))
        left = int(rng.integers(width - side_px + 1))
        if not taken[top : top + side_px, left : left + side_px].any():
            places.append(Cell(left, top, side_px, side_px, area_px=0.0, border=False, touching=False))
            if len(places) == count:
                break
    return places


@contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Yield a folder that becomes `out` when the work is done, and vanishes if it fails."""
    part = partial_path(out)
    try:
        part.mkdir(parents=True)
    except OSError as error:
        error.filename = str(out)
        raise
    try:
        yield part
        if out.exists():
            out.rmdir()
        part.rename(out)
    finally:
        shutil.rmtree(part, ignore_errors=True)
