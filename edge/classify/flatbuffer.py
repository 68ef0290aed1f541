"""Reads FlatBuffers, in which TFLite models are stored: tables, and their fields by number."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Self

MOST_TABLES = 10_000
"""Tables of one list; the largest network that is trained here has 500 tensors."""


@dataclass(frozen=True)
class Table:
    """A table at a place of the bytes; its methods raise a ValueError where it points out of them."""

    data: bytes
    at: int

    @classmethod
    def root(cls, data: bytes) -> Self:
        """Return the table that holds all others."""
        return cls(data, _number(data, "I", 0))

    def number(self, field: int, kind: str = "i", default: int = 0) -> int:
        """Return a number; `kind` is a format character of `struct`."""
        place = self._place(field)
        return _number(self.data, kind, place) if place else default

    def numbers(self, field: int, kind: str = "i", most: int = 16) -> tuple[int, ...]:
        """Return the numbers of a list of at most so many."""
        place, length = self._list(field)
        if length > most:
            raise ValueError("a list of the model is too long")
        return tuple(_number(self.data, kind, place + k * struct.calcsize(kind)) for k in range(length))

    def length(self, field: int) -> int:
        """Return the length of a list."""
        return self._list(field)[1]

    def content(self, field: int) -> bytes:
        """Return a list of bytes."""
        place, length = self._list(field)
        if place + length > len(self.data):
            raise ValueError("the model ends before its weights do")
        return self.data[place : place + length]

    def table(self, field: int) -> Self | None:
        """Return a table; None if it is not there."""
        place = self._place(field)
        return self._behind(place) if place else None

    def tables(self, field: int) -> list[Self]:
        """Return the tables of a list."""
        place, length = self._list(field)
        if length > MOST_TABLES:
            raise ValueError("a list of the model is too long")
        return [self._behind(place + 4 * k) for k in range(length)]

    def _behind(self, place: int) -> Self:
        return type(self)(self.data, place + _number(self.data, "I", place))

    def _list(self, field: int) -> tuple[int, int]:
        """Return the place and the length of a list; it may be missing."""
        place = self._place(field)
        if not place:
            return 0, 0
        start = place + _number(self.data, "I", place)
        return start + 4, _number(self.data, "I", start)

    def _place(self, field: int) -> int:
        """Return the place of a field; 0 if the table does not have it."""
        known = self.at - _number(self.data, "i", self.at)
        slot = 4 + 2 * field
        offset = _number(self.data, "H", known + slot) if slot < _number(self.data, "H", known) else 0
        return self.at + offset if offset else 0


def _number(data: bytes, kind: str, at: int) -> int:
    if not 0 <= at <= len(data) - struct.calcsize(kind):
        raise ValueError("the model points out of its file")
    return int(struct.unpack_from(f"<{kind}", data, at)[0])
