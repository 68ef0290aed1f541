"""A session without the folders of the machine that counted it: they may name a person or a project."""

from __future__ import annotations

import re
from bisect import bisect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

from edge.session import FrameRecord, Header, StoredSession

ABSOLUTE = re.compile(r"(?:\w+:)?(/.+)", re.DOTALL)
"""A path, or a camera that is a folder or a file, as ``watch:/data/new``."""

_BEGINNING = re.compile(r"(?<![^\s:'\"(,])/")
"""Where a path may begin in a text."""

_LONGEST = 4096
"""Characters of a folder: no system has longer ones."""


class WithoutPaths(StoredSession):
    """A session as it is stored, whose absolute paths begin in the working folder, or with what was named.

    So ``/home/anna/plate/1.png`` is ``plate/1.png`` where ``/home/anna`` was the working folder, or
    ``/home/anna/plate`` was counted from elsewhere.
    """

    def __init__(self, session: StoredSession) -> None:
        vars(self).update(vars(session))
        header = session.header
        self._working = header.parameters.get("folder")
        self._folders = _folders(header)
        self._starts = _outermost(f"{folder}/" for folder in self._folders)
        self._longest = max(map(len, self._starts), default=0)
        self.header = replace(
            header,
            sources=tuple(map(self._text, header.sources)),
            parameters=self._shortened(header.parameters),
            stop_rule=self._shortened(header.stop_rule),
        )

    @property
    def finished(self) -> Any:
        """How it ended; None if it has not."""
        finish = super().finished
        return finish and replace(
            finish, reason=self._text(finish.reason), result=self._shortened(finish.result)
        )

    def frames(self, *, crops: bool = False) -> Iterator[FrameRecord]:
        """Yield the records in order, with the cells' crops if `crops` is set."""
        for frame in super().frames(crops=crops):
            failed = None if frame.failed is None else self._text(frame.failed)
            yield replace(
                frame, name=self._text(frame.name), failed=failed, facts=self._shortened(frame.facts)
            )

    def _shortened(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {name: self._shortened(one) for name, one in value.items()}
        return [self._shortened(one) for one in value] if isinstance(value, list | tuple) else value

    def _text(self, text: str) -> str:
        if not self._folders or "/" not in text:
            return text
        if text == self._working:
            return "."
        kept, at = [], 0
        for found in _BEGINNING.finditer(text):
            begin = found.start()
            path = text[begin : begin + self._longest]
            # none begins with another one: of those before the path in their order only the last may begin it
            row = bisect(self._starts, path) - 1
            if begin >= at and row >= 0 and path.startswith(self._starts[row]):
                kept.append(text[at:begin])
                at = begin + len(self._starts[row])
        return "".join([*kept, text[at:]])


def _folders(header: Header) -> set[str]:
    """Return the folders that names may begin with: the working folder, and those above what was named."""
    others = dict(header.parameters)
    working = others.pop("folder", None)
    named = {ABSOLUTE.fullmatch(text) for text in _texts([header.sources, others])}
    above = {str(PurePosixPath(path[1]).parent) for path in named if path}
    folders = above | ({working} if isinstance(working, str) and working.startswith("/") else set())
    return {folder for folder in folders - {"/"} if len(folder) < _LONGEST}


def _outermost(starts: Iterable[str]) -> list[str]:
    """Return those that begin with no other one, sorted."""
    kept: list[str] = []
    for start in sorted(starts):
        if not kept or not start.startswith(kept[-1]):
            kept.append(start)
    return kept


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(one)
