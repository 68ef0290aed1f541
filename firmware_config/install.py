"""Brings a tree onto a system, file by file, and takes it away again.

What was there before is kept in `BACKUP` and comes back when the tree is taken away. Every file is replaced
atomically, and whatever fails, all that was done is undone. `RECORD` is written before the first file
changes, so that after a power cut installing anew goes on and taking away still restores.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.durable import replaced_atomically
from firmware_config.fence import FenceError
from firmware_config.tree import Block, Edit, Entry, File, Link, Tree, Word

FOLDER = "etc/leuko/firmware"
RECORD = f"{FOLDER}/installed.json"
BACKUP = f"{FOLDER}/backup"
VERSION = 1


class InstallError(Exception):
    """A system that cannot be installed on; the message is one line."""


@dataclass(frozen=True)
class State:
    """A file with its rights, or a symbolic link.

    Attributes
    ----------
    content : of a file; of a link its target
    mode, uid, gid : of a file
    """

    content: bytes | str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    @property
    def digest(self) -> str:
        """What tells it from others, whatever the rights."""
        if isinstance(self.content, str):
            return f"-> {self.content}"
        return hashlib.sha256(self.content).hexdigest()


@dataclass(frozen=True)
class Change:
    """What becomes of a path; None for nothing there."""

    path: str
    now: State | None
    then: State | None

    @property
    def verb(self) -> str:
        """In a word."""
        return "create" if self.now is None else "remove" if self.then is None else "change"


@dataclass(frozen=True)
class Kept:
    """What the record says of a path.

    Attributes
    ----------
    edit : how a file of others was changed; None for a file or link of ours
    digests : of what was put there; more than one while an installation is under way
    """

    edit: Edit | None
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What is to be done, found out without doing anything.

    Attributes
    ----------
    changes : in the order in which they are made
    edited : paths that somebody changed since they were installed, and that would change now
    kept : the record at the end
    before : the record now
    folders : on record, made by an earlier installation
    """

    root: Path
    changes: tuple[Change, ...]
    edited: tuple[str, ...]
    kept: Mapping[str, Kept]
    before: Mapping[str, Kept]
    folders: tuple[str, ...]


def plan(root: Path, tree: Tree) -> Plan:
    """Compare a system with a tree that it is to have; with an empty one, everything is to be taken away.

    Raises
    ------
    InstallError
        With one line, if something is in the way, or an earlier record cannot be read.
    OSError
        If the system cannot be read.
    """
    before, folders = _read_record(root)
    changes, edited, kept = [], [], {}
    for path in sorted({*tree, *before}):
        now = look(root, path)
        known = before.get(path)
        original = look(root, f"{BACKUP}/{path}") if known else now
        entry = tree.get(path)
        then: State | None
        try:
            if entry is None:
                then = _restored(known, now, original)
            else:
                then = _wanted(entry, now)
                kept[path] = Kept(entry if isinstance(entry, Block | Word) else None, (then.digest,))
        except FenceError as error:
            raise InstallError(f"{root / path}: {error}") from error
        if now == then:
            continue
        changes.append(Change(path, now, then))
        if known and known.edit is None and _digest(now) not in {*known.digests, _digest(original)}:
            edited.append(path)
    return Plan(root, tuple(changes), tuple(edited), kept, before, folders)


def _wanted(entry: Entry, now: State | None) -> State:
    if isinstance(entry, File):
        return State(entry.content)
    if isinstance(entry, Link):
        return State(entry.target)
    return replace(_file(now), content=entry.apply(_bytes(now)))


def _restored(known: Kept | None, now: State | None, original: State | None) -> State | None:
    if known is None or known.edit is None:
        return original
    return replace(_file(now), content=known.edit.revert(_bytes(now), _bytes(original or State(b""))))


def _file(state: State | None) -> State:
    """Refuse nothing at all: what is edited are the boot partition's own files, without which nothing boots."""
    if state is None:
        raise FenceError("is not there; is the boot partition mounted?")
    return state


def _bytes(state: State | None) -> bytes:
    content = _file(state).content
    if isinstance(content, str):
        raise FenceError("is a symbolic link; make it a file")
    return content


def _digest(state: State | None) -> str:
    return "" if state is None else state.digest


def carry_out(planned: Plan, finish: Callable[[], None] = lambda: None) -> None:
    """Do what was planned; whatever fails, undo all of it.

    Parameters
    ----------
    finish : called when all is in place; what it raises undoes the installation

    Raises
    ------
    Exception
        What failed, after all was undone.
    """
    root, before, kept = planned.root, planned.before, planned.kept
    under_way = dict(kept)
    for path, known in before.items():
        new = kept.get(path)
        edit = new.edit if new else known.edit
        under_way[path] = Kept(edit, tuple(dict.fromkeys((*known.digests, *(new.digests if new else ())))))
    with ExitStack() as undo:
        folders = set(planned.folders)
        put = _Put(root, undo, folders)
        for path in kept.keys() - before.keys():
            put(f"{BACKUP}/{path}", look(root, path))
        put(RECORD, _record(under_way, folders))
        for change in planned.changes:
            put(change.path, change.then)
        finish()
        for path in before.keys() - kept.keys():
            put(f"{BACKUP}/{path}", None)
        put(RECORD, None if not kept else _record(kept, folders))
        put.prune()
        put(RECORD, None if not kept else _record(kept, folders))
        undo.pop_all()


