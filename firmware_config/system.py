"""Makes a system use what was installed: users, folders, units, rules."""

from __future__ import annotations

import errno
import subprocess
from pathlib import Path

from firmware_config.profile import HOME
from firmware_config.state import InstallError

RUNNING = Path("/run/systemd/system")
"""Exists where systemd runs the machine (sd_booted(3))."""
UDEV = Path("/run/udev/control")
"""Exists where udev runs, which reads its rules when it starts; in a container it does not run."""
LIMIT_S = 60

ALSO = (
    *(f"etc/{name}{end}" for name in ("passwd", "group", "shadow", "gshadow") for end in ("", "-")),
    "etc/.pwd.lock",
    HOME.lstrip("/"),
)
"""Paths that `make_users_and_folders` creates or changes."""


def make_users_and_folders(root: Path) -> None:
    """Create the service's user and the folder of its state.

    Raises InstallError if it fails.
    """
    _run("systemd-sysusers", f"--root={root}", "leuko.conf")
    _run("systemd-tmpfiles", f"--root={root}", "--create", "leuko.conf")


def reload(root: Path) -> None:
    """Make the running system read its units and rules again, if this is its root.

    Raises InstallError if it fails.
    """
    if root == Path("/") and RUNNING.is_dir():
        _run("systemctl", "daemon-reload")
        if UDEV.exists():
            _run("udevadm", "control", "--reload")


def refusal(error: OSError) -> str:
    """Return one line: which file could not be written, why, and what to do if that is known."""
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
        raise InstallError(f"{words[0]} is missing; install systemd") from error
    except subprocess.TimeoutExpired as error:
        raise InstallError(f"{words[0]} did not end within {LIMIT_S} s") from error
    except subprocess.CalledProcessError as error:
        reason = " ".join(error.stderr.split()) or f"exit code {error.returncode}"
        raise InstallError(f"{words[0]}: {reason}") from error
