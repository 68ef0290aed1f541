"""Disks that are full, read-only or failing: counting stops with one line, and what was counted is there."""

from __future__ import annotations

import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from edge.session.files import SessionError
from edge.session.names import list_sessions
from edge.session.record import FrameRecord
from edge.session.store import read_session
from edge.session.writer import Session, create_session, open_session
from tests.edge.session.test_session import ROOT, cell, files, header, record
from tests.system.disks import ext4, need_mounts, tmpfs

MEGABYTE = 1 << 20

WRITER = """
import resource, sys
from pathlib import Path
from edge.session import SessionError, create_session
from tests.edge.session.test_session import header, record

session = create_session(header(), Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), -1))
try:
    for k in range(1000):
        session.add(record(k))
        print(k, flush=True)
except SessionError as error:
    print(error)
"""


def refusal(opening: Callable[..., Session], *arguments: object) -> str:
    """Words of the error, which are one line."""
    with pytest.raises(SessionError) as error:
        opening(*arguments)
    (line,) = str(error.value).splitlines()
    return line


def fill(session: Session) -> tuple[int, str]:
    """Add records until the disk refuses: how many there are then, and what was said."""
    for taken in itertools.count(session.last_index + 1):
        crop = os.urandom(30_000)
        try:
            session.add(FrameRecord(taken, "f", 0, sha256="0" * 64, cells=(cell(0, crop_png=crop), cell(1))))
        except SessionError as error:
            (line,) = str(error).splitlines()
            break
    return taken, line


def assert_kept(path: Path, frames: int) -> None:
    with read_session(path) as session:
        assert session.verify() == []
        assert [frame.index for frame in session.frames(crops=True)] == list(range(frames))


@pytest.fixture(params=["tmpfs", "ext4"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    need_mounts(tmp_path)
    with ExitStack() as stack:
        if request.param == "tmpfs":
            yield stack.enter_context(tmpfs(tmp_path, 12 * MEGABYTE))
        else:
            yield stack.enter_context(ext4(tmp_path, 12 * MEGABYTE))


def test_a_full_disk_ends_the_count_and_keeps_it(small: Path) -> None:
    ballast = small / "ballast"
    ballast.write_bytes(bytes(6 * MEGABYTE))  # more than the log, which has to be taken in first
    with create_session(header(), small) as session:
        taken, said = fill(session)
        assert said == f"{session.path}: the disk is full; what was counted before is kept"
        assert_kept(session.path, taken)
        with pytest.raises(SessionError, match="nothing more is written"):
            session.add(record(taken))
        with pytest.raises(SessionError, match="nothing more is written"):
            session.finish("enough")
    assert taken > 10
    Path(f"{session.path}-shm").unlink(missing_ok=True)  # as after a cut; there is no room to make it again
    with (small / "rest").open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1000)):
            pass
    assert_kept(session.path, taken)
    for said in (refusal(open_session, session.path), refusal(create_session, header(), small)):
        assert "the disk is full" in said or "no space left" in said
    assert [listed.id for listed in list_sessions(small)] == [session.id], "no half-made session"

    ballast.unlink()
    (small / "rest").unlink()
    with open_session(session.path) as again:
        again.add(record(taken))
        again.finish("after all")
    assert_kept(session.path, taken + 1)


def test_a_disk_that_becomes_read_only_ends_the_count_and_keeps_it(tmp_path: Path) -> None:
    need_mounts(tmp_path)
    with ext4(tmp_path, 16 * MEGABYTE, "loop,errors=remount-ro") as disk:
        with create_session(header(), disk) as session:
            for k in range(3):
                session.add(record(k))
            _fail(disk)
            taken, said = fill(session)
            assert taken == 3
            assert "the disk" in said
            assert_kept(session.path, 3)
        assert_kept(session.path, 3)
        assert "read-only" in refusal(open_session, session.path)
        assert "read-only" in refusal(create_session, header(), disk)
    with ext4(tmp_path, 0, new=False) as disk:
        assert_kept(session.path, 3)
        with open_session(session.path) as again:
            again.add(record(3))
            again.finish("on a repaired disk")
        assert_kept(session.path, 4)


def _fail(disk: Path) -> None:
    """Let the file system find itself damaged: it then refuses all writing, as on a card that wears out."""
    device = disk.stat().st_dev
    block = Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}").resolve().name
    trigger = Path(f"/sys/fs/ext4/{block}/trigger_fs_error")
    if not trigger.exists():
        # the error must come from a real ext4; a kernel without its test hook cannot make one
        pytest.skip("this kernel offers no way to let an ext4 fail")
    trigger.write_text("1")


def test_everything_is_read_from_a_read_only_disk(tmp_path: Path) -> None:
    """Also a session whose last records are in its log alone, with and without SQLite's shared memory."""
    need_mounts(tmp_path)
    with ext4(tmp_path, 16 * MEGABYTE) as disk:
        session = create_session(header(), disk)
        for k in range(3):
            session.add(record(k))
        for name, parts in (("cut", ("", "-wal")), ("killed", ("", "-wal", "-shm"))):
            for part in parts:
                shutil.copy(f"{session.path}{part}", disk / f"{name}.db{part}")
        assert files(disk).count("killed.db-wal") == 1
        session.close()
        shutil.copy(session.path, disk / "closed.db")
        with open_session(session.path) as again:
            again.finish("enough")
    with ext4(tmp_path, 0, "loop,ro", new=False) as disk:
        before = files(disk)
        for name in ("cut.db", "killed.db", "closed.db", session.path.name):
            assert_kept(disk / name, 3)
            with read_session(disk / name) as stored:
                assert stored.state == ("finished" if name == session.path.name else "unfinished")
        assert "read-only file system" in refusal(open_session, disk / "closed.db")
        assert "read-only file system" in refusal(create_session, header(), disk)
        assert files(disk) == before


def written(folder: Path, largest_file: int, *before: str) -> tuple[int, str]:
    """Run the writer: how many records it acknowledged, and its last line."""
    done = subprocess.run(
        [*before, sys.executable, "-c", WRITER, folder, str(largest_file)],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    *acknowledged, said = done.stdout.splitlines()
    assert acknowledged == [str(k) for k in range(len(acknowledged))]
    return len(acknowledged), said


def test_a_limit_on_file_sizes_ends_the_count_and_keeps_it(tmp_path: Path) -> None:
    acknowledged, said = written(tmp_path, 300_000)
    (listed,) = list_sessions(tmp_path)
    assert said.startswith(f"{listed.path}: the disk failed (SQLITE_IOERR_WRITE)")
    assert acknowledged == listed.frames > 3
    assert_kept(listed.path, acknowledged)
    with open_session(listed.path) as session:
        session.add(record(acknowledged))


def test_a_disk_that_fails_to_sync_ends_the_count_and_keeps_it(tmp_path: Path) -> None:
    strace = shutil.which("strace")
    if strace is None or subprocess.run([strace, "-o", "/dev/null", "true"], capture_output=True).returncode:
        # only a traced process can be made to believe that its disk failed; a container may forbid tracing
        pytest.skip("needs strace, and to be allowed to trace")
    inject = ("-f", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:error=EIO:when=12+")
    acknowledged, said = written(tmp_path, 1 << 30, strace, *inject)
    (listed,) = list_sessions(tmp_path)
    assert said.startswith(f"{listed.path}: the disk failed (SQLITE_IOERR_FSYNC)")
    # the record that was refused may be there nevertheless, whole; it was not reported as counted
    assert 0 < acknowledged <= listed.frames <= acknowledged + 1
    assert_kept(listed.path, listed.frames)
