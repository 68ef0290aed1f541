"""Files written whole or not at all, and only where a file may be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from edge.base import atomic
from edge.base.atomic import partial_path, replaced_atomically, replaced_path, write_atomically


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


def test_temporary_names_cannot_be_predicted_or_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {partial_path(tmp_path / "file") for _ in range(9)}
    assert len(names) == 9
    assert {name.parent for name in names} == {tmp_path}
    # even one who guessed the name gets nothing written through it
    guessed = tmp_path / ".file.guess.partial"
    monkeypatch.setattr(atomic, "partial_path", lambda path, suffix="": guessed)
    guessed.symlink_to("victim")
    with pytest.raises(FileExistsError), replaced_path(tmp_path / "file"):
        pass
    assert not list(tmp_path.glob("victim"))


def test_a_library_writes_the_file_by_its_name(tmp_path: Path) -> None:
    with replaced_path(tmp_path / "model", suffix=".keras") as partial:
        assert partial.suffix == ".keras"
        partial.unlink()
        partial.write_bytes(b"whole")
    assert (tmp_path / "model").read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [tmp_path / "model"]


def test_an_error_names_the_requested_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as absent:
        write_atomically(tmp_path / "absent" / "file", b"new")
    assert absent.value.filename == str(tmp_path / "absent" / "file")
    # as a write to a full disk does, without a name
    with pytest.raises(OSError, match="No space") as full, replaced_atomically(tmp_path / "file"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert full.value.filename == str(tmp_path / "file")
    assert not list(tmp_path.iterdir())
