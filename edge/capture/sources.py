"""Files, folders and globs turned into the files to read."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from pathlib import Path

from edge.base import is_frame_file, natural_order


def list_files(sources: Sequence[str | Path], root: Path = Path()) -> list[Path]:
    """Return the files of the sources in reading order, each once.

    A folder gives its images and videos in natural order (``f2`` before ``f10``), without subfolders, hidden
    files and other suffixes (it may also hold a ``boxes.csv``). A glob gives its matches in natural order,
    each like a source of its own; ``**`` crosses folders. A source that gives nothing (missing, empty,
    unreadable) stays in the list, for `read_frames` to report. Relative sources start from the folder `root`
    and give paths relative to it.
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
