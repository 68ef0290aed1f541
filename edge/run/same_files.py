"""Whether the files of a resumed count are those that it began with, and in words what has changed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from edge.base import FailedFrame, Frame, frame_name, quantity
from edge.capture import Encoded, list_files
from edge.run.config import CountConfig

NAMES_SHOWN = 3

AGAIN = "and resume, or begin a new count"


def file_names(sources: Sequence[str], root: Path = Path()) -> tuple[str, ...]:
    """Return the names of the files of the sources, in reading order."""
    return tuple(map(frame_name, list_files(sources, root)))


def files_remark(config: CountConfig) -> str:
    """Return a remark on files that were added or removed since the count began; empty without any."""
    if config.files is None:
        return ""
    then, now = config.files, file_names(config.sources, config.root)
    before, after = set(then), set(now)
    changes = (
        _listed([name for name in now if name not in before], "added"),
        _listed([name for name in then if name not in after], "removed"),
    )
    if not any(changes):
        return ""
    said = " and ".join(filter(None, changes))
    return f"since the session began {said}: not the results of a count without an interruption"


def _listed(names: Sequence[str], done: str) -> str:
    if not names:
        return ""
    more = ", …" if len(names) > NAMES_SHOWN else ""
    files = quantity(len(names), "file was", "files were")
    return f"{files} {done} ({', '.join(names[:NAMES_SHOWN])}{more})"


def why_other(
    name: str,
    sha256: str | None,
    frame: Encoded | Frame | FailedFrame | None,
    now_sha256: str,
    config: CountConfig,
) -> str:
    """Return why a frame is not the one that was counted in its place, and what to do; empty if it is.

    Parameters
    ----------
    name, sha256
        Of the frame that was counted; no hash if it could not be read.
    frame
        What is read now in its place, if anything, with its hash `now_sha256`.
    """
    if frame is not None and frame.name == name:
        if sha256 is None or sha256 == now_sha256:
            return ""
        if isinstance(frame, FailedFrame):
            return f"{name} was counted, and cannot be read any more ({frame.reason}): put it back {AGAIN}"
        return f"{name} has changed since it was counted: put it back as it was {AGAIN}"
    then, now = set(config.files or ()), set(file_names(config.sources, config.root))
    gone = _file(name, then) not in now
    other = None if frame is None else _file(frame.name, now)
    if gone and isinstance(frame, FailedFrame):
        return f"{name} was counted and is gone ({frame.name}: {frame.reason}): put it back {AGAIN}"
    if gone and other is not None and other not in then:
        return (
            f"{name} was counted and is gone, and {other} is new: if it was renamed, rename it back {AGAIN}"
        )
    if gone:
        return f"{name} was counted and is gone: put it back {AGAIN}"
    if other is not None and other not in then:
        return f"{other} is new and comes before {name}, which was counted: move it elsewhere {AGAIN}"
    return f"{name} was counted here, and now there is {other or 'nothing'}: put all files back {AGAIN}"


def _file(frame: str, files: set[str]) -> str:
    """Return the file of a frame, which may be one of several in its file."""
    return frame if frame in files else re.sub(r"#\d+$", "", frame)
