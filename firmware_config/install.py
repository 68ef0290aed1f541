"""Brings a tree onto a system, file by file, and takes it away again.

What was there before is kept in `BACKUP` and comes back when the tree is taken away. Every file is replaced
atomically, and whatever fails, all that was done is undone. `RECORD` is written before the first file
changes, so that after a power cut installing anew goes on and taking away still restores.
"""

from __future__ import annotations

import difflib
import glob
import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import Any

from edge.base import replaced_atomically
from firmware_config.fence import FenceError
from firmware_config.tree import PROFILE, Block, Edit, Entry, File, Link, Tree, Word

OWN = "etc/leuko"
FOLDER = str(PurePath(PROFILE).parent)
RECORD = f"{FOLDER}/installed.json"
BACKUP = f"{FOLDER}/backup"
VERSION = 1


class InstallError(Exception):
    """A system that cannot be installed on; the message is one line."""


class LostRecordError(InstallError):
    """An installation whose record is not there or cannot be read."""


class NotUndoneError(InstallError):
    """What failed could not be undone either."""


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
class InstallPlan:
    """What is to be done, found out without doing anything.

    Attributes
    ----------
    changes : in the order in which they are made
    edited : paths that somebody changed since they were installed, and that would change now
    kept : the record at the end
    before : the record now
    folders : on record, made by an earlier installation
    also : files and folders beside the tree that may be made or changed when all is in place
    """

    root: Path
    changes: tuple[Change, ...]
    edited: tuple[str, ...]
    kept: Mapping[str, Kept]
    before: Mapping[str, Kept]
    folders: tuple[str, ...]
    also: tuple[str, ...]


def plan_installation(
    root: Path, tree: Tree, *, also: Sequence[str] = (), rebuild: bool = False
) -> InstallPlan:
    """Compare a system with a tree that it is to have; with an empty one, everything is to be taken away.

    Parameters
    ----------
    also : see `Plan`
    rebuild : where the record of an earlier installation of this tree is lost, do with what can be told from
        what is there: what is as in the tree, or was copied, is ours

    Raises
    ------
    InstallError
        With one line, if something is in the way or leads out of the root, or the record is lost.
    OSError
        If the system cannot be read.
    """
    for path in also:
        _refuse_outside(root, PurePath(path))
    try:
        before, folders = _read_record(root)
    except LostRecordError:
        if not (rebuild and tree):
            raise
        before, folders = _guessed_record(root, tree)
    changes, edited, kept = [], [], {}
    for path in sorted({*tree, *before}):
        now = look(root, path)
        known = before.get(path)
        original = look(root, f"{BACKUP}/{path}") if known else now
        entry = tree.get(path)
        then: State | None
        with _naming(root / path):
            if entry is None:
                then = _restored(known, now, original)
            else:
                then = _wanted(entry, now)
                kept[path] = Kept(entry if isinstance(entry, Block | Word) else None, (then.digest,))
        if now == then:
            continue
        changes.append(Change(path, now, then))
        if known and known.edit is None and _digest(now) not in {*known.digests, _digest(original)}:
            edited.append(path)
    return InstallPlan(root, tuple(changes), tuple(edited), kept, before, folders, tuple(also))


@contextmanager
def _naming(place: Path) -> Iterator[None]:
    try:
        yield
    except FenceError as error:
        raise InstallError(f"{place}: {error}") from error


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
    """Refuse that there is none: what is edited are the boot partition's own files."""
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


def carry_out(planned: InstallPlan, finish: Callable[[], None] = lambda: None) -> None:
    """Do what was planned; whatever fails, undo all of it.

    Parameters
    ----------
    finish : called when all is in place; what it raises undoes the installation

    Raises
    ------
    NotUndoneError
        Something failed, and undoing it too.
    Exception
        What failed, after all was undone.
    """
    undo = ExitStack()
    try:
        _carry_out(planned, finish, undo)
    # also when stopped meanwhile: a device must not be left half installed; it goes on to the caller
    except BaseException as error:
        try:
            undo.close()
        except (OSError, InstallError) as second:
            raise NotUndoneError(
                f"{error}; undoing it failed too ({second}): mend that, then run leuko firmware uninstall"
            ) from error
        raise


def _carry_out(planned: InstallPlan, finish: Callable[[], None], undo: ExitStack) -> None:
    root, before, kept = planned.root, planned.before, planned.kept
    under_way = dict(kept)
    for path, known in before.items():
        new = kept.get(path)
        edit = new.edit if new else known.edit
        under_way[path] = Kept(edit, tuple(dict.fromkeys((*known.digests, *(new.digests if new else ())))))
    # on record before they are made
    paths = (RECORD, *(change.path for change in planned.changes))
    folders = {*planned.folders, *(folder for path in paths for folder in _missing(root, path))}
    put = _Put(root, undo)
    for path in kept.keys() - before.keys():
        put(f"{BACKUP}/{path}", look(root, path))
    put(RECORD, _record(under_way, folders))
    for change in planned.changes:
        put(change.path, change.then)
    for path in planned.also:
        put.watch(path)
    finish()
    copies = [found for found in (root / BACKUP).rglob("*") if found.is_symlink() or not found.is_dir()]
    for copy in copies:
        if str(copy.relative_to(root / BACKUP)) not in kept:
            put(str(copy.relative_to(root)), None)
    put(RECORD, _record(kept, folders))
    for path in {*before, *kept, RECORD}:
        _remove_partials(root / path)
    put.prune({*folders, *(os.path.relpath(folder, root) for folder, _, _ in os.walk(root / OWN))})
    there = {folder for folder in folders if (root / folder).is_dir()}
    put(RECORD, _record(kept, there))


