"""A whole instrument on simulated frames, in a container: installed offline, booted, stalled, stopped."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.firmware_config.root import CHECKOUT, Container, booted, bootstrapped, inside, wheels
from tests.firmware_config.test_install import Snapshot, snapshot
from tests.firmware_config.test_profile import profile

SERVICE = "leuko-count.service"
PACKAGES = "systemd,systemd-sysv,dbus,udev,python3-venv"
QUICK = {
    "service__give_up_s": "5",
    "service__watchdog_s": "10",
    "service__restart_s": "1",
    "plan__until_cells": "1000000",
}
CONFIG = b"dtparam=audio=on\n"


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Debian with a Pi's boot folder and, below /mnt, what a person carries to the device."""
    folder = tmp_path_factory.mktemp("instrument")
    root = bootstrapped(folder / "root", "--variant=minbase", f"--include={PACKAGES}")
    wheels(root / "mnt" / "wheels", os.uname().machine)
    shutil.copy(CHECKOUT / "install.sh", root / "mnt")
    unneeded = shutil.ignore_patterns("__pycache__")
    for package in ("edge", "firmware_config"):
        shutil.copytree(CHECKOUT / package, root / "mnt" / package, ignore=unneeded)
    (root / "boot/firmware").mkdir(parents=True)
    (root / "boot/firmware/config.txt").write_bytes(CONFIG)
    (root / "boot/firmware/cmdline.txt").write_bytes(b"console=tty1 rootwait\n")
    yield root
    shutil.rmtree(folder)


def set_up(root: Path, text: str) -> str:
    (root / "mnt" / "device.toml").write_text(text)
    done = inside(root, "/mnt/install.sh", "/mnt/device.toml", "--wheels", "/mnt/wheels")
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def configure(root: Path, text: str) -> None:
    (root / "mnt" / "device.toml").write_text(text)
    words = ("/usr/local/bin/leuko", "firmware", "install", "/mnt/device.toml", "--yes")
    done = inside(root, *words)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def instrument(fresh: Path) -> Path:
    """That system after install.sh."""
    set_up(fresh, profile(sensor="simulated", **QUICK))
    return fresh


def lasting(root: Path) -> Snapshot:
    """All but what Python compiled, which carries the time, and locks."""
    return {
        path: was
        for path, was in snapshot(root).items()
        if "__pycache__" not in path and not path.startswith(("mnt", "var/cache", "etc/.pwd.lock"))
    }


def test_leuko_alone_makes_a_profile_in_the_same_environment(fresh: Path) -> None:
    done = inside(fresh, "/mnt/install.sh", "--wheels", "/mnt/wheels")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "leuko is installed; next: leuko firmware init, then sudo ./install.sh PROFILE\n" in done.stderr
    assert not (fresh / "etc/leuko").exists()
    words = ("/usr/local/bin/leuko", "firmware", "init", "--board", "pi5", "--sensor", "simulated")
    assert "[camera]" in inside(fresh, *words).stdout


def test_running_install_sh_twice_changes_nothing_more(instrument: Path) -> None:
    once = lasting(instrument)
    assert "opt/leuko/bin/leuko" in once
    assert once["usr/local/bin/leuko"][2] == "/opt/leuko/bin/leuko"
    output = set_up(instrument, (instrument / "mnt/device.toml").read_text())
    assert output == ""
    again = lasting(instrument)
    assert again.keys() == once.keys()
    assert [path for path in once if once[path] != again[path]] == []


def test_install_sh_names_what_is_wrong(instrument: Path) -> None:
    for words, code, reason in (
        (("--wheels",), 2, "usage"),
        (("/mnt/absent.toml",), 1, "no such file"),
        (("/mnt/device.toml", "--wheels=/mnt"), 1, "not made by leuko firmware bundle-wheels"),
        (("/mnt/device.toml",), 1, "is there a network? without one, --wheels"),
    ):
        done = inside(instrument, "/mnt/install.sh", *words)
        assert done.returncode == code
        assert reason in done.stderr


