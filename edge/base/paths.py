"""The folder of leuko's state."""

from __future__ import annotations

import errno
import os
import pwd
from pathlib import Path


def home() -> Path:
    """Return the folder of leuko's state: ``$LEUKO_HOME``, or ``leuko`` in the user's XDG state folder.

    A relative ``$XDG_STATE_HOME`` is ignored, as XDG asks, and so is a relative or empty ``$HOME``, which
    would depend on the working directory: the system's list of users then names the home folder.

    Raises
    ------
    OSError
        If there is no home folder, or ``$LEUKO_HOME`` is a file.
    """
    if named := os.environ.get("LEUKO_HOME"):
        if Path(named).is_file():
            raise OSError(errno.ENOTDIR, "a file: set LEUKO_HOME to a folder", named)
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if state.startswith("/") else _users_home() / ".local" / "state"
    return folder / "leuko"


def _users_home() -> Path:
    named = Path(os.environ.get("HOME", ""))
    try:
        home = named if named.is_absolute() else Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a container's user without a name
        home = named
    if not home.is_absolute():
        raise OSError(errno.ENOENT, "no home folder: set LEUKO_HOME to the folder of leuko's state")
    return home
