"""Carries out an installation, file by file, and undoes all of it if anything fails.

What was there before is kept in `BACKUP` and comes back when the tree is removed. Every file is replaced
atomically. After a kill or a power cut, the journal undoes all of it: see `firmware_config.journal`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path, PurePath

from firmware_config.journal import remove_journal, sync_folders, write_journal
from firmware_config.plan import InstallPlan
from firmware_config.record import BACKUP, RECORD, Kept, Record
from firmware_config.state import (
    InstallError,
    State,
    look,
    make_folder,
    missing_folders,
    put,
    refuse_outside,
    remove_empty,
    remove_folder,
    remove_partials,
)

OWN = "etc/leuko"


class NotUndoneError(InstallError):
    """A failure that could not be undone."""


def carry_out(plan: InstallPlan, finish: Callable[[], None] = lambda: None) -> None:
    """Carry out a plan; if anything fails, undo all of it.

    `finish` is called once all is in place, and its failure undoes the installation too. Raises what failed,
    after all was undone, or NotUndoneError if undoing failed too.
    """
    undo = ExitStack()
    try:
        _carry_out(plan, finish, undo)
    # an interrupt too: a device must not be left half installed; the exception reaches the caller
    except BaseException as error:
        try:
            undo.close()
            remove_journal(plan.root)
        except (OSError, InstallError) as second:
            raise NotUndoneError(
                f"{error}; undoing it failed too ({second}): repair that, then run leuko firmware uninstall "
                "--yes"
            ) from error
        raise


def _carry_out(plan: InstallPlan, finish: Callable[[], None], undo: ExitStack) -> None:
    root, before, after = plan.root, plan.before.kept, plan.after.kept
    steps = _Steps(root, undo)
    copies = [f"{BACKUP}/{path}" for path in after.keys() - before.keys()]
    stale = _stale_copies(root, after)
    paths = (*copies, *(change.path for change in plan.changes), *stale, RECORD)
    made = {folder for path in paths for folder in missing_folders(root, path)}
    if plan.changes or stale:
        write_journal(root, {path: look(root, path) for path in paths}, made)
    for path in copies:
        steps.put(path, look(root, path.removeprefix(f"{BACKUP}/")))
    for change in plan.changes:
        steps.put(change.path, change.then)
    for path in plan.also:
        steps.watch(path)
    finish()
    for path in stale:
        steps.put(path, None)
    folders = plan.before.folders | made
    steps.put(RECORD, Record(after, folders).state())
    for path in {*before, *after, RECORD}:
        remove_partials(root / path)
    own = {os.path.relpath(folder, root) for folder, _, _ in os.walk(root / OWN)}
    steps.prune(folders | own)
    there = frozenset(folder for folder in folders if (root / folder).is_dir())
    steps.put(RECORD, Record(after, there).state())
    sync_folders(root, paths)
    remove_journal(root)


def _stale_copies(root: Path, after: Mapping[str, Kept]) -> list[str]:
    """Return the copies of replaced files that no file of `after` needs."""
    refuse_outside(root, PurePath(BACKUP))
    found = [path for path in (root / BACKUP).rglob("*") if path.is_symlink() or not path.is_dir()]
    names = (str(path.relative_to(root / BACKUP)) for path in found)
    return [f"{BACKUP}/{name}" for name in names if name not in after]


class _Steps:
    """Changes paths of a root, each so that `undo` reverts the change."""

    def __init__(self, root: Path, undo: ExitStack) -> None:
        self._root, self._undo = root, undo

    def put(self, path: str, state: State | None) -> None:
        """Replace what is at a path; None removes it."""
        now = look(self._root, path)
        if now == state:
            return
        place = self._root / path
        for folder in missing_folders(self._root, path):
            self._undo.callback(remove_folder, self._root / folder)
            make_folder(self._root / folder)
        self._undo.callback(put, place, now)
        put(place, state)

    def watch(self, path: str) -> None:
        """Also revert what others do to a file, or create at a path where nothing is."""
        for folder in missing_folders(self._root, path):
            self._undo.callback(remove_folder, self._root / folder)
        if not (self._root / path).is_dir():
            self._undo.callback(_bring_back, self._root, path, look(self._root, path))

    def prune(self, folders: Iterable[str]) -> None:
        """Remove those of the folders that are empty."""
        remove_empty(self._root, folders, lambda folder: self._undo.callback(make_folder, folder))


def _bring_back(root: Path, path: str, was: State | None) -> None:
    place = root / path
    if place.is_dir():
        place.rmdir()
    elif look(root, path) != was:
        put(place, was)
