"""The journal of an installation under way, by which a killed one is undone.

It is written before the first file changes and removed after the last: while it exists, the system is neither
the old nor the new one, and the count service does not start.
"""

from __future__ import annotations

import base64
import fcntl
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from firmware_config.state import (
    InstallError,
    State,
    check_relative,
    look,
    make_folder,
    missing_folders,
    put,
    remove_empty,
    remove_partials,
)

JOURNAL = "etc/.leuko-firmware-journal"
VERSION = 1

_LAST_ID = 2**32 - 2
"""Of users and groups: one more leaves them as they are (chown(2))."""


@contextmanager
def alone(root: Path) -> Iterator[None]:
    """Keep other installations off a root; raises InstallError if there is one."""
    descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise InstallError(f"{root}: another leuko firmware is at work on it; wait for its end") from error
    finally:
        os.close(descriptor)


def write_journal(root: Path, before: Mapping[str, State | None], folders: Iterable[str]) -> None:
    """Keep what is at each path to change, and the folders to make."""
    remove_partials(root / JOURNAL)
    states = {path: None if state is None else _as_json(state) for path, state in before.items()}
    missing = missing_folders(root, JOURNAL)
    raw = {"version": VERSION, "states": states, "folders": sorted({*folders, *missing})}
    for folder in missing:
        make_folder(root / folder)
    put(root / JOURNAL, State(json.dumps(raw).encode(), 0o600))
    sync_folders(root, [JOURNAL])


def remove_journal(root: Path) -> None:
    """Remove the journal: from then on, what is there is what should be there."""
    if interrupted(root):
        put(root / JOURNAL, None)
        sync_folders(root, [JOURNAL])


def interrupted(root: Path) -> bool:
    """Return whether an installation on a root was interrupted."""
    return look(root, JOURNAL, large=True) is not None


def roll_back(root: Path) -> None:
    """Undo an interrupted installation.

    Raises InstallError if its journal cannot be read, or something leads out of the root.
    """
    found = look(root, JOURNAL, large=True)
    try:
        raw = json.loads("" if found is None else found.content)
        if raw["version"] != VERSION:
            raise ValueError
        before = {path: None if state is None else _state(state) for path, state in raw["states"].items()}
        folders = [str(folder) for folder in raw["folders"]]
        check_relative((*before, *folders))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InstallError(
            f"{root / JOURNAL}: is not a journal of this leuko; remove it, and repeat what was interrupted"
        ) from error
    for path, state in before.items():
        if look(root, path) != state:
            for folder in missing_folders(root, path):
                make_folder(root / folder)
            put(root / path, state)
        remove_partials(root / path)
    remove_empty(root, folders)
    sync_folders(root, before)
    remove_journal(root)
    remove_empty(root, folders)  # what held the journal alone


def sync_folders(root: Path, paths: Iterable[str]) -> None:
    """Make what was done at the paths last through a power cut."""
    for folder in {(root / path).parent for path in paths}:
        if folder.is_dir():
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


def _as_json(state: State) -> dict[str, str | int]:
    content = state.content
    what = {"link": content} if isinstance(content, str) else {"file": base64.b64encode(content).decode()}
    return {**what, "mode": state.mode, "uid": state.uid, "gid": state.gid}


def _state(raw: Mapping[str, str | int]) -> State:
    content = str(raw["link"]) if "link" in raw else base64.b64decode(str(raw["file"]), validate=True)
    mode, uid, gid = raw["mode"], raw["uid"], raw["gid"]
    for number, most in ((mode, 0o7777), (uid, _LAST_ID), (gid, _LAST_ID)):
        if type(number) is not int or not 0 <= number <= most:
            raise ValueError
    return State(content, int(mode), int(uid), int(gid))
