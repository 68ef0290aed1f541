"""Tells a system what was installed: users, folders, units, rules."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

from firmware_config.install import InstallError
from firmware_config.profile import HOME

RUNNING = Path("/run/systemd/system")
"""There where systemd runs the machine (sd_booted(3))."""
LIMIT_S = 60

ALSO = (
    *(f"etc/{name}{end}" for name in ("passwd", "group", "shadow", "gshadow") for end in ("", "-")),
    "etc/.pwd.lock",
    HOME.lstrip("/"),
)
"""What `make_users_and_folders` makes or changes."""


def make_users_and_folders(root: Path) -> None:
    """Make the user of the service and the folder of its state.

    Raises
    ------
    InstallError
        It cannot be done.
    """
    _run("systemd-sysusers", f"--root={root}", "leuko.conf")
    _run("systemd-tmpfiles", f"--root={root}", "--create", "leuko.conf")


def reload(root: Path) -> None:
    """Have the running system read its units and rules anew, if this is the root that runs.

    Raises
    ------
    InstallError
        It cannot be done.
    """
    if root == Path("/") and RUNNING.is_dir():
        _run("systemctl", "daemon-reload")
        _run("udevadm", "control", "--reload")


def refusal(error: OSError) -> str:
    """Say in one line which file a system refused to write, why, and what to do where that is known."""
    place = Path(error.filename or ".")
    mount = next(folder for folder in place.absolute().parents if folder.is_mount())
    remedies = {
        errno.ENOSPC: f"; make room on {mount}",
        errno.EROFS: f"; mount it for writing: sudo mount -o remount,rw {mount}",
    }
    return f"{place}: {error.strerror}{remedies.get(error.errno or 0, '')}"


def _run(*words: str) -> None:
    try:
        subprocess.run(words, check=True, capture_output=True, text=True, timeout=LIMIT_S)
    except FileNotFoundError as error:
        raise InstallError(f"{words[0]} is not there; install systemd") from error
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{words[0]} did not end within {LIMIT_S} s") from error
    except subprocess.CalledProcessError as error:
        said = " ".join(error.stderr.split()) or f"exit code {error.returncode}"
        raise InstallError(f"{words[0]}: {said}") from error
