"""Video files, decoded by FFmpeg through OpenCV."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.base import Frame
from edge.capture.foreign import format_name
from edge.capture.page import ImageFileError, check_size


def is_video(file: BinaryIO) -> bool:
    """Recognise AVI (RIFF), Matroska (EBML) and MP4/MOV (ISO base media) by their first bytes."""
    head = file.read(12)
    file.seek(0)
    return (
        (head[:4] == b"RIFF" and head[8:] == b"AVI ")
        or head[:4] == b"\x1a\x45\xdf\xa3"
        or (head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free") and not format_name(head))  # not AVIF
    )


def read_video(path: Path, name: str, time_ns: int, max_megapixels: float) -> Iterator[Frame]:
    """Yield the frames of a video, named ``name#0`` …, all with index 0; `time_ns` is that of the first.

    Raises
    ------
    ImageFileError
        If the video is damaged, truncated or over the limit.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # FFmpeg prints to the terminal otherwise
    capture = cv2.VideoCapture(os.path.abspath(path), cv2.CAP_FFMPEG)  # noqa: PTH100 (absolute: never a URL)
    try:
        if not capture.isOpened():
            raise ImageFileError("truncated, damaged, or of a kind that cannot be decoded")
        capture.set(cv2.CAP_PROP_ORIENTATION_AUTO, 0)
        width, height = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
        check_size(int(width), int(height), max_megapixels)
        declared, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        frame_ns = 1e9 / fps if math.isfinite(fps) and fps > 0 else 0.0
        number = 0
        truncated = _is_truncated(path)
        image = _next_grey(capture)
        while image is not None:
            following = _next_grey(capture)
            if following is None and truncated:  # decoders invent what the last frame lacks
                raise ImageFileError(f"truncated: the video is cut off in or after frame {number}")
            yield Frame(image, f"{name}#{number}", 0, time_ns + round(number * frame_ns))
            image, number = following, number + 1
        # a container counts its frames, or estimates them from its duration: one in a hundred is tolerated
        if number == 0 or declared - number > 1 + declared / 100:
            raise ImageFileError(f"the video ends after {number} of its {declared:.0f} frames")
    finally:
        capture.release()


def to_grey(image: cv2.typing.MatLike) -> NDArray[np.uint8]:
    """Return what OpenCV captured, uint8 [h, w] or [h, w, 3] BGR, as grey [h, w] by ITU-R BT.601."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    return grey.astype(np.uint8, copy=False)


def _next_grey(capture: cv2.VideoCapture) -> NDArray[np.uint8] | None:
    found, image = capture.read()
    return to_grey(image) if found else None


def _is_truncated(path: Path) -> bool:
    """Recognise an AVI that is shorter than its RIFF header declares; other containers do not declare it."""
    with path.open("rb") as file:
        head = file.read(8)
    return head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 > path.stat().st_size
