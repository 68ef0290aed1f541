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


_FRAME_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
_NUMBER = re.compile("[0-9]+")


def is_frame_file(path: Path | str) -> bool:
    """Return whether a folder's entry is, by its name, an image or a video, and not hidden."""
    text = os.fspath(path)
    name = text[text.rfind("/") + 1 :]
    return name[name.rfind(".") :].lower() in _FRAME_SUFFIXES and not name.startswith(".")


def frame_name(path: Path | str) -> str:
    """Return the name of a file's frame: a file's name is any bytes, CSV and HTML need text."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def natural_order(path: Path | str) -> str:
    """Return the key that sorts ``f2`` before ``f10``: a number sorts by its length, then by its digits."""
    text = str(path)
    return f"{_NUMBER.sub(_by_length, text.casefold())}\0\0{text}"


def _by_length(number: re.Match[str]) -> str:
    digits = number[0].lstrip("0")
    return f"\0{chr(1 + len(digits))}{digits}"
