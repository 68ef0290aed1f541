"""Where sessions are, what they are called, and which one an operator means."""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

from edge.base import home
from edge.session.errors import SessionError

LATEST = "latest"
SUFFIX = ".db"

_FORMAT = "%Y-%m-%dT%H%M%SZ"
_ID = re.compile(r"\d{4}-\d\d-\d\dT\d{6}Z", re.ASCII)
_SECOND = timedelta(seconds=1)


def sessions_folder() -> Path:
    """Where this user's, or this service's, sessions are."""
    return home() / "sessions"


def ids(folder: Path) -> list[str]:
    """Name the sessions in a folder, oldest first; other files there are passed over.

    Raises
    ------
    SessionError
        If the folder cannot be read; one that does not exist holds none.
    """
    try:
        names = [path.stem for path in folder.iterdir() if path.suffix == SUFFIX]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise SessionError(f"{folder}: {error.strerror}") from error
    return sorted(name for name in names if _moment(name) is not None)


def path_of(session_id: str, folder: Path) -> Path:
    """File of a session."""
    return folder / f"{session_id}{SUFFIX}"


def new_id(started: datetime, folder: Path) -> str:
    """Name a session that starts now; the name comes after those of all sessions in the folder.

    It is the UTC second of the start. Where the clock is behind the newest session's, as on a device without
    a battery, names count on from that one's, so that their order is always that of the sessions.
    """
    moment = started.astimezone(UTC).replace(microsecond=0)
    newest = _moment(known[-1]) if (known := ids(folder)) else None
    if newest is not None:
        moment = max(moment, newest + _SECOND)
    return moment.strftime(_FORMAT)


def clock_note(session_id: str, started: datetime) -> str | None:
    """Say so if a session's id is ahead of the clock that it started by, else None."""
    moment = _moment(session_id)
    if moment is None or moment - started <= 2 * _SECOND:
        return None
    return (
        f"the clock was behind that of an earlier session: {session_id} started at"
        f" {started.astimezone(UTC).strftime(_FORMAT)}; set the clock"
    )


def find_session(name: str, folder: Path | None = None) -> Path:
    """Find the session that an operator means.

    Parameters
    ----------
    name : an id, the beginning of one, ``latest``, or the path of a file (with a ``/`` or ending in ``.db``)
    folder : where ids are looked for; by default `sessions_folder`

    Raises
    ------
    SessionError
        If there is none, or more than one.
    """
    if os.sep in name or name.endswith(SUFFIX):
        return Path(name)
    folder = sessions_folder() if folder is None else folder
    known = ids(folder)
    if not known:
        raise SessionError(f"no session in {folder}")
    if name == LATEST:
        return path_of(known[-1], folder)
    meant = [one for one in known if one.startswith(name.upper())]
    if not meant:
        raise SessionError(f"no session {name!r}; `leuko sessions list` names those that there are")
    if len(meant) > 1:
        raise SessionError(f"{name!r} begins {len(meant)} sessions, from {meant[0]} to {meant[-1]}: say more")
    return path_of(meant[0], folder)


def _moment(session_id: str) -> datetime | None:
    """When an id says that its session started; None for what is no id."""
    try:  # strptime alone would take one-digit months too
        return (
            datetime.strptime(session_id, _FORMAT).replace(tzinfo=UTC) if _ID.fullmatch(session_id) else None
        )
    except ValueError:  # digits that are no date
        return None