class _Put:
    """Changes paths of a root, each so that `undo` takes the change back; `folders` are those it made."""

    def __init__(self, root: Path, undo: ExitStack, folders: set[str]) -> None:
        self._root, self._undo, self._folders = root, undo, folders

    def __call__(self, path: str, state: State | None) -> None:
        now = look(self._root, path)
        if now == state:
            return
        place = self._root / path
        missing = [folder for folder in place.parents if not folder.is_dir()]
        for folder in reversed(missing):
            self._undo.callback(_remove_folder, folder)
            _make_folder(folder)
            self._folders.add(str(folder.relative_to(self._root)))
        self._undo.callback(_write, place, now)
        _write(place, state)

    def prune(self) -> None:
        """Remove the folders that it, or an earlier installation, made and that are empty now."""
        for name in sorted(self._folders, reverse=True):
            folder = self._root / name
            if folder.is_dir() and not any(folder.iterdir()):
                self._undo.callback(_make_folder, folder)
                folder.rmdir()
            if not folder.is_dir():
                self._folders.discard(name)


def _make_folder(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # whatever the umask


def _remove_folder(folder: Path) -> None:
    if folder.is_dir():
        folder.rmdir()


def look(root: Path, path: str) -> State | None:
    """Look what is at a path of a system.

    Raises
    ------
    InstallError
        It is neither a file nor a link, or its folder leads out of the root.
    """
    place = root / path
    if not place.parent.resolve().is_relative_to(root.resolve()):
        raise InstallError(f"{place}: its folder leads out of {root}; correct the link on the way")
    try:
        found = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(found.st_mode):
        return State(str(place.readlink()))
    if not stat.S_ISREG(found.st_mode):
        raise InstallError(f"{place}: is in the way, being no file; move it away")
    return State(place.read_bytes(), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def _write(place: Path, state: State | None) -> None:
    """Make of a path what it is to be, at once or not at all."""
    if state is None:
        place.unlink(missing_ok=True)
    elif isinstance(state.content, str):
        partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
        try:
            partial.symlink_to(state.content)
            partial.replace(place)
        finally:
            partial.unlink(missing_ok=True)
    else:
        with replaced_atomically(place) as file:
            made = os.fstat(file.fileno())
            # the boot partition's file system knows neither rights nor owners, and refuses to set them
            if (made.st_uid, made.st_gid) != (state.uid, state.gid):
                os.fchown(file.fileno(), state.uid, state.gid)
            if stat.S_IMODE(made.st_mode) != state.mode:
                os.fchmod(file.fileno(), state.mode)
            file.write(state.content)


def _record(kept: Mapping[str, Kept], folders: set[str]) -> State:
    files: dict[str, Any] = {}
    for path, one in sorted(kept.items()):
        files[path] = {"digests": list(one.digests)}
        if isinstance(one.edit, Word):
            files[path]["word"] = one.edit.content.decode()
        elif one.edit is not None:
            files[path]["block"] = True
    said = {"version": VERSION, "folders": sorted(folders), "files": files}
    return State((json.dumps(said, indent=1) + "\n").encode())


def _read_record(root: Path) -> tuple[dict[str, Kept], tuple[str, ...]]:
    state = look(root, RECORD)
    if state is None:
        return {}, ()
    try:
        said = json.loads(state.content)
        if said["version"] != VERSION:
            raise ValueError
        kept = {path: Kept(_edit(one), tuple(one["digests"])) for path, one in said["files"].items()}
        return kept, tuple(said["folders"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InstallError(
            f"{root / RECORD}: is no record of this leuko; restore the files below {root / BACKUP} by hand"
        ) from error


def _edit(said: Mapping[str, Any]) -> Edit | None:
    if "word" in said:
        return Word(said["word"].encode())
    return Block(b"") if "block" in said else None


def differences(changes: Sequence[Change]) -> Iterator[str]:
    """Yield the lines of a unified diff."""
    for change in changes:
        rows = [_rows(state) for state in (change.now, change.then)]
        yield f"{change.verb} /{change.path}"
        if None not in rows:
            now, then = (row or [] for row in rows)
            yield from difflib.unified_diff(now, then, f"/{change.path}", f"/{change.path}", lineterm="")
        if change.now and change.then and change.now.content == change.then.content:
            yield f"  mode and owner: {_rights(change.now)} becomes {_rights(change.then)}"


def _rows(state: State | None) -> list[str] | None:
    """Lines of a text; None for what is none."""
    if state is None:
        return []
    if isinstance(state.content, str):
        return [f"-> {state.content}"]
    try:
        text = state.content.decode()
    except UnicodeDecodeError:
        return None
    return None if "\0" in text else text.splitlines()


def _rights(state: State) -> str:
    return f"{state.mode:o} {state.uid}:{state.gid}"
