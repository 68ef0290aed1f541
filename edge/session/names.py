"""Where sessions are, what they are called, which one an operator means, and a list of them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal

from edge.base import home
from edge.capture import camera_place
from edge.session.files import SessionError
from edge.session.record import Header
from edge.session.store import State, read_session

LATEST = "latest"
SUFFIX = ".db"

IDS_SHOWN = 6
"""Ids named where the beginning of one fits several."""

_FORMAT = "%Y-%m-%dT%H%M%SZ"
_ID = re.compile(r"(\d{4}-\d\d-\d\dT\d{6}Z)(\.damaged\d*)?", re.ASCII)
_SECOND = timedelta(seconds=1)


@dataclass(frozen=True)
class Listed:
    """A session in a list; `reason` states why it ended, or why it cannot be read.

    A damaged one could not be resumed and was set aside; it can be looked at.

    Attributes
    ----------
    header : Header or None
        Without parameters and stop rule, and with one source at most: it may hold half a million names.
    camera : str
        What the session counts, see `edge.capture.camera_place`; empty for files, whatever they are called.
    """

    id: str
    path: Path
    state: State | Literal["damaged", "unreadable"]
    header: Header | None
    frames: int
    cells: int
    reason: str
    resumable: bool
    camera: str = ""


def list_sessions(folder: Path | None = None) -> list[Listed]:
    """List the sessions of a folder, by default `sessions_folder`, newest first, the unreadable ones too."""
    folder = sessions_folder() if folder is None else folder
    return [_listed(one, path_of(one, folder)) for one in reversed(_ids(folder))]


def unfinished_sessions(folder: Path | None = None, *, camera: str = "") -> list[Path]:
    """Return the sessions with frames that can be resumed, newest first; those of `camera` if it is given."""
    return [
        one.path
        for one in list_sessions(folder)
        if one.resumable and one.frames and camera in ("", one.camera)
    ]


def _listed(session_id: str, path: Path) -> Listed:
    try:
        with read_session(path) as session:
            reason = session.finished.reason if session.finished else ""
            state, resumable = session.state, session.resumable
            counts = session.count_frames(), session.count_cells()
            whole = session.header
        is_camera = len(whole.sources) == 1 and whole.parameters.get("camera") is not None
        folder = str(whole.parameters.get("folder", ""))
        camera = camera_place(whole.sources[0], folder) if is_camera else ""
        header = replace(whole, parameters={}, stop_rule={}, sources=whole.sources[:1])
        if ".damaged" in session_id:
            reason = "set aside: it could not be resumed"
            return Listed(session_id, path, "damaged", header, *counts, reason, False, camera)
        return Listed(session_id, path, state, header, *counts, reason, resumable, camera)
    except SessionError as error:
        reason = str(error).removeprefix(f"{path}: ")
        return Listed(session_id, path, "unreadable", None, 0, 0, reason, False)


def sessions_folder() -> Path:
    """Return the folder of this user's, or this service's, sessions."""
    return home() / "sessions"


def path_of(session_id: str, folder: Path) -> Path:
    """Return the file of a session."""
    return folder / f"{session_id}{SUFFIX}"


def new_id(started: datetime, folder: Path) -> str:
    """Return the id of a session that starts now; it sorts after those of all sessions in the folder.

    It is the UTC second of the start. Where the clock is behind the newest session's, as on a device without
    a battery, ids continue from that one's, so that their order is always that of the sessions.
    """
    moment = started.astimezone(UTC).replace(microsecond=0)
    newest = _moment(known[-1]) if (known := _ids(folder)) else None
    if newest is not None:
        moment = max(moment, newest + _SECOND)
    return moment.strftime(_FORMAT)


def clock_note(session_id: str, started: datetime) -> str | None:
    """Return a sentence if a session's id is ahead of the clock that it started by, else None."""
    moment = _moment(session_id)
    if moment is None or moment - started <= 2 * _SECOND:
        return None
    return (
        f"the clock was behind that of an earlier session: {session_id} started at"
        f" {started.astimezone(UTC).strftime(_FORMAT)}; set the clock"
    )


def find_session(name: str, folder: Path | None = None) -> Path:
    """Return the file of the session that an operator means, or raise `SessionError`.

    A name is an id, the beginning of one, ``latest``, or the path of a file (with a ``/`` or ending in
    ``.db``). Ids are looked up in `folder`, by default `sessions_folder`.
    """
    if os.sep in name or name.endswith(SUFFIX):
        return Path(name)
    folder = sessions_folder() if folder is None else folder
    known = _ids(folder)
    if not known:
        raise SessionError(f"no session in {folder}: leuko count --session keeps one")
    if name == LATEST:
        return path_of(known[-1], folder)
    meant = [one for one in known if one.upper().startswith(name.upper())]
    meant = [one for one in meant if one.upper() == name.upper()] or meant
    if not meant:
        raise SessionError(f"no session {name!r}; `leuko sessions list` names all of them")
    if len(meant) > 1:
        more = ", …" if len(meant) > IDS_SHOWN else ""
        newest = ", ".join(meant[: -IDS_SHOWN - 1 : -1])
        raise SessionError(f"{len(meant)} sessions begin with {name!r}, give more of the id: {newest}{more}")
    return path_of(meant[0], folder)


def _ids(folder: Path) -> list[str]:
    """Return the ids of the sessions in a folder, oldest first; a folder that does not exist holds none."""
    try:
        names = [path.stem for path in folder.iterdir() if path.suffix == SUFFIX]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SessionError(f"{folder}: {error.strerror}") from error
    return sorted(name for name in names if _moment(name) is not None)


def _moment(session_id: str) -> datetime | None:
    """Return when an id says that its session started; None if it is not an id."""
    try:  # strptime alone would take one-digit months too
        found = _ID.fullmatch(session_id)
        return datetime.strptime(found[1], _FORMAT).replace(tzinfo=UTC) if found else None
    except ValueError:  # digits that are not a date
        return None
