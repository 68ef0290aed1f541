"""What an instrument's system gets: files, links, and edits of the boot partition's own files."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from firmware_config.fence import FenceError, fenced, unfenced
from firmware_config.state import InstallError, State

PROFILE = "etc/leuko/firmware/profile.toml"
"""Path of an instrument's profile, from the root; it appears after the record of the installation."""


@dataclass(frozen=True)
class File:
    """A file of root, readable by all."""

    content: bytes


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


class Edit(Protocol):
    """A change to a file that belongs to others."""

    def apply(self, content: bytes) -> bytes:
        """Make the change; a second time it changes nothing."""

    def revert(self, content: bytes, original: bytes) -> bytes:
        """Undo the change in what the file is now; `original` is what it was before."""


@dataclass(frozen=True)
class Block:
    """Lines in a fence, see `firmware_config.fence`; both methods raise its FenceError."""

    content: bytes

    def apply(self, content: bytes) -> bytes:
        """See `Edit`."""
        return fenced(content, self.content)

    def revert(self, content: bytes, original: bytes) -> bytes:
        """See `Edit`; a line end that `apply` added goes again if nobody changed anything."""
        left = unfenced(content)
        # an empty file got no line end
        added = original != b"" and not original.endswith(b"\n") and left == original + b"\n"
        return original if added else left


@dataclass(frozen=True)
class Word:
    """A word on the one line of the kernel's command line."""

    content: bytes

    def apply(self, content: bytes) -> bytes:
        """See `Edit`."""
        if self.content in content.split():
            return content
        line, end, rest = content.partition(b"\n")
        kept = line.rstrip()
        return kept + b" " + self.content + line[len(kept) :] + end + rest

    def revert(self, content: bytes, original: bytes) -> bytes:
        """See `Edit`."""
        if self.content in original.split():
            return content
        return re.sub(rb" %b(?!\S)" % re.escape(self.content), b"", content, count=1)


Entry = File | Link | Block | Word
Tree = Mapping[str, Entry]
"""Path from the root, without a leading slash → what is there."""


def wanted(entry: Entry, now: State | None, place: Path) -> State:
    """Return what an entry makes of what is at a place.

    Raises
    ------
    InstallError
        See `edited`.
    """
    if isinstance(entry, File):
        return State(entry.content)
    if isinstance(entry, Link):
        return State(entry.target)
    return edited(now, place, entry.apply)


def edited(now: State | None, place: Path, edit: Callable[[bytes], bytes]) -> State:
    """Return a file of others with its content changed.

    Raises InstallError if it is missing or a link, or its marks do not make one fence.
    """
    if now is None:
        raise InstallError(f"{place}: is missing; is the boot partition mounted?")
    if isinstance(now.content, str):
        raise InstallError(f"{place}: is a symbolic link; make it a file")
    try:
        return replace(now, content=edit(now.content))
    except FenceError as error:
        raise InstallError(f"{place}: {error}") from error
