"""Lines of one's own in a file of others, between two marks: config.txt of the boot partition."""

from __future__ import annotations

import re

BEGIN = b"# >>> leuko: written by leuko firmware, do not edit up to the next mark"
END = b"# <<< leuko"

# a line is one of the marks also where an editor has given the file the line ends of Windows
_FENCE = re.compile(rb"^%b\r?\n(.*?)^%b(?:\r?\n|\r?\Z)" % (re.escape(BEGIN), re.escape(END)), re.M | re.S)
_MARK = re.compile(rb"^(?:%b|%b)\r?$" % (re.escape(BEGIN), re.escape(END)), re.M)


class FenceError(ValueError):
    """Marks that do not make one fence; the message is one line."""


def fenced(content: bytes, inside: bytes) -> bytes:
    """Put lines between the marks, at the end of a file that has none.

    Nothing else of the file changes; only a last line without an end gets one, since a mark begins a line.

    Parameters
    ----------
    inside : whole lines, none of them a mark

    Raises
    ------
    FenceError
        The file has a mark without the other, or more than one fence.
    """
    fence = BEGIN + b"\n" + inside + END + b"\n"
    found = _found(content)
    if found is None:
        end = b"" if content.endswith(b"\n") or not content else b"\n"
        return content + end + fence
    return content[: found.start()] + fence + content[found.end() :]


def unfenced(content: bytes) -> bytes:
    """Take the fence out, which is whole lines: all others stay as they are.

    Raises
    ------
    FenceError
        As `fenced` does.
    """
    return b"".join(outside(content))


def outside(content: bytes) -> tuple[bytes, bytes]:
    """What stands before and after the fence; without one, all of it is before.

    Raises
    ------
    FenceError
        As `fenced` does.
    """
    found = _found(content)
    return (content, b"") if found is None else (content[: found.start()], content[found.end() :])


def inside(content: bytes) -> bytes | None:
    """What stands between the marks; None without a fence.

    Raises
    ------
    FenceError
        As `fenced` does.
    """
    found = _found(content)
    return None if found is None else found[1]


def _found(content: bytes) -> re.Match[bytes] | None:
    marks = len(_MARK.findall(content))
    if not marks:
        return None
    found = _FENCE.search(content)
    if found is None or marks != 2:
        raise FenceError(
            f"has {marks} of the marks {BEGIN.decode()!r} and {END.decode()!r} instead of one pair: "
            "remove them and what stands between them by hand"
        )
    return found
