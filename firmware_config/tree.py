"""What an instrument's system gets: files, links, and changes of the boot partition's own files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from firmware_config import fence

PROFILE = "etc/leuko/firmware/profile.toml"
"""Path of an instrument's profile, from the root; it is not there before the record of the installation."""


@dataclass(frozen=True)
class File:
    """A file of root, readable for all."""

    content: bytes


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


class Edit(Protocol):
    """A change of a file that belongs to others."""

    def apply(self, content: bytes) -> bytes:
        """Make the change; made already, it changes nothing."""

    def revert(self, content: bytes, original: bytes) -> bytes:
        """Undo the change in what the file is now; `original` is what it was before."""


@dataclass(frozen=True)
class Block:
    """Lines in a fence, `content`; see `firmware_config.fence`, also for what is raised."""

    content: bytes

    def apply(self, content: bytes) -> bytes:
        """See `Edit`."""
        return fence.fenced(content, self.content)

    def revert(self, content: bytes, original: bytes) -> bytes:
        """See `Edit`; the end that a last line was given goes again if nobody changed a thing."""
        left = fence.unfenced(content)
        # a file without a line was given none
        given = original != b"" and not original.endswith(b"\n") and left == original + b"\n"
        return original if given else left


@dataclass(frozen=True)
class Word:
    """A word, `content`, on the one line of the kernel's command line."""

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
