"""The instrument on aarch64: installed into a Debian for ARM, and its command run there, emulated."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from edge.cli import main
from firmware_config.render import PROGRAM, UNITS
from tests.firmware_config.test_install import snapshot
from tests.firmware_config.test_profile import profile

QEMU = "usr/bin/qemu-aarch64"
CONFIG = b"dtparam=audio=on\r\n[cm4]\r\notg_mode=1\r\n"
SITE = "opt/leuko/lib/python3.11/site-packages"


@dataclass(frozen=True)
class Device:
    """A Debian for ARM; `qemu` runs its programs; none of them can start another."""

    root: Path

    def install(self, *words: str) -> str:
        """Install the profile, from here."""
        path = self.root / "mnt/device.toml"
        done = CliRunner().invoke(
            main, ["firmware", "install", str(path), "--root", str(self.root), "--yes", *words]
        )
        assert done.exit_code == 0, done.stderr
        return done.stdout

    def run(self, *words: str, user: str) -> subprocess.CompletedProcess[str]:
        """Run its Python as one of its users, with its own /proc, and no network."""
        row = next(r for r in (self.root / "etc/passwd").read_text().splitlines() if r.startswith(f"{user}:"))
        uid, gid = row.split(":")[2:4]
        script = (
            'mount -t proc proc "$0/proc"; mount --bind /dev "$0/dev"; root=$0; ids=$1; shift; '
            'exec chroot --userspec="$ids" "$root" "$@"'
        )
        command = ["unshare", "--mount", "--net", "--pid", "--fork", "sh", "-ec", script, str(self.root)]
        environment = {
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
            "LEUKO_HOME": "/var/lib/leuko",
            "LANG": "C.UTF-8",
        }
        return subprocess.run(
            [*command, f"{uid}:{gid}", f"/{QEMU}", "/opt/leuko/bin/python", *words],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=600,
        )


@pytest.fixture(scope="module")
def device(userland: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Device]:
    """A Debian 12 for ARM with leuko in /opt/leuko, a Pi's boot folder, and a profile."""
    folder = tmp_path_factory.mktemp("device")
    root = folder / "root"
    subprocess.run(["cp", "--archive", "--reflink=auto", userland / "root", root], check=True)
    for name in ("passwd", "group"):  # what its installation would have copied
        shutil.copy(root / f"usr/share/base-passwd/{name}.master", root / "etc" / name)
    shutil.copy(userland / "qemu" / QEMU, root / QEMU)
    (root / "boot/firmware").mkdir(parents=True)
    (root / "boot/firmware/config.txt").write_bytes(CONFIG)
    (root / "boot/firmware/cmdline.txt").write_bytes(b"console=tty1 root=PARTUUID=1-2 rootwait\n")
    (root / "mnt").mkdir(exist_ok=True)
    (root / "mnt/device.toml").write_text(profile("pi5", "simulated", plan__until_cells="5"))
    made = Device(root)
    venv = ("-m", "venv", "--without-pip", "--system-site-packages", "/opt/leuko")
    (root / "opt/leuko/bin").mkdir(parents=True)
    (root / "opt/leuko/bin/python").symlink_to("/usr/bin/python3.11")
    done = made.run(*venv, user="root")
    assert done.returncode == 0, done.stderr
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install", "--no-compile"]
    for wheel in (userland / "wheels").glob("*.whl"):
        platform = re.split("[-.]", wheel.stem)[-1] if wheel.stem.endswith("aarch64") else "any"
        words = ["--platform", platform, "--python-version", "3.11", "--implementation", "cp"]
        words += [word for abi in ("cp311", "abi3", "none") for word in ("--abi", abi)]
        target = ["--no-index", "--no-deps", "--target", str(root / SITE), str(wheel)]
        subprocess.run([*pip, *words, *target], check=True, capture_output=True)
    yield made
    shutil.rmtree(folder)


def test_installing_twice_gives_the_same_tree(device: Device) -> None:
    fresh = snapshot(device.root)
    assert f"created /{UNITS}/leuko-count.service" in device.install()
    once = snapshot(device.root)
    assert device.install() == ""
    assert snapshot(device.root) == once
    changed = {path for path in fresh if fresh[path] != once.get(path)}
    assert changed == {
        "boot/firmware/cmdline.txt",
        "boot/firmware/config.txt",
        "etc/group",
        "etc/passwd",
    } | ({"etc/shadow", "etc/gshadow"} & changed)
    config = (device.root / "boot/firmware/config.txt").read_bytes()
    assert config.startswith(CONFIG + b"# >>> leuko")


def test_the_services_command_counts_as_its_user(device: Device) -> None:
    device.install()
    unit = (device.root / UNITS / "leuko-count.service").read_text()
    command = re.search(r"(?m)^ExecStart=(.*)$", unit)
    assert command is not None
    program, *words = command[1].split()
    assert program == PROGRAM
    done = device.run("-m", "edge.cli", *words, user="leuko")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert sum(result["counts"][label] for label in result["fractions"]) >= 5
    (session,) = (device.root / "var/lib/leuko/sessions").glob("*.db")
    owner = (device.root / "var/lib/leuko").stat().st_uid
    assert session.stat().st_uid == owner != 0
    machine = device.run("-c", "import platform; print(platform.machine())", user="leuko")
    assert machine.stdout.strip() == "aarch64"
