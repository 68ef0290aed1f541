"""Stored ZIP archives: one encoding, which other programs read."""

from __future__ import annotations

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.model.archive import pack, unpack

MEMBERS = st.dictionaries(
    st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=20),
    st.binary(max_size=200),
)


@given(st.binary(max_size=100), MEMBERS.filter(bool))
def test_packed_members_are_unpacked(before: bytes, members: dict[str, bytes]) -> None:
    content = before + pack(members, len(before))
    assert unpack(content) == (len(before), members)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {entry.orig_filename: archive.read(entry) for entry in archive.infolist()} == members


@given(st.binary(max_size=300))
def test_anything_else_is_refused_or_repacked_differently(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\bZIP\b"):
        unpack(content)


@given(MEMBERS.filter(bool), st.data())
def test_repacking_reveals_every_changed_byte(members: dict[str, bytes], data: st.DataObject) -> None:
    content = bytearray(pack(members))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        start, found = unpack(bytes(content))
        again = bytes(content[:start]) + pack(found, start)
    except ValueError:
        return
    assert again != content
