"""Carries out an installation, file by file, and undoes all of it if anything fails.

What was there before is kept in `BACKUP` and comes back when the tree is removed. Every file is replaced
atomically. `RECORD` is written before the first file changes, so that after a power cut a second installation
completes the first, and removing it still restores everything.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from firmware_config.plan import InstallPlan
from firmware_config.record import BACKUP, RECORD, Kept, Record
from firmware_config.state import (
    InstallError,
    State,
    look,
    make_folder,
    missing_folders,
    put,
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
        except (OSError, InstallError) as second:
            raise NotUndoneError(
                f"{error}; undoing it failed too ({second}): repair that, then run leuko firmware uninstall"
            ) from error
        raise


def _carry_out(plan: InstallPlan, finish: Callable[[], None], undo: ExitStack) -> None:
    root, before, after = plan.root, plan.before.kept, plan.after.kept
    steps = _Steps(root, undo)
    under_way = _under_way(plan)
    for path in after.keys() - before.keys():
        steps.put(f"{BACKUP}/{path}", look(root, path))
    steps.put(RECORD, under_way.state())
    for change in plan.changes:
        steps.put(change.path, change.then)
    for path in plan.also:
        steps.watch(path)
    finish()
    copies = [found for found in (root / BACKUP).rglob("*") if found.is_symlink() or not found.is_dir()]
    for copy in copies:
        if str(copy.relative_to(root / BACKUP)) not in after:
            steps.put(str(copy.relative_to(root)), None)
    steps.put(RECORD, replace(under_way, kept=after).state())
    for path in {*before, *after, RECORD}:
        remove_partials(root / path)
    own = {os.path.relpath(folder, root) for folder, _, _ in os.walk(root / OWN)}
    steps.prune(under_way.folders | own)
    there = frozenset(folder for folder in under_way.folders if (root / folder).is_dir())
    steps.put(RECORD, Record(after, there).state())


def _under_way(plan: InstallPlan) -> Record:
    """Return the record while files change: it knows each file before and after, and all folders to make."""
    kept = dict(plan.after.kept)
    for path, old in plan.before.kept.items():
        new = plan.after.kept.get(path, Kept(old.edit, ()))
        kept[path] = Kept(new.edit, tuple(dict.fromkeys((*old.digests, *new.digests))))
    paths = (RECORD, *(change.path for change in plan.changes))
    made = {folder for path in paths for folder in missing_folders(plan.root, path)}
    return Record(kept, plan.before.folders | made)


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
        for name in sorted(folders, reverse=True):
            folder = self._root / name
            if folder.is_dir() and not any(folder.iterdir()):
                self._undo.callback(make_folder, folder)
                folder.rmdir()


def _bring_back(root: Path, path: str, was: State | None) -> None:
    place = root / path
    if place.is_dir():
        place.rmdir()
    elif look(root, path) != was:
        put(place, was)
