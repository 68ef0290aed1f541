"""The sessions of a folder at a glance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from edge.session import names
from edge.session.errors import SessionError
from edge.session.files import read_session
from edge.session.record import Header
from edge.session.store import State


@dataclass(frozen=True)
class Listed:
    """A session as a list shows it.

    Attributes
    ----------
    id, path : its name and its file
    state : ``counting``: a process writes it now; ``unfinished``: it can be gone on with; ``finished``;
        ``unreadable``
    header : what it says of itself; None if it cannot be read
    frames, cells : records so far, and cells in them
    reason : why it ended, or why it cannot be read, in words; empty if it goes on
    """

    id: str
    path: Path
    state: State | Literal["unreadable"]
    header: Header | None
    frames: int
    cells: int
    reason: str


def list_sessions(folder: Path | None = None) -> list[Listed]:
    """List the sessions of a folder, by default `names.sessions_folder`.

    Raises
    ------
    SessionError
        If the folder cannot be read. A file that cannot is listed, with the reason.
    """
    folder = names.sessions_folder() if folder is None else folder
    return [_listed(one, names.path_of(one, folder)) for one in reversed(names.ids(folder))]


def unfinished_sessions(folder: Path | None = None) -> list[Path]:
    """Find the sessions with frames that can be gone on with, newest first; see `newest_first`."""
    return [one.path for one in list_sessions(folder) if one.state == "unfinished" and one.frames]


def _listed(session_id: str, path: Path) -> Listed:
    try:
        with read_session(path) as session:
            state, finished = session.state, session.finished
            counted = session.header, session.count_frames(), session.count_cells()
    except SessionError as error:
        return Listed(session_id, path, "unreadable", None, 0, 0, str(error).removeprefix(f"{path}: "))
    return Listed(session_id, path, state, *counted, finished.reason if finished else "")