def test_install_sh_takes_no_other_wheel_for_leuko(instrument: Path) -> None:
    (wheel,) = (instrument / "mnt/wheels").glob("leuko_edge-*.whl")
    content = wheel.read_bytes()
    before = lasting(instrument)
    wheel.write_bytes(content + b"\0")
    words = ("/mnt/install.sh", "/mnt/device.toml", "--wheels=/mnt/wheels")
    done = inside(instrument, *words)
    wheel.write_bytes(content)
    assert done.returncode == 1
    assert f"{wheel.name}: is not as it was collected" in done.stderr
    assert lasting(instrument) == before


def sessions(container: Container) -> list[dict[str, str]]:
    words = ("runuser", "-u", "leuko", "--", "env", "LEUKO_HOME=/var/lib/leuko", "/usr/local/bin/leuko")
    found: list[dict[str, str]] = json.loads(container.run(*words, "sessions", "list", "--json"))
    return found


def test_the_unit_is_ready_survives_a_stall_and_stops_cleanly(instrument: Path, tmp_path: Path) -> None:
    configure(instrument, profile(sensor="simulated", **QUICK, service__memory_mb="700"))
    with booted(instrument, notify=tmp_path / "notify") as container:
        # systemd starts such a unit only after it reports that it is ready
        container.wait_for(SERVICE, f"^Started {SERVICE}")
        session = container.wait_for(SERVICE, r'"event": "session".*"id": "([^"]+)"')[1]
        container.wait_for(SERVICE, '"event": "frame"')
        assert container.property(SERVICE, "ActiveState") == "active"
        assert container.property(SERVICE, "MemoryMax") == str(700 << 20)
        stalled = container.property(SERVICE, "MainPID")
        # what stops the frames also stops the watchdog messages
        container.run("systemctl", "kill", "--kill-who=main", "--signal=STOP", SERVICE)
        container.wait_for(SERVICE, "Watchdog timeout")
        container.wait_for(SERVICE, "restart counter is at 1")
        container.run("systemctl", "start", SERVICE)
        assert container.property(SERVICE, "MainPID") != stalled
        assert container.property(SERVICE, "NRestarts") == "1"
        assert [one["id"] for one in sessions(container)] == [session], "the session is not resumed"
        container.run("systemctl", "stop", SERVICE)
        assert container.property(SERVICE, "Result") == "success"
        assert container.property(SERVICE, "ExecMainStatus") == "0"
        assert [(one["state"], one["reason"]) for one in sessions(container)] == [("finished", "stopped")]
        assert container.run("systemctl", "--failed", "--plain", "--no-legend", "--quiet") == ""


def test_a_service_without_its_camera_waits(instrument: Path, tmp_path: Path) -> None:
    configure(instrument, profile(sensor="usb", **QUICK))
    with booted(instrument, notify=tmp_path / "notify") as container:
        container.wait_for(SERVICE, '"event": "waiting"')
        said = container.property(SERVICE, "StatusText")
        assert said.startswith("waiting for the camera: v4l2:0: /dev/video0 is not there")
        assert container.property(SERVICE, "ActiveState") == "active"
        container.run("systemctl", "stop", SERVICE)
        assert container.property(SERVICE, "Result") == "success"
        assert container.property(SERVICE, "NRestarts") == "0"


def test_an_altered_bundle_is_not_used(instrument: Path, tmp_path: Path) -> None:
    configure(instrument, profile(sensor="simulated", **QUICK))
    place = instrument / "usr/local/share/leuko/bundle.tflite"
    content = place.read_bytes()
    place.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    with booted(instrument, notify=tmp_path / "notify") as container:
        container.wait_for(SERVICE, "bundle.tflite: FAILED")
    place.write_bytes(content)


def test_uninstalling_restores_the_system(instrument: Path) -> None:
    done = inside(instrument, "/usr/local/bin/leuko", "firmware", "uninstall", "--yes")
    assert done.returncode == 0, done.stderr
    assert (instrument / "boot/firmware/config.txt").read_bytes() == CONFIG
    assert not [path for path in snapshot(instrument / "etc") if "leuko" in path]
    configure(instrument, profile(sensor="simulated", **QUICK))
