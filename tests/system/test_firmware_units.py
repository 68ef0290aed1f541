"""Rendered files before the programs that read them on the device: systemd's own parsers, and udev's."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from firmware_config.install import carry_out
from firmware_config.plan import plan_installation
from firmware_config.render import UNITS
from firmware_config.tree import Link
from tests.firmware_config.root import bootstrapped, inside
from tests.firmware_config.test_profile import profile
from tests.firmware_config.test_render import rendered

EXPOSURE = "20"
"""Greatest exposure level of a service, in tenths."""
SYSTEM_UNITS = Path("/lib/systemd/system")

READ_ONLY = {"storage__read_only_root": "true", "storage__data_partition": '"LABEL=leuko-data"'}
CONSOLE = {"console__enabled": "true"}
CASES = {
    "pi": ("pi5", "imx477", {"optics__objective": '"40x/0.75 (air), 50 % = $5 & #1; it\'s \U0001f52c"'}),
    "usb": ("zero2w", "usb", {**READ_ONLY, "console__enabled": "true", "console__interface": '"wlan0"'}),
    "all": ("pi4", "imx296", {**READ_ONLY, **CONSOLE}),
}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Root folders with this machine's units, the programs that ours run, and one profile rendered."""
    if not shutil.which("systemd-analyze") or not SYSTEM_UNITS.is_dir():
        # its own programs are the judges of unit files: nothing else can stand in for them
        pytest.skip("needs systemd")
    made: dict[str, Path] = {}

    def make(case: str) -> Path:
        if case not in made:
            made[case] = tmp_path_factory.mktemp(case)
            board, sensor, changes = CASES[case]
            install(made[case], profile(board, sensor, **changes))
        return made[case]

    return make


def install(root: Path, text: str) -> None:
    shutil.copytree(SYSTEM_UNITS, root / "usr/lib/systemd/system", symlinks=True)
    (root / "lib").symlink_to("usr/lib")
    for program in ("usr/bin/sha256sum", "usr/bin/true", "opt/leuko/bin/leuko"):
        (root / program).parent.mkdir(parents=True, exist_ok=True)
        (root / program).touch(mode=0o755)
    (root / "etc").mkdir()
    (root / "etc/passwd").write_text("root:x:0:0::/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\nvideo:x:44:\n")
    for name, entry in rendered(text).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(entry, Link):
            path.symlink_to(entry.target)
        else:
            path.write_bytes(entry.content)


def run(*words: str | Path) -> str:
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_systemd_finds_nothing_to_object_to(system: Callable[[str], Path], case: str) -> None:
    root = system(case)
    units = [path for path in (root / UNITS).iterdir() if path.is_file() and not path.is_symlink()]
    assert len(units) == {"pi": 1, "usb": 7, "all": 7}[case]
    output = run("systemd-analyze", f"--root={root}", "verify", *(f"/{p.relative_to(root)}" for p in units))
    # what it says of this machine's own units is not ours
    assert not [line for line in output.splitlines() if any(path.name in line for path in units)]


@pytest.mark.parametrize("case", CASES)
def test_the_services_are_hardened(system: Callable[[str], Path], case: str) -> None:
    root = system(case)
    services = [p.name for p in (root / UNITS).glob("leuko-*.service")]
    assert "leuko-count.service" in services
    words = ("systemd-analyze", "--offline=true", f"--root={root}", f"--threshold={EXPOSURE}", "security")
    for service in services:
        assert "Overall exposure level" in run(*words, "--no-pager", service)


def test_the_threshold_is_one_that_can_be_missed(system: Callable[[str], Path]) -> None:
    root = system("pi")
    open_unit = root / UNITS / "open.service"
    open_unit.write_text("[Service]\nExecStart=/usr/bin/true\n")
    words = ["systemd-analyze", "--offline=true", f"--root={root}", f"--threshold={EXPOSURE}", "security"]
    done = subprocess.run([*words, "--no-pager", open_unit.name], capture_output=True, check=False)
    open_unit.unlink()
    assert done.returncode != 0


@pytest.mark.parametrize("case", CASES)
def test_users_and_folders_are_understood(system: Callable[[str], Path], case: str, tmp_path: Path) -> None:
    root = system(case)
    output = run("systemd-sysusers", f"--root={root}", "--dry-run", root / "etc/sysusers.d/leuko.conf")
    assert "user 'leuko'" in output
    if os.geteuid() != 0:
        # only root may; CI is root
        pytest.skip("systemd-tmpfiles gives folders away, which needs root")
    shutil.copytree(root / "etc", tmp_path / "etc", symlinks=True)
    with (tmp_path / "etc/passwd").open("a") as file:
        file.write("leuko:x:999:999::/:/bin/false\n")
    with (tmp_path / "etc/group").open("a") as file:
        file.write("leuko:x:999:\n")
    run("systemd-tmpfiles", f"--root={tmp_path}", "--create", "leuko.conf")
    made = (tmp_path / "var/lib/leuko").stat()
    assert (made.st_uid, made.st_gid, made.st_mode & 0o777) == (999, 999, 0o750)


def test_debian_13_agrees(tmp_path: Path) -> None:
    root = bootstrapped(
        tmp_path / "root", "--variant=minbase", "--include=systemd,systemd-sysv,udev", suite="trixie"
    )
    board, sensor, changes = CASES["all"]
    text = profile(board, sensor, **changes, device__release='"trixie"')
    (root / "boot/firmware").mkdir(parents=True)
    (root / "boot/firmware/config.txt").touch()
    (root / "boot/firmware/cmdline.txt").touch()
    carry_out(plan_installation(root, rendered(text)))
    (root / "opt/leuko/bin").mkdir(parents=True)
    (root / "opt/leuko/bin/leuko").touch(mode=0o755)
    script = (
        f"cd /{UNITS}; systemd-analyze verify leuko* *.mount; "
        f"systemd-analyze security --offline=true --threshold={EXPOSURE} --no-pager leuko-count.service; "
        f"systemd-analyze security --offline=true --threshold={EXPOSURE} --no-pager leuko-volatile.service; "
        "udevadm verify /etc/udev/rules.d/70-leuko.rules; "
        "systemd-sysusers leuko.conf; systemd-tmpfiles --dry-run --create leuko.conf"
    )
    done = inside(root, "sh", "-ec", script)
    shutil.rmtree(root)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "udev rules files have been checked" in done.stdout
    assert "Would create directory /var/lib/leuko" in done.stdout + done.stderr
