"""What a service reports to systemd: readiness, signs of life, and log lines that a program can read."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TextIO

from edge.base import visible

PRIORITIES = {"error": 3, "warning": 4, "info": 6}
"""Priority in the journal by level (syslog(3))."""

SEND_S = 1.0
"""Longest wait for a full queue at systemd's end."""


class Notifier:
    """Report the state of a service to systemd, by sd_notify(3); without systemd it does nothing.

    Parameters
    ----------
    environment : Mapping of str to str
        Read for ``NOTIFY_SOCKET``, ``WATCHDOG_USEC`` and ``WATCHDOG_PID``.
    """

    def __init__(self, environment: Mapping[str, str] = os.environ) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        # @ stands for the zero byte of an abstract socket
        self._address = "\0" + address[1:] if address.startswith("@") else address
        usec = environment.get("WATCHDOG_USEC", "")
        mine = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        # half of the time limit, as sd_watchdog_enabled(3) advises
        self._ping_s = int(usec) / 2e6 if usec.isdecimal() and mine else None
        self._pinged = -float("inf")

    @property
    def listened_to(self) -> bool:
        """Whether systemd started this process and listens."""
        return self._address != ""

    def ready(self) -> None:
        """Report that the service works: units ordered after it may start."""
        self._send("READY=1")

    def status(self, text: str) -> None:
        """Report one line for ``systemctl status``."""
        self._send("STATUS=" + visible(" ".join(text.split())))

    def stopping(self) -> None:
        """Report that the service is ending."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Keep the watchdog from acting; call it after each frame, it sends only as often as needed."""
        now = time.monotonic()
        if self._ping_s is not None and now - self._pinged >= self._ping_s:
            self._pinged = now
            self._send("WATCHDOG=1")

    def _send(self, message: str) -> None:
        if not self._address:
            return
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
            sender.settimeout(SEND_S)
            try:
                sender.sendto(message.encode(), self._address)
            except OSError:  # systemd no longer listens: no reason to stop counting
                return


class Log:
    """Events as lines of JSON: ``time``, ``level``, ``event`` and its facts.

    Where the journal reads the stream, each line begins with its priority (sd-daemon(3)).

    Parameters
    ----------
    stream : TextIO
        Standard error.
    environment : Mapping of str to str
        Read for ``JOURNAL_STREAM``.
    """

    def __init__(self, stream: TextIO, environment: Mapping[str, str] = os.environ) -> None:
        self._stream = stream
        self._journal = _is_journal(stream, environment.get("JOURNAL_STREAM", ""))

    def write(self, event: str, level: str = "info", **facts: Any) -> None:
        """Write one line and flush it; `event` is a fixed word, `level` a key of `PRIORITIES`."""
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": now, "level": level, "event": event, **facts})
        prefix = f"<{PRIORITIES[level]}>" if self._journal else ""
        self._stream.write(f"{prefix}{line}\n")
        self._stream.flush()


def _is_journal(stream: TextIO, named: str) -> bool:
    """Return whether ``JOURNAL_STREAM`` names the stream, by device and inode."""
    try:
        status = os.fstat(stream.fileno())
    except OSError:  # not a file
        return False
    return named == f"{status.st_dev}:{status.st_ino}"
