"""Stored ZIP archives with one encoding: the same members give the same bytes, and only those are read.

The standard library's writer may change from one Python to the next, and its reader is lenient by design;
here the bytes are part of what a bundle's hash and signature cover.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping

# PKWARE's APPNOTE 6.3: local file header, central directory header, end of central directory
_LOCAL = struct.Struct("<4s5H3L2H")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_END = struct.Struct("<4s4H2LH")
_VERSION, _UNIX = 20, 3 << 8
_FIRST_DAY = 0x21
"""1980-01-01, the format's earliest: members carry no time."""
_READ_WRITE = 0o600 << 16


def pack(members: Mapping[str, bytes], start: int = 0) -> bytes:
    """Encode members in their order.

    Parameters
    ----------
    members : Mapping of str to bytes
        Content by ASCII name.
    start : int
        Offset of the archive in the file.
    """
    body, directory = bytearray(), bytearray()
    for name, data in members.items():
        encoded = name.encode("ascii")
        # flags, method (stored), time, date, checksum, sizes, length of the name, no extra field
        common = (_VERSION, 0, 0, 0, _FIRST_DAY, zlib.crc32(data), len(data), len(data), len(encoded), 0)
        place = start + len(body)
        directory += _CENTRAL.pack(b"PK\1\2", _VERSION | _UNIX, *common, 0, 0, 0, _READ_WRITE, place)
        directory += encoded
        body += _LOCAL.pack(b"PK\3\4", *common) + encoded + data
    count = len(members)
    end = _END.pack(b"PK\5\6", 0, 0, count, count, len(directory), start + len(body), 0)
    return bytes(body + directory + end)


def unpack(content: bytes) -> tuple[int, dict[str, bytes]]:
    """Decode the archive at the end of a file: its offset, and its members.

    Only what locates the members is read: to check the rest, compare with what `pack` makes of them.

    Raises
    ------
    ValueError
        If there is no archive.
    """
    members: dict[str, bytes] = {}
    try:
        signature, *_, directory, comment = _END.unpack_from(content, max(0, len(content) - _END.size))
        if signature != b"PK\5\6" or comment:
            raise ValueError("no ZIP at the end of the file")
        start = place = _CENTRAL.unpack_from(content, directory)[-1]
        while place < directory:
            *_, size, length, _ = _LOCAL.unpack_from(content, place)
            place += _LOCAL.size
            name = content[place : place + length].decode("ascii")
            place += length
            members[name] = content[place : place + size]
            place += size
    except (struct.error, UnicodeDecodeError) as error:
        raise ValueError("the ZIP's directory is damaged") from error
    return start, members
