"""Debian roots to install into, the wheels for them, and a container that boots one."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from firmware_config.wheels import WheelsError, collect

CHECKOUT = Path(__file__).resolve().parents[2]
BUILD_LIMIT_S = 400
BOOT_LIMIT_S = 120
RESTARTS = 133
"""Exit code of systemd-nspawn for a container that restarts, where a service manager would start it again."""
TOOLS = {"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container"}
"""Program → Debian's package."""


def bootstrapped(root: Path, *options: str, suite: str = "bookworm") -> Path:
    """Fill a folder with a Debian, or skip."""
    if os.geteuid() != 0:
        # only root may; CI is root, and there this does not fire
        pytest.skip("making a Debian root needs root")
    missing = [package for program, package in TOOLS.items() if not shutil.which(program)]
    if missing and not shutil.which("apt-get"):
        # programs of Debian that a test may install only where it is root on Debian
        pytest.skip(f"needs {' and '.join(missing)}")
    if missing:
        _build("apt-get", "-qq", "update")
        _build("apt-get", "-qqy", "install", "--no-install-recommends", *missing)
    _build("mmdebstrap", "--quiet", *options, suite, str(root))
    return root


def wheels(folder: Path, machine: str, release: str = "bookworm") -> Path:
    """Fill a folder with the wheels of a device, or skip."""
    try:
        collect(folder, release, machine)
    except WheelsError as error:
        # a machine without a package registry
        pytest.skip(f"the wheels cannot be collected here: {error}")
    return folder


def _build(*words: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S, env=environment
        )
    except subprocess.TimeoutExpired:
        # a mirror that hangs is no fault of the project
        pytest.skip(f"{words[0]} did not end within {BUILD_LIMIT_S} s")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        # a container may forbid chroot or mounts: the reason is the program's own
        pytest.skip(f"{words[0]} cannot do it here: {reason}")


def inside(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a root without a network, and without booting it."""
    command = [*_nspawn(root), "--pipe", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def boot_to_restart(root: Path) -> str:
    """Boot a root until it restarts itself, and return what it wrote on its console."""
    command = [*_nspawn(root), "--console=pipe", "--boot"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_LIMIT_S)
    except subprocess.TimeoutExpired as error:
        pytest.fail(
            f"did not restart in {BUILD_LIMIT_S} s:\n{(error.stdout or b'').decode(errors='replace')}"
        )
    assert done.returncode == RESTARTS, done.stdout + done.stderr
    return done.stdout


def _nspawn(root: Path) -> list[str]:
    # no system bus is asked: there may be none
    return [
        *("systemd-nspawn", "--quiet", "--register=no", "--keep-unit", "--private-network"),
        *(f"--machine=leuko-test-{os.getpid()}", f"--directory={root}"),
    ]


@dataclass
class Container:
    """A booted system.

    Attributes
    ----------
    leader : process id of its init on the host
    """

    leader: int

    def run(self, *words: str) -> str:
        """Run a program in it."""
        done = self.tried(*words)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def tried(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a program in it that may fail."""
        command = ["nsenter", f"--target={self.leader}", "--all", *words]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=BOOT_LIMIT_S)

    def property(self, unit: str, name: str) -> str:
        """What systemd says of a unit."""
        return self.run("systemctl", "show", "--property", name, "--value", unit).strip()

    def wait_for(self, unit: str, pattern: str) -> re.Match[str]:
        """Follow a unit's journal, from its beginning, until a line matches."""
        words = ["journalctl", f"--unit={unit}", "--follow", "--lines=all", "--output=cat"]
        command = ["timeout", str(BOOT_LIMIT_S), "nsenter", f"--target={self.leader}", "--all", *words]
        lines = []
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as journal:
            assert journal.stdout is not None
            for line in journal.stdout:
                lines.append(line)
                if found := re.search(pattern, line):
                    journal.terminate()
                    return found
        pytest.fail(f"{unit}: no line matches {pattern} in {BOOT_LIMIT_S} s:\n{''.join(lines)}")


@contextmanager
def booted(root: Path, *options: str, notify: Path) -> Iterator[Container]:
    """Boot a root, and power it off in the end.

    Parameters
    ----------
    notify : path for a socket on which the container says that it is up
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.bind(str(notify))
        ready.settimeout(BOOT_LIMIT_S)
        command = [*_nspawn(root), "--notify-ready=yes", "--console=pipe", *options, "--boot"]
        environment = {**os.environ, "NOTIFY_SOCKET": str(notify)}
        log = notify.with_suffix(".log")
        with (
            log.open("wb") as console,
            subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                env=environment,
                start_new_session=True,
            ) as nspawn,
        ):
            container = None
            try:
                messages = ""
                while "READY=1" not in messages:
                    try:
                        messages += ready.recv(4096).decode() + "\n"
                    except TimeoutError:
                        pytest.fail(f"did not boot in {BOOT_LIMIT_S} s:\n{log.read_text(errors='replace')}")
                    if found := re.search(r"X_NSPAWN_LEADER_PID=(\d+)", messages):
                        container = Container(int(found[1]))
                assert container is not None
                yield container
            finally:
                if container is not None and nspawn.poll() is None:
                    container.tried("systemctl", "--force", "poweroff")
                try:
                    nspawn.wait(BOOT_LIMIT_S)
                except subprocess.TimeoutExpired:
                    nspawn.kill()
                notify.unlink()
