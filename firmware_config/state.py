"""What is at a path of a system, and how it is changed: each path at once or not at all."""

from __future__ import annotations

import glob
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path, PurePath

from edge.base import partial_path, read_input, replaced_atomically
from firmware_config.hardware import RELEASES

_OWN_MOUNTS = (*{release.boot for release in RELEASES.values()}, "var/lib/leuko")
"""The boot partition, and the sessions' partition."""


MOST_BYTES = 1 << 20
"""Largest file that is kept, edited or replaced: settings, units and records."""
LARGE_MOST_BYTES = 384 << 20
"""The same for bundles, and for the journal with the largest one in base64."""


class InstallError(Exception):
    """A system that cannot be installed on; the message is one line."""


@dataclass(frozen=True)
class State:
    """A file, its content and rights, or a symbolic link, whose content is its target, a str."""

    content: bytes | str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0

    @property
    def digest(self) -> str:
        """What identifies the content, whatever the rights."""
        if isinstance(self.content, str):
            return f"-> {self.content}"
        return hashlib.sha256(self.content).hexdigest()


def look(root: Path, path: str, *, large: bool = False) -> State | None:
    """Return what is at a path of a system; None for nothing.

    Parameters
    ----------
    large : bool
        It may be as large as a bundle, which a path with a bundle's suffix always may.

    Raises InstallError if it is neither a file nor a link, cannot be read, or lies out of the root.
    """
    refuse_outside(root, PurePath(path).parent)
    place = root / path
    try:
        found = place.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(found.st_mode):
        return State(str(place.readlink()))
    if not stat.S_ISREG(found.st_mode):
        raise InstallError(f"{place}: is in the way and is not a file; move it away")
    try:
        large = large or path.endswith(".tflite")
        content = read_input(place, LARGE_MOST_BYTES if large else MOST_BYTES)
    except OSError as error:
        raise InstallError(f"{place}: cannot be read ({error.strerror}); move it away") from error
    return State(content, stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid)


def refuse_outside(root: Path, path: PurePath) -> None:
    """Raise InstallError for a path that is a link out of the root, or leads through one."""
    top, mounted = Path(os.path.realpath(root)), _mounts(root)
    for part in (*reversed(path.parents), path):
        place = root / part
        # Path.resolve raises RuntimeError, not OSError, on circular links
        target = Path(os.path.realpath(place))
        if not target.is_relative_to(top):
            raise InstallError(f"{place}: leads out of {root}, to {target}; make it a relative link within")
        if target in mounted and str(target.relative_to(top)) not in _OWN_MOUNTS:
            raise InstallError(f"{place}: is mounted into {root} from elsewhere; unmount it")


def check_relative(paths: Iterable[str]) -> None:
    """Raise ValueError for a path that is not from the root, or is not spelt as this program does."""
    for path in paths:
        spelt = path.isprintable() and os.path.normpath(path) == path
        if path in ("", ".") or path.startswith(("/", "..")) or not spelt:
            raise ValueError(f"{path!r} is not a path from the root")


def _mounts(root: Path) -> set[Path]:
    """Return what is mounted below a root that is not this machine's own, where nothing is elsewhere."""
    top = Path(os.path.realpath(root))
    if top == Path("/"):
        return set()
    rows = Path("/proc/self/mountinfo").read_bytes().splitlines()
    places = (re.sub(rb"\\([0-7]{3})", lambda m: bytes([int(m[1], 8)]), row.split()[4]) for row in rows)
    return {place for place in map(Path, map(os.fsdecode, places)) if top in place.parents}


def missing_folders(root: Path, path: str) -> list[str]:
    """Return the missing folders above a path, the outermost first."""
    above = [folder for folder in PurePath(path).parents if not (root / folder).is_dir()]
    return [str(folder) for folder in reversed(above)]


def make_folder(folder: Path) -> None:
    """Make a folder that everybody can read, whatever the umask."""
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)


def remove_empty(
    root: Path, folders: Iterable[str], before: Callable[[Path], object] = lambda folder: None
) -> None:
    """Remove those of the folders that are empty, and inside the root; `before` is called before each."""
    for name in sorted(folders, reverse=True):
        folder = root / name
        try:
            refuse_outside(root, PurePath(name))
        except InstallError:
            continue
        if folder.is_dir() and not (folder.is_symlink() or folder.is_mount() or any(folder.iterdir())):
            before(folder)
            folder.rmdir()


def remove_folder(folder: Path) -> None:
    """Remove an empty folder, if it exists."""
    if folder.is_dir():
        folder.rmdir()


def put(place: Path, state: State | None) -> None:
    """Replace what is at a path; None removes it.

    Raises OSError with the path itself as its file name.
    """
    try:
        if state is None:
            place.unlink(missing_ok=True)
        elif isinstance(state.content, str):
            _link(place, state.content)
        else:
            _write(place, state, state.content)
    except OSError as error:
        # a full disk gives no name, other errors that of the temporary file
        error.filename, error.filename2 = str(place), None
        raise


def _link(place: Path, target: str) -> None:
    partial = partial_path(place)
    try:
        partial.symlink_to(target)
        partial.replace(place)
    finally:
        partial.unlink(missing_ok=True)


def _write(place: Path, state: State, content: bytes) -> None:
    with replaced_atomically(place) as file:
        made = os.fstat(file.fileno())
        # the boot partition's file system has neither rights nor owners, and refuses to set them
        if (made.st_uid, made.st_gid) != (state.uid, state.gid):
            os.fchown(file.fileno(), state.uid, state.gid)
        if stat.S_IMODE(made.st_mode) != state.mode:
            os.fchmod(file.fileno(), state.mode)
        file.write(content)


def remove_partials(place: Path) -> None:
    """Remove the temporary files that a killed process left beside a file."""
    for partial in place.parent.glob(f".{glob.escape(place.name)}.*.partial"):
        partial.unlink()
