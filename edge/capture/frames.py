"""Frames from files, folders, globs, image stacks and videos."""

from __future__ import annotations

import glob
import hashlib
import math
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import FailedFrame, Frame, frame_name, is_frame_file, natural_order
from edge.capture import image_file as imagefile

MAX_MEGAPIXELS = 100.0
"""Largest declared size of an image that is decoded, in millions of pixels."""


@dataclass(frozen=True, eq=False)
class Encoded:
    """A still image that was read and checked but not decoded: the dear part, for any thread.

    Attributes
    ----------
    page : the encoded image
    name, index, time_ns : as in `Frame`
    bit_depth : bits in use of a 16-bit sample
    """

    page: imagefile.Page
    name: str
    index: int
    time_ns: int
    bit_depth: int

    @property
    def sha256(self) -> str:
        """See `Frame`."""
        return hashlib.sha256(self.page.data).hexdigest()

    def decode(self) -> Frame | FailedFrame:
        """Decode to grey."""
        image = _decode(self.page, self.bit_depth)
        if isinstance(image, str):
            return FailedFrame(self.name, self.index, image)
        return Frame(image, self.name, self.index, self.time_ns, sha256=self.sha256)


_Read = tuple[str, NDArray[np.uint8] | imagefile.Page | str, int]
"""A name, its image or the reason why there is none, and its time in ns."""


def read_frames(
    sources: Sequence[str | Path],
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    bit_depth: int = 16,
    root: Path = Path(),
) -> Iterator[Frame | FailedFrame]:
    """Read and decode every image of the sources, one at a time; see `read_encoded`."""
    encoded = read_encoded(sources, max_megapixels=max_megapixels, bit_depth=bit_depth, root=root)
    return (item.decode() if isinstance(item, Encoded) else item for item in encoded)


def read_encoded(
    sources: Sequence[str | Path],
    *,
    max_megapixels: float = MAX_MEGAPIXELS,
    bit_depth: int = 16,
    root: Path = Path(),
) -> Iterator[Encoded | Frame | FailedFrame]:
    """Read every image of the sources, one at a time, in order; what cannot be read is yielded too.

    Still images are left to `Encoded.decode`; a video's frames come decoded, for each builds on those before.

    PNG, JPEG, BMP and TIFF images (8 or 16 bits a sample; grey, colour, palette, with alpha), TIFF stacks,
    and AVI, MKV, MP4 and MOV videos, told apart by content. Colour becomes grey by ITU-R BT.601. Alpha is
    ignored, and so are orientation marks (EXIF, TIFF, video): boxes are in the raster as stored. Videos
    are read at 8 bits.

    Samples of 16 bits become 8 by dividing by ``(2**bit_depth - 1) / 255``, rounded and saturated: by 257
    unless told otherwise. A camera of 12 bits that stores its counts unscaled in 16 needs ``bit_depth=12``;
    this is never guessed from a frame, since then equal samples could become unequal greys.

    Parameters
    ----------
    sources : files, folders (see `list_files`), globs
    max_megapixels : declared size above which an image is refused before it is decoded
    bit_depth : bits in use of a 16-bit sample, 9 to 16
    root : folder that relative sources start from; frames keep their relative names

    Raises
    ------
    ValueError
        For a `bit_depth` or `max_megapixels` that makes no sense. No file's content makes it raise.
    """
    if not 9 <= bit_depth <= 16:
        raise ValueError(f"bit depth {bit_depth}: must be 9 to 16")
    if not max_megapixels > 0:
        raise ValueError(f"limit of {max_megapixels} megapixels: must be above 0")
    return (
        FailedFrame(name, index, read)
        if isinstance(read, str)
        else Encoded(read, name, index, time_ns, bit_depth)
        if isinstance(read, imagefile.Page)
        else Frame(read, name, index, time_ns)
        for index, (name, read, time_ns) in enumerate(_read_files(sources, max_megapixels, root))
    )


def list_files(sources: Sequence[str | Path], root: Path = Path()) -> list[Path]:
    """Turn files, folders and globs into the files to read, in reading order, each once.

    A folder gives its images and videos in natural order (``f2`` before ``f10``), not those of its
    subfolders, and neither hidden files nor other suffixes (a folder may hold a ``boxes.csv`` too). A glob
    gives its matches in natural order, each like a source of its own; ``**`` crosses folders. A source that
    gives nothing (missing, empty, unreadable) stays in the list, for `read_frames` to report.

    Relative sources start from the folder `root`, and give paths relative to it.
    """
    files: dict[str, Path] = {}
    for source in sources:
        for path in _expand_glob(source, root):
            for file in _expand_folder(path, root):
                files.setdefault(os.path.realpath(root / file), file)
    return list(files.values())


def _expand_glob(source: str | Path, root: Path) -> list[Path]:
    text = os.fspath(source)
    if os.path.lexists(root / text) or not glob.has_magic(text):
        return [Path(text)]
    # absolute patterns too
    matches = [Path(match) for match in glob.glob(text, root_dir=root, recursive=True)]  # noqa: PTH207
    return sorted(matches, key=natural_order) or [Path(text)]


