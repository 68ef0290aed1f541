"""A session whose resuming is killed is not resumed for ever."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edge.session import attempts
from edge.session.files import DamagedSessionError, mark_of, set_aside
from edge.session.writer import Session, create_session, open_session
from tests.edge.session.test_session import header, record

KILLED = """
import os, signal, sys
from pathlib import Path
from edge.session import attempts
from edge.session.writer import open_session
from tests.edge.session.test_session import record

path, boot, times, frames = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
attempts._BOOT_ID = boot
for k in range(times):
    boot.write_text(f"boot-{k}")
    child = os.fork()
    if not child:
        session = open_session(path, unattended=True)
        for _ in range(frames):
            session.add(record(session.last_index + 1))
        os.kill(os.getpid(), signal.SIGKILL)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
"""
"""Attempts to resume a session, each after a restart of the device, that are killed after some frames."""


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    with create_session(header(), tmp_path) as session:
        session.add(record(0))
    return session.path


def beside(path: Path) -> list[str]:
    return sorted(one.name.removeprefix(path.name) for one in path.parent.iterdir())


def unattended(path: Path) -> Session:
    return open_session(path, unattended=True)


@pytest.fixture
def boot(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    boot = tmp_path_factory.mktemp("boot") / "boot_id"
    monkeypatch.setattr(attempts, "_BOOT_ID", boot)
    return boot


def killed_while_resuming(path: Path, boot: Path, *, times: int = 1, frames: int = 0) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(path), str(boot), str(times), str(frames)], check=True)


def test_an_attempt_that_is_killed_is_not_repeated(begun: Path, boot: Path) -> None:
    killed_while_resuming(begun, boot)
    for _ in range(2):
        with pytest.raises(
            DamagedSessionError, match="the last attempt to resume it was killed before a new frame"
        ):
            unattended(begun)
    with open_session(begun) as session:  # an operator tries it all the same
        session.add(record(1))
    set_aside(begun)
    assert [one.name for one in begun.parent.iterdir()] == [f"{begun.stem}.damaged.db"]


def test_what_was_resumed_before_it_was_killed_is_resumed_again(begun: Path, boot: Path) -> None:
    killed_while_resuming(begun, boot, frames=1)
    with unattended(begun) as session:
        assert session.count_frames() == 2
        assert "-resuming" in beside(begun)
        session.add(record(2))
        assert "-resuming" not in beside(begun)
    assert beside(begun) == [""]


def test_an_attempt_that_ends_by_itself_leaves_no_mark(begun: Path) -> None:
    unattended(begun).close()
    unattended(begun).finish("stopped")
    assert beside(begun) == [""]


def test_a_few_power_cuts_while_resuming_are_not_its_fault(begun: Path, boot: Path) -> None:
    killed_while_resuming(begun, boot, times=attempts.MOST_CUTS)
    boot.write_text("another-boot")
    with pytest.raises(DamagedSessionError, match="the last 3 attempts to resume it were killed"):
        unattended(begun)


@pytest.mark.parametrize("content", [b"", b"\xff\x00\n"])
def test_a_mark_that_was_cut_short_is_one(begun: Path, content: bytes) -> None:
    begun.with_name(f"{begun.name}-resuming").write_bytes(content)
    unattended(begun).close()
    assert beside(begun) == [""]


def test_what_ends_the_wait_for_a_camera_is_not_its_fault(begun: Path, boot: Path) -> None:
    killed_while_resuming(begun, boot)
    boot.write_text("another-boot")
    with unattended(begun) as session:
        assert session.attempt
        mark = mark_of(begun)
        assert mark.read_text() == "boot-0\nanother-boot\n"
        session.attempt.pause()
        assert mark.read_text() == "boot-0\n"
        session.attempt.proceed()
        assert mark.read_text() == "boot-0\nanother-boot\n"
    with unattended(begun) as session:
        assert session.attempt
        session.attempt.pause()
        assert "-resuming" not in beside(begun)
