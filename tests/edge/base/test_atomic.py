"""Files written whole or not at all, and only where a file may be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge.base.atomic import replaced_atomically, write_atomically


def test_only_a_regular_file_is_replaced(tmp_path: Path) -> None:
    pipe, folder = tmp_path / "pipe", tmp_path / "folder"
    os.mkfifo(pipe)
    folder.mkdir()
    for place in (pipe, folder):
        with pytest.raises(OSError, match="not a regular file") as refused:
            write_atomically(place, b"new")
        assert refused.value.filename == str(place)
    assert pipe.is_fifo()
    assert sorted(tmp_path.iterdir()) == [folder, pipe]


def test_a_link_is_replaced_but_not_its_target(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    write_atomically(tmp_path / "link", b"new")
    assert (tmp_path / "link").read_bytes() == b"new"
    assert (tmp_path / "pipe").is_fifo()


def test_an_error_names_the_requested_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as absent:
        write_atomically(tmp_path / "absent" / "file", b"new")
    assert absent.value.filename == str(tmp_path / "absent" / "file")
    # as a write to a full disk does, without a name
    with pytest.raises(OSError, match="No space") as full, replaced_atomically(tmp_path / "file"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert full.value.filename == str(tmp_path / "file")
    assert not list(tmp_path.iterdir())
