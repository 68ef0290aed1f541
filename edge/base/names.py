"""Names of frames and their order."""

from __future__ import annotations

import os
import re
from pathlib import Path

IMAGE_SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".jpe",
        ".jfif",
        ".jif",
        ".tif",
        ".tiff",
        ".btf",
        ".tf8",
        ".lsm",
        ".stk",
        ".bmp",
        ".dib",
    }
)
VIDEO_SUFFIXES = frozenset({".avi", ".mkv", ".webm", ".mp4", ".m4v", ".mov"})
"""Suffixes of frames inside a folder. A file given by name is read whatever its suffix."""


def is_frame_file(path: Path) -> bool:
    """Return whether a folder's entry is, by its name, an image or a video, and not hidden."""
    return path.suffix.lower() in IMAGE_SUFFIXES | VIDEO_SUFFIXES and not path.name.startswith(".")


def frame_name(path: Path) -> str:
    """Return the name of a file's frame: a file's name is any bytes, CSV and HTML need text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def natural_order(path: Path | str) -> tuple[list[str | int], str]:
    """Return the key that sorts ``f2`` before ``f10``."""
    parts = re.split("([0-9]+)", str(path).casefold())
    return [int(part) if position % 2 else part for position, part in enumerate(parts)], str(path)
