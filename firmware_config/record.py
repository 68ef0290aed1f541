"""The record of an installation: what was put where, and which folders were made for it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from typing import Any

from firmware_config.state import InstallError, State, check_relative, look
from firmware_config.tree import PROFILE, Block, Edit, Entry, Tree, Word, wanted

FOLDER = str(PurePath(PROFILE).parent)
RECORD = f"{FOLDER}/installed.json"
BACKUP = f"{FOLDER}/backup"
VERSION = 1


class LostRecordError(InstallError):
    """An installation whose record is missing or cannot be read."""


@dataclass(frozen=True)
class Kept:
    """How a file of others was edited (None for leuko's own), and the digests of what was put there."""

    edit: Edit | None
    digests: tuple[str, ...]


@dataclass(frozen=True)
class Record:
    """What was put where, by path, and the folders that were made for it."""

    kept: Mapping[str, Kept] = field(default_factory=dict)
    folders: frozenset[str] = frozenset()

    def state(self) -> State | None:
        """Return the record's file; None if nothing is installed."""
        if not self.kept:
            return None
        files: dict[str, Any] = {}
        for path, one in sorted(self.kept.items()):
            files[path] = {"digests": list(one.digests)}
            if isinstance(one.edit, Word):
                files[path]["word"] = one.edit.content.decode()
            elif one.edit is not None:
                files[path]["block"] = True
        raw = {"version": VERSION, "folders": sorted(self.folders), "files": files}
        return State((json.dumps(raw, indent=1) + "\n").encode())


def read_record(root: Path) -> Record:
    """Read the record of a system; an empty one if nothing is installed.

    Raises LostRecordError if something is installed, and the record is missing or cannot be read.
    """
    state = look(root, RECORD)
    if state is None and look(root, PROFILE) is None:
        return Record()
    try:
        raw = json.loads("" if state is None else state.content)
        if raw["version"] != VERSION:
            raise ValueError
        kept = {path: Kept(_edit(one), tuple(one["digests"])) for path, one in raw["files"].items()}
        folders = frozenset(raw["folders"])
        check_relative((*kept, *folders))
        return Record(kept, folders)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = "is missing" if state is None else "is not a record of this leuko"
        raise LostRecordError(
            f"{root / RECORD}: {why}; leuko firmware install --overwrite writes it again from the installed "
            f"profile, {root / PROFILE}"
        ) from error


def guessed_record(root: Path, tree: Tree) -> Record:
    """Reconstruct a lost record from a system: what is as in the tree, or was copied, is leuko's own."""
    kept = {}
    for path, entry in tree.items():
        now = look(root, path)
        if now == wanted(entry, now, root / path) or look(root, f"{BACKUP}/{path}"):
            kept[path] = Kept(edit_of(entry), ())
    # empty folders of other names may be anybody's
    folders = {str(above) for path in kept for above in PurePath(path).parents if above.name == "leuko"}
    return Record(kept, frozenset(folders))


def edit_of(entry: Entry) -> Edit | None:
    """Return the edit of a file of others; None for a file or link of leuko's own."""
    return entry if isinstance(entry, Block | Word) else None


def _edit(raw: Mapping[str, Any]) -> Edit | None:
    if "word" in raw:
        return Word(raw["word"].encode())
    return Block(b"") if "block" in raw else None
