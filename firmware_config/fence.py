"""Leuko's own lines in a file of others, between two marks: config.txt of the boot partition."""

from __future__ import annotations

import re

BEGIN = b"# >>> leuko: written by leuko firmware, do not edit up to the next mark"
END = b"# <<< leuko"

# an editor may have given the file the line ends of Windows
_FENCE = re.compile(rb"^%b\r?\n(.*?)^%b(?:\r?\n|\r?\Z)" % (re.escape(BEGIN), re.escape(END)), re.M | re.S)
_MARK = re.compile(rb"^(?:%b|%b)\r?$" % (re.escape(BEGIN), re.escape(END)), re.M)


class FenceError(ValueError):
    """Marks that are not one pair; the message is one line."""


def fenced(content: bytes, inside: bytes) -> bytes:
    """Return a file with lines between the marks, at its end if it has no marks.

    Nothing else changes, except that a last line without a line end gets one: a mark begins a line.

    The lines are whole, and none is a mark. Raises FenceError if the file has one mark without the other, or
    more than one fence.
    """
    fence = BEGIN + b"\n" + inside + END + b"\n"
    found = _found(content)
    if found is None:
        end = b"" if content.endswith(b"\n") or not content else b"\n"
        return content + end + fence
    return content[: found.start()] + fence + content[found.end() :]


def unfenced(content: bytes) -> bytes:
    """Return a file without its fence; all other lines stay as they are.

    Raises FenceError as from `fenced`.
    """
    return b"".join(outside(content))


def outside(content: bytes) -> tuple[bytes, bytes]:
    """Return what is before and after the fence; without a fence, all of it is before.

    Raises FenceError as from `fenced`.
    """
    found = _found(content)
    return (content, b"") if found is None else (content[: found.start()], content[found.end() :])


def _found(content: bytes) -> re.Match[bytes] | None:
    marks = len(_MARK.findall(content))
    if not marks:
        return None
    found = _FENCE.search(content) if marks == 2 else None
    if found is None:
        raise FenceError(
            f"has {marks} of the marks {BEGIN.decode()!r} and {END.decode()!r} instead of one pair: "
            "remove them and the lines between them by hand"
        )
    return found
