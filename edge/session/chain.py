"""The hash chain: each record's hash covers the record, its cells and the hash before it.

What is hashed is what the database holds, so that it can be computed again from the database alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

Row = Sequence[Any]
"""A row as SQLite returns it: text, numbers, bytes and None."""


def canonical(value: Any) -> str:
    """Spell a value as JSON in the one way that is hashed and stored.

    Raises
    ------
    ValueError
        For a number that is not finite: JSON has none.
    TypeError
        For what JSON cannot hold.
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def header_hash(content: str) -> bytes:
    """Hash a header's text: where the chain begins, 32 bytes."""
    return _sha256(b"leuko session header\n", content.encode())


def frame_hash(previous: bytes, frame: Row, cells: Sequence[Row]) -> bytes:
    """Hash a frame's row and those of its cells, in order, onto the hash before; blobs by their own hash.

    Raises
    ------
    ValueError
        For a number that is not finite.
    """
    # JSON has no bytes: they alone reach `default`
    said = json.dumps(
        [list(frame), [list(cell) for cell in cells]],
        separators=(",", ":"),
        allow_nan=False,
        default=sha256_hex,
    )
    return _sha256(b"leuko session frame\n", previous, said.encode())


def finish_hash(previous: bytes, content: str) -> bytes:
    """Hash the text of how a session ended onto the last hash: the seal."""
    return _sha256(b"leuko session finish\n", previous, content.encode())


def sha256_hex(blob: bytes) -> str:
    """Hash of a blob, as 64 hexadecimal digits."""
    return hashlib.sha256(blob).hexdigest()


def _sha256(*parts: bytes) -> bytes:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.digest()
