"""What an instrument's system gets: files, links, and changes of the boot partition's own files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from firmware_config import fence


@dataclass(frozen=True)
class File:
    """A file of root, readable for all."""

    content: bytes


@dataclass(frozen=True)
class Link:
    """A symbolic link."""

    target: str


class Edit(Protocol):
    """A change of a file that belongs to others; bytes of a file in and out, None for no file."""

    def apply(self, content: bytes | None) -> bytes | None:
        """Make the change; made already, it changes nothing."""

    def revert(self, content: bytes | None, original: bytes | None) -> bytes | None:
        """Undo the change in what the file is now; `original` is what it was before."""


@dataclass(frozen=True)
class Block:
    """Lines in a fence, `content`; see `firmware_config.fence`, also for what is raised."""

    content: bytes

    def apply(self, content: bytes | None) -> bytes:
        """See `Edit`."""
        return fence.fenced(content or b"", self.content)

    def revert(self, content: bytes | None, original: bytes | None) -> bytes | None:
        """See `Edit`."""
        if content is None:
            return None
        left = fence.unfenced(content)
        return left if left or original is not None else None


@dataclass(frozen=True)
class Word:
    """A word, `content`, on the one line of the kernel's command line; without that file there is none."""

    content: bytes

    def apply(self, content: bytes | None) -> bytes | None:
        """See `Edit`."""
        if content is None or self.content in content.split():
            return content
        line, end, rest = content.partition(b"\n")
        kept = line.rstrip()
        return kept + b" " + self.content + line[len(kept) :] + end + rest

    def revert(self, content: bytes | None, original: bytes | None) -> bytes | None:
        """See `Edit`."""
        if content is None or (original is not None and self.content in original.split()):
            return content
        return re.sub(rb" %b(?!\S)" % re.escape(self.content), b"", content, count=1)


Entry = File | Link | Block | Word
Tree = Mapping[str, Entry]
"""Path from the root, without a leading slash → what is there."""
