"""A fresh card, with what leuko firmware image wrote on its boot partition, boots into the instrument."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_config.check import check
from firmware_config.image import Card, Login, write_image
from firmware_config.read import read
from tests.firmware_config.root import boot_to_restart, booted, bootstrapped, inside, wheels
from tests.firmware_config.test_image import HASH, KEY
from tests.firmware_config.test_profile import profile

PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,python3-venv,cloud-init,netplan.io,network-manager,openssh-server,sudo"
)
SEED = """\
datasource_list: [ NoCloud, None ]
datasource:
  NoCloud:
    seedfrom: file:///boot/firmware
"""
"""As Raspberry Pi OS has it (pi-gen, stage2/04-cloud-init/files/99_raspberry-pi.cfg)."""
BOOT = {"config.txt": "dtparam=audio=on\n", "cmdline.txt": "console=tty1 rootwait\n"}


@pytest.fixture(scope="module")
def card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A Debian 13 with cloud-init, set up as that of Raspberry Pi OS, and the image on its boot partition."""
    folder = tmp_path_factory.mktemp("card")
    root = bootstrapped(folder / "root", "--variant=minbase", f"--include={PACKAGES}", suite="trixie")
    (root / "etc/cloud/cloud.cfg.d/99_raspberry-pi.cfg").write_text(SEED)
    path = folder / "device.toml"
    path.write_text(profile(sensor="simulated", device__release='"trixie"', plan__until_cells="1000000"))
    checked = check(read(path.read_text()), folder, root)
    assert checked.profile is not None
    machine = os.uname().machine
    collected = wheels(folder / "wheels", machine, "trixie")
    login = Login("lab", (KEY,), HASH)
    boot = root / "boot/firmware"
    write_image(boot, Card(checked, collected, login, "leuko-1", machine))
    for name, text in BOOT.items():
        (boot / name).write_text(text)
    yield root
    shutil.rmtree(folder)


def test_cloud_init_finds_nothing_to_object_to(card: Path) -> None:
    for name, kind in (("user-data", "cloud-config"), ("network-config", "network-config")):
        words = ("cloud-init", "schema", f"--config-file=/boot/firmware/{name}", f"--schema-type={kind}")
        done = inside(card, *words)
        assert (done.returncode, "Valid schema" in done.stdout) == (0, True), done.stdout + done.stderr


def test_the_first_start_installs_and_the_second_counts(card: Path, tmp_path: Path) -> None:
    boot = card / "boot/firmware"
    boot_to_restart(card)
    assert (boot / "leuko/first-start.log").read_text().endswith("leuko: installed; restarting\n")
    assert "cgroup_enable=memory" in (boot / "cmdline.txt").read_text()
    # the hash of the password is where only root reads it
    assert not (boot / "user-data").exists()
    with booted(card, notify=tmp_path / "notify") as container:
        event = json.loads(container.wait_for("leuko-count.service", '.*"event": "frame".*')[0])
        assert event["event"] == "frame"
        assert container.run("hostname") == "leuko-1\n"
        assert HASH in container.run("grep", "^lab:", "/etc/shadow")
        assert container.run("cat", "/home/lab/.ssh/authorized_keys").endswith(f"{KEY}\n")
        assert container.property("ssh.service", "UnitFileState") == "enabled"
        # once: on a read-only root it would see a new device at each start
        assert container.property("cloud-init-main.service", "ActiveState") == "inactive"
        assert container.run("systemctl", "--failed", "--plain", "--no-legend", "--quiet") == ""