def _expand_folder(path: Path, root: Path) -> list[Path]:
    if not os.path.isdir(root / path):  # noqa: PTH112 (Path.is_dir raises where the parent may not be entered)
        return [path]
    try:
        entries = [path / entry.name for entry in (root / path).iterdir()]
    except OSError:
        return [path]
    return sorted(filter(is_frame_file, entries), key=natural_order) or [path]


def _read_files(sources: Sequence[str | Path], max_megapixels: float, root: Path) -> Iterator[_Read]:
    for path in list_files(sources, root):
        name = frame_name(path)
        try:
            yield from _read_file(root / path, name, max_megapixels)
        except OSError as error:
            yield name, (error.strerror or str(error)).lower(), 0
        except imagefile.ImageFileError as error:
            yield name, str(error), 0


def _read_file(path: Path, name: str, max_megapixels: float) -> Iterator[_Read]:
    status = path.stat()
    if stat.S_ISDIR(status.st_mode):
        next(path.iterdir(), None)  # raises where the folder may not be read
        yield name, "a folder without images or videos", 0
    elif not stat.S_ISREG(status.st_mode):
        yield name, "not a regular file", 0
    else:
        with path.open("rb") as file:
            if _is_video(file):
                yield from _read_video(path, name, status.st_mtime_ns, max_megapixels)
            else:
                yield from _read_images(file, name, status.st_mtime_ns, max_megapixels)


def _read_images(file: BinaryIO, name: str, time_ns: int, max_megapixels: float) -> Iterator[_Read]:
    for page in imagefile.pages(file, max_megapixels=max_megapixels):
        page_name = name if page.number is None else f"{name}#{page.number}"
        yield page_name, page.reason if isinstance(page, imagefile.BadPage) else page, time_ns


def _decode(page: imagefile.Page, bit_depth: int) -> NDArray[np.uint8] | str:
    """Decode to grey uint8 [h, w]; a string says why not."""
    # Grey straight from the decoder: a JPEG's luma plane is BT.601 already, at a third of the time.
    flags = cv2.IMREAD_GRAYSCALE | cv2.IMREAD_ANYDEPTH | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        image = cv2.imdecode(np.frombuffer(page.data, np.uint8), flags)
    except cv2.error:
        image = None
    if image is None or image.shape != (page.height, page.width):
        return "damaged, or of a kind that cannot be decoded"
    if image.dtype == np.uint16:
        return cv2.convertScaleAbs(image, alpha=255 / (2**bit_depth - 1)).astype(np.uint8, copy=False)
    if image.dtype != np.uint8:
        return f"samples of type {image.dtype} are not supported, only 8 and 16 bits"
    return image.astype(np.uint8, copy=False)


def _is_video(file: BinaryIO) -> bool:
    """Tell AVI (RIFF), Matroska (EBML) and MP4/MOV (ISO base media) by their first bytes."""
    head = file.read(12)
    file.seek(0)
    return (
        (head[:4] == b"RIFF" and head[8:] == b"AVI ")
        or head[:4] == b"\x1a\x45\xdf\xa3"
        or head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free")
    )


def _is_cut_short(path: Path) -> bool:
    """Tell an AVI that is shorter than its RIFF header declares; other containers do not say."""
    with path.open("rb") as file:
        head = file.read(8)
    return head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 > path.stat().st_size


def _next_grey(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    found, image = capture.read()
    return to_grey(image) if found else None


def to_grey(image: cv2.typing.MatLike) -> NDArray[np.uint8]:
    """Grey [h, w] of what OpenCV captured, uint8 [h, w] or [h, w, 3] BGR, by ITU-R BT.601."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return grey.astype(np.uint8, copy=False)


def _read_video(path: Path, name: str, time_ns: int, max_megapixels: float) -> Iterator[_Read]:
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg prints to the terminal otherwise
    capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)  # noqa: PTH100 (absolute: never a URL)
    try:
        if not capture.isOpened():
            raise imagefile.ImageFileError("truncated, damaged, or of a kind that cannot be decoded")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        imagefile.check_size(int(width), int(height), max_megapixels)
        declared, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        frame_ns = 1e9 / fps if math.isfinite(fps) and fps > 0 else 0.0
        number = 0
        cut = _is_cut_short(path)
        image = _next_grey(capture)
        while image is not None:
            following = _next_grey(capture)
            if following is None and cut:  # decoders make up what the last frame lacks
                raise imagefile.ImageFileError(f"truncated: the video is cut off in or after frame {number}")
            yield f"{name}#{number}", image, time_ns + round(number * frame_ns)
            image, number = following, number + 1
        # a container counts its frames, or estimates them from its duration: one in a hundred is allowed
        if number == 0 or declared - number > 1 + declared / 100:
            raise imagefile.ImageFileError(f"the video ends after {number} of its {declared:.0f} frames")
    finally:
        capture.release()