class _Put:
    """Changes paths of a root, each so that `undo` takes the change back."""

    def __init__(self, root: Path, undo: ExitStack) -> None:
        self._root, self._undo = root, undo

    def __call__(self, path: str, state: State | None) -> None:
        now = look(self._root, path)
        if now == state:
            return
        place = self._root / path
        for folder in _missing(self._root, path):
            self._undo.callback(_remove_folder, self._root / folder)
            _make_folder(self._root / folder)
        self._undo.callback(_write, place, now)
        _write(place, state)

    def watch(self, path: str) -> None:
        """Take back also what others do to a file, or make of a path where nothing is."""
        place = self._root / path
        for folder in _missing(self._root, path):
            self._undo.callback(_remove_folder, self._root / folder)
        if not place.is_dir():
            self._undo.callback(_bring_back, self._root, path, look(self._root, path))

    def prune(self, folders: Iterable[str]) -> None:
        """Remove those of the folders that are empty."""
        for name in sorted(folders, reverse=True):
            folder = self._root / name
            if folder.is_dir() and not any(folder.iterdir()):
                self._undo.callback(_make_folder, folder)
                folder.rmdir()


def _missing(root: Path, path: str) -> list[str]:
    """Folders above a path that are not there, the outermost first."""
    above = [folder for folder in PurePath(path).parents if not (root / folder).is_dir()]
    return [str(folder) for folder in reversed(above)]


def _make_folder(folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)  # whatever the umask


def _remove_folder(folder: Path) -> None:
    if folder.is_dir():
        folder.rmdir()


def _bring_back(root: Path, path: str, was: State | None) -> None:
    place = root / path
    if place.is_dir():
        place.rmdir()
    elif look(root, path) != was:
        _write(place, was)


def look(root: Path, path: str) -> State | None:
    """Look what is at a path of a system.

    Raises
    ------
    InstallError
        It is neither a file nor a link, or its folder leads out of the root.
    """
    _refuse_outside(root, PurePath(path).parent)
    place = root / path
    try:
        found = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(found.st_mode):
        return State(str(place.readlink()))
    if not stat.S_ISREG(found.st_mode):
        raise InstallError(f"{place}: is in the way, being no file; move it away")
    return State(place.read_bytes(), stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def _refuse_outside(root: Path, path: PurePath) -> None:
    """Refuse a path that is, or on whose way is, a link out of the root."""
    for part in (*reversed(path.parents), path):
        place = root / part
        # not Path.resolve, which raises what is no OSError on links in a circle
        leads_to = Path(os.path.realpath(place))
        if not leads_to.is_relative_to(os.path.realpath(root)):
            raise InstallError(f"{place}: leads out of {root}, to {leads_to}; make it a relative link within")


def _write(place: Path, state: State | None) -> None:
    """Make of a path what it is to be, at once or not at all."""
    try:
        if state is None:
            place.unlink(missing_ok=True)
        elif isinstance(state.content, str):
            _link(place, state.content)
        else:
            _write_file(place, state, state.content)
    except OSError as error:
        # neither none, as of a full disk, nor the temporary file's beside it
        error.filename, error.filename2 = str(place), None
        raise


def _link(place: Path, target: str) -> None:
    partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
    try:
        partial.symlink_to(target)
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def _write_file(place: Path, state: State, content: bytes) -> None:
    with replaced_atomically(place) as file:
        made = os.fstat(file.fileno())
        # the boot partition's file system knows neither rights nor owners, and refuses to set them
        if (made.st_uid, made.st_gid) != (state.uid, state.gid):
            os.fchown(file.fileno(), state.uid, state.gid)
        if stat.S_IMODE(made.st_mode) != state.mode:
            os.fchmod(file.fileno(), state.mode)
        file.write(content)


def _remove_partials(place: Path) -> None:
    """Remove what a process that was killed while it wrote a file left beside it."""
    for partial in place.parent.glob(f".{glob.escape(place.name)}.*.partial"):
        partial.unlink()


def _record(kept: Mapping[str, Kept], folders: set[str]) -> State | None:
    if not kept:
        return None
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
    if state is None and look(root, PROFILE) is None:
        return {}, ()
    try:
        said = json.loads(_bytes(state))
        if said["version"] != VERSION:
            raise ValueError
        kept = {path: Kept(_edit(one), tuple(one["digests"])) for path, one in said["files"].items()}
        return kept, tuple(said["folders"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        why = "is missing" if state is None else "is no record of this leuko"
        raise LostRecordError(
            f"{root / RECORD}: {why}; leuko firmware install --overwrite writes it anew for the profile that "
            f"was installed, {root / PROFILE}"
        ) from error


def _guessed_record(root: Path, tree: Tree) -> tuple[dict[str, Kept], tuple[str, ...]]:
    kept = {}
    for path, entry in tree.items():
        now = look(root, path)
        with _naming(root / path):
            ours = now == _wanted(entry, now) or look(root, f"{BACKUP}/{path}")
        if ours:
            kept[path] = Kept(entry if isinstance(entry, Block | Word) else None, ())
    # empty folders without our name may be anybody's
    folders = {str(above) for path in kept for above in PurePath(path).parents if above.name == "leuko"}
    return kept, tuple(folders)


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
