"""Names of frames and their order."""

from __future__ import annotations

import os
import re
from pathlib import Path

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})
VIDEO_SUFFIXES = frozenset({".avi", ".mkv", ".mp4", ".mov"})
"""What counts as a frame inside a folder. A file named explicitly is tried whatever its suffix."""


def is_frame_file(path: Path) -> bool:
    """Tell by its name whether a folder's entry is an image or a video, and not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES and not path.name.startswith(".")


def frame_name(path: Path) -> str:
    """Name of a file's frame. A file's name is any bytes; what travels on, into CSV and HTML, is text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def natural_order(path: Path | str) -> tuple[list[str | int], str]:
    """Key that sorts ``f2`` before ``f10``."""
    parts = re.split("([0-9]+)", str(path).casefold())
    return [int(part) if position % 2 else part for position, part in enumerate(parts)], str(path)
