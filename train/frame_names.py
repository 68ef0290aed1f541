"""Which image a table means by the name of a frame: by its path, as far as that is known on both sides."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence


def match_frames(named: Iterable[str], files: Sequence[str]) -> dict[str, str]:
    """Return the frame (a file, or ``file#k`` of a stack) for each name in a table that one of the files has.

    Of several files of the same name, the one that shares most of the path with the table's is meant, and of
    several names in the table the one that shares most with the file. So a folder may have been moved, and
    two folders may hold files of the same name.

    Raises
    ------
    ValueError
        If several files, or several names, share as much.
    """
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for file in files:
        by_name[_parts(file)[-1]].append(file)
    meant: dict[str, tuple[str, int]] = {}
    for name in dict.fromkeys(named):
        whole, page = name, ""
        if _last(name) not in by_name and (found := re.search(r"#\d+$", name)):
            whole, page = name[: found.start()], found[0]
        shared = {file: _shared(whole, file) for file in by_name.get(_last(whole), ())}
        best = [file for file, n in shared.items() if n == max(shared.values())]
        if len(best) > 1:
            raise ValueError(
                f"{name} may be {best[0]} or {best[1]}: write its folder into the column frame, or name one "
                "folder"
            )
        if best:
            meant[name] = (best[0] + page, shared[best[0]])
    return _closest(meant)


def _closest(meant: dict[str, tuple[str, int]]) -> dict[str, str]:
    """Return for each frame the one name that shares most with it."""
    by_frame: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for name, (frame, n) in meant.items():
        by_frame[frame].append((n, name))
    closest = {}
    for frame, names in by_frame.items():
        (most, first), *others = sorted(names, key=lambda item: -item[0])
        # a name that is the end of the frame's path fits too
        alike = [name for n, name in others if n == most or n == len(_parts(name))]
        if alike:
            raise ValueError(
                f"{frame} may be {first} or {alike[0]} of the table: name the folder that holds both, or "
                "give each a table of its own"
            )
        closest[first] = frame
    return closest


def _shared(name: str, file: str) -> int:
    """Return how many parts at the end of two paths are the same."""
    theirs, ours = _parts(name), _parts(os.path.abspath(file))  # noqa: PTH100 (pathlib keeps ..)
    n = 0
    while n < min(len(theirs), len(ours)) and theirs[-1 - n] == ours[-1 - n]:
        n += 1
    return n


def _parts(path: str) -> list[str]:
    """Return the parts of a path, whichever system wrote it."""
    return [part for part in path.replace("\\", "/").split("/") if part not in ("", ".")] or [""]


def _last(path: str) -> str:
    return _parts(path)[-1]
