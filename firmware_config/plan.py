"""Plans an installation: compares a system with the tree that it is to have, and changes nothing."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

from firmware_config.journal import JOURNAL, interrupted
from firmware_config.record import (
    BACKUP,
    Kept,
    LostRecordError,
    Record,
    edit_of,
    guessed_record,
    read_record,
)
from firmware_config.state import InstallError, State, look, refuse_outside
from firmware_config.tree import Tree, edited, wanted


@dataclass(frozen=True)
class Change:
    """What becomes of a path; None for nothing there."""

    path: str
    now: State | None
    then: State | None

    @property
    def verb(self) -> str:
        """The change in one word."""
        return "create" if self.now is None else "remove" if self.then is None else "change"


@dataclass(frozen=True)
class InstallPlan:
    """What an installation will do.

    Attributes
    ----------
    edited : tuple of str
        Paths to change that somebody else has changed since they were installed.
    before, after : Record
        The record now and at the end; the folders are those of earlier installations.
    also : tuple of str
        Files and folders beside the tree that may be made or changed once all is in place.
    """

    root: Path
    changes: tuple[Change, ...]
    edited: tuple[str, ...]
    before: Record
    after: Record
    also: tuple[str, ...]


def plan_installation(
    root: Path, tree: Tree, *, also: Sequence[str] = (), rebuild: bool = False
) -> InstallPlan:
    """Compare a system with the tree that it is to have; an empty tree removes everything.

    With `rebuild`, a lost record of an earlier installation of this tree is reconstructed, see
    `guessed_record`. Raises InstallError if something is in the way or leads out of the root, the record is
    lost, or an earlier installation was interrupted.
    """
    if interrupted(root):
        raise InstallError(
            f"{root / JOURNAL}: an installation was interrupted; leuko firmware install, or uninstall, with "
            "--yes first undoes it"
        )
    for path in also:
        refuse_outside(root, PurePath(path))
    try:
        before = read_record(root)
    except LostRecordError:
        if not (rebuild and tree):
            raise
        before = guessed_record(root, tree)
    changes, edits, kept = [], [], {}
    for path in sorted({*tree, *before.kept}):
        now = look(root, path)
        known = before.kept.get(path)
        original = look(root, f"{BACKUP}/{path}") if known else now
        then: State | None
        if path in tree:
            then = wanted(tree[path], now, root / path)
            kept[path] = Kept(edit_of(tree[path]), (then.digest,))
        else:
            then = _restored(before.kept[path], now, original, root / path)
        if now == then:
            continue
        changes.append(Change(path, now, then))
        if known and known.edit is None and _digest(now) not in {*known.digests, _digest(original)}:
            edits.append(path)
    after = Record(kept, before.folders)
    return InstallPlan(root, tuple(changes), tuple(edits), before, after, tuple(also))


def _restored(known: Kept, now: State | None, original: State | None, place: Path) -> State | None:
    edit = known.edit
    if edit is None:
        return original
    was = original.content if original and isinstance(original.content, bytes) else b""
    return edited(now, place, lambda content: edit.revert(content, was))


def _digest(state: State | None) -> str:
    return "" if state is None else state.digest


MOST_COMPARED = 2000
"""Lines that are compared one by one, which takes time as their square."""

_CONTEXT = 3
_PLACE = re.compile(r"(?<=[-+])\d+")


def differences(changes: Sequence[Change]) -> Iterator[str]:
    """Yield the lines of a unified diff."""
    for change in changes:
        yield f"{change.verb} /{change.path}"
        if _is_text(change.now) and _is_text(change.then):
            now, then = _lines(change.now), _lines(change.then)
            yield from _unified(now, then, f"/{change.path}")
        if change.now and change.then and change.now.content == change.then.content:
            yield f"  mode and owner: {_rights(change.now)} becomes {_rights(change.then)}"


def _unified(now: Sequence[str], then: Sequence[str], name: str) -> Iterator[str]:
    """Yield a unified diff; only what is between the same beginning and end is compared, line by line."""
    shorter = min(len(now), len(then))
    same = next((k for k in range(shorter) if now[k] != then[k]), shorter)
    end = next((k for k in range(shorter - same) if now[-1 - k] != then[-1 - k]), shorter - same)
    first, behind = max(0, same - _CONTEXT), max(0, end - _CONTEXT)
    before, after = (one[first : len(one) - behind] for one in (now, then))
    if max(len(before), len(after)) > MOST_COMPARED:
        yield f"  {len(now):,} lines become {len(then):,}: too many differ to show them"
        return
    for line in difflib.unified_diff(before, after, name, name, n=_CONTEXT, lineterm=""):
        # the place of a hunk is that in the whole file
        yield _PLACE.sub(lambda at: str(int(at[0]) + first), line) if line.startswith("@@") else line


def _is_text(state: State | None) -> bool:
    if state is None or isinstance(state.content, str):
        return True
    try:
        return "\0" not in state.content.decode()
    except UnicodeDecodeError:
        return False


def _lines(state: State | None) -> list[str]:
    if state is None:
        return []
    if isinstance(state.content, str):
        return [f"-> {state.content}"]
    return state.content.decode().splitlines()


def _rights(state: State) -> str:
    return f"{state.mode:o} {state.uid}:{state.gid}"
