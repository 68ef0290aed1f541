"""Readiness, signs of life, and lines that a program can read."""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.run.systemd import Log, Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, str]]:
    """What systemd has at its end, and how it names that to the service."""
    with (
        tempfile.TemporaryDirectory() as folder,  # a socket's path must be short
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        name = f"{folder}/notify" if request.param == "path" else f"@leuko-test-{os.getpid()}"
        listener.bind(name.replace("@", "\0", 1))
        listener.setblocking(False)
        yield listener, name


def heard(listener: socket.socket) -> list[str]:
    messages = []
    while True:
        try:
            messages.append(listener.recv(4096).decode())
        except BlockingIOError:
            return messages


def test_messages_arrive(manager: tuple[socket.socket, str]) -> None:
    listener, name = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready()
    notifier.status("12 cells\nin 3 frames")
    notifier.alive()  # no watchdog was asked for
    notifier.stopping()
    assert heard(listener) == ["READY=1", "STATUS=12 cells in 3 frames", "STOPPING=1"]


def test_the_watchdog_is_notified_only_as_often_as_needed(manager: tuple[socket.socket, str]) -> None:
    listener, name = manager
    hour = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "3600000000", "WATCHDOG_PID": str(os.getpid())})
    never = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1", "WATCHDOG_PID": str(os.getpid() + 1)})
    always = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1"})
    for notifier, times in ((hour, 1), (never, 0), (always, 3)):
        for _ in range(3):
            notifier.alive()
        assert heard(listener) == ["WATCHDOG=1"] * times


@pytest.mark.parametrize("address", ["", "/nonexistent/socket", "vsock:2:1234"])
def test_without_a_listener_nothing_happens(address: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "not a number"})
    notifier.ready()
    notifier.alive()
    notifier.stopping()


def test_one_line_per_event() -> None:
    stream = io.StringIO()
    log = Log(stream, {"JOURNAL_STREAM": "1:2"})
    log.write("frame", name="a\nb", cells=3)
    log.write("quality", "warning", breaches=["too dark"])
    first, second = map(json.loads, stream.getvalue().splitlines())
    assert (first["event"], first["level"], first["name"], first["cells"]) == ("frame", "info", "a\nb", 3)
    assert (second["level"], second["breaches"]) == ("warning", ["too dark"])
    assert first["time"] <= second["time"]


def test_the_journal_gets_priorities(tmp_path: Path) -> None:
    with (tmp_path / "journal").open("w") as stream:
        status = os.fstat(stream.fileno())
        log = Log(stream, {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"})
        log.write("ended")
        log.write("camera", "error")
    lines = (tmp_path / "journal").read_text().splitlines()
    assert [line[:3] for line in lines] == ["<6>", "<3>"]
    assert json.loads(lines[1][3:])["event"] == "camera"


def test_a_service_without_its_camera_waits_and_says_so(tmp_path: Path) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener,
    ):
        listener.bind(f"{folder}/notify")
        listener.settimeout(60)
        environment = {"NOTIFY_SOCKET": f"{folder}/notify", "WATCHDOG_USEC": "1", "LEUKO_HOME": str(tmp_path)}
        words = ["count", "--camera", "v4l2:63", "--bundle", "phantom3", "--wait-for-camera", "--log", "json"]
        with subprocess.Popen(
            [sys.executable, "-m", "edge.cli", *words, "--resume"],
            env={**os.environ, **environment},
            stderr=subprocess.PIPE,
            text=True,
        ) as service:
            messages: list[str] = []
            while not messages or not messages[-1].startswith("STATUS="):
                messages.append(listener.recv(4096).decode())
            service.send_signal(signal.SIGTERM)
            _, said = service.communicate(timeout=60)
    waiting = "waiting for the camera: v4l2:63: /dev/video63 is not there"
    assert messages[:2] == ["READY=1", "WATCHDOG=1"]
    assert messages[-2] == "WATCHDOG=1"
    assert messages[-1].startswith(f"STATUS={waiting}")
    events = [json.loads(line) for line in said.splitlines()]
    (event,) = (one for one in events if one["event"] == "waiting")
    assert event["message"].startswith(waiting)
    assert service.returncode == 0
