"""The files that make a card boot into the instrument, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import firmware_config.image
from edge.cli import main
from edge.model import locate_bundle
from firmware_config.check import check
from firmware_config.image import Card, ImageError, Login, user_data, write_image
from firmware_config.read import read
from firmware_config.wheels import CHECKOUT, REQUIREMENTS, _head, _pin
from tests.firmware_config.test_profile import changed, profile

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ4rHEGSXSUjWnEEcWNfGcCdNMSCDDEWfmVqqiQDSBkU me@here"
HASH = "$6$n1Wg2PHfHwZcDR9k$" + "o6kyoJbu7zG3T0PAE3Rh" * 4 + "aaaaaa"
"""As openssl passwd -6 prints it, though of no known password."""


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Leuko's own wheel, as bundle-wheels would collect it; what it needs makes no difference here."""
    folder = tmp_path_factory.mktemp("collected")
    wheel = folder / "leuko_edge-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for package in ("edge", "firmware_config", "train"):
            for path in sorted((CHECKOUT / package).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    archive.write(path, path.relative_to(CHECKOUT))
    rows = (_head("3.13", "aarch64"), _pin(wheel.name, wheel.read_bytes()))
    (folder / REQUIREMENTS).write_text("".join(f"{row}\n" for row in rows))
    return folder


@pytest.fixture
def given(tmp_path: Path) -> Path:
    """What a person has: a profile, a public key, and a password's hash."""
    (tmp_path / "device.toml").write_text(profile(device__release='"trixie"'))
    (tmp_path / "id.pub").write_text(f"# two computers\n{KEY}\n{KEY.replace('me@here', '')}\n")
    (tmp_path / "hash").write_text(f"{HASH}\n")
    return tmp_path


def image(given: Path, collected: Path, *words: str, user: str = "lab") -> Result:
    options = ("--out", given / "card", "--wheels", collected, "--user", user, *words)
    return CliRunner().invoke(main, ["firmware", "image", str(given / "device.toml"), *map(str, options)])


def test_the_card_gets_all_that_its_first_start_needs(given: Path, collected: Path) -> None:
    done = image(given, collected, "--ssh-key", str(given / "id.pub"))
    assert (done.exit_code, done.stdout) == (0, f"{given / 'card'}\n"), done.output
    assert "beside config.txt" in done.stderr
    card = given / "card"
    assert sorted(path.name for path in card.iterdir()) == [
        "leuko",
        "meta-data",
        "network-config",
        "user-data",
    ]
    head, _, text = (card / "user-data").read_text().partition("\n")
    assert head == "#cloud-config"
    found = json.loads(text)
    assert found["users"][0]["ssh_authorized_keys"] == [KEY, KEY.removesuffix(" me@here")]
    assert (found["hostname"], found["ssh_pwauth"]) == ("leuko", False)
    assert "passwd" not in found["users"][0]
    assert re.fullmatch("leuko-[0-9a-f]{16}", json.loads((card / "meta-data").read_text())["instance-id"])
    # what install.sh runs on the device, on this Python
    leuko = card / "leuko"
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(leuko), "PYTHONDONTWRITEBYTECODE": "1"}
    words = [sys.executable, "-P", "-m", "firmware_config.preflight", str(leuko / "device.toml")]
    packages = subprocess.run(words, capture_output=True, text=True, check=True, env=environment, cwd=leuko)
    assert packages.stdout == "python3-venv python3-picamera2\n"
    assert (leuko / "install.sh").read_bytes() == (CHECKOUT / "install.sh").read_bytes()
    assert not list(card.rglob("__pycache__"))


def test_the_same_card_is_the_same_instance(given: Path, collected: Path) -> None:
    """Cloud-init repeats a first start for another one."""
    words = ("--password-hash", str(given / "hash"))
    made = []
    for key in ("16", "16", "17"):
        text = changed((given / "device.toml").read_text(), "storage.journal_mb", key)
        (given / "device.toml").write_text(text)
        assert image(given, collected, *words, "--force").exit_code == 0
        made.append((given / "card/meta-data").read_text())
    assert made[0] == made[1] != made[2]
    assert "runcmd" not in (given / "card/user-data").read_text()


def test_a_password_is_asked_for_where_there_is_one() -> None:
    assert user_data(Login("lab", password_hash=HASH), "x")["users"][0]["sudo"] == "ALL=(ALL) ALL"
    assert user_data(Login("lab", (KEY,)), "x")["users"][0]["lock_passwd"] is True


def test_a_bundle_beside_the_profile_comes_along(given: Path, collected: Path) -> None:
    (given / "models").mkdir()
    shutil.copy(locate_bundle("hemocytometer"), given / "models/mine.tflite")
    text = changed((given / "device.toml").read_text(), "bundle.file", '"models/mine.tflite"')
    (given / "device.toml").write_text(text)
    assert image(given, collected, "--password-hash", str(given / "hash")).exit_code == 0
    assert (given / "card/leuko/models/mine.tflite").stat().st_size > 1e6
    away = given / "profiles"
    away.mkdir()
    (away / "hash").write_text(HASH)
    (away / "device.toml").write_text(changed(text, "bundle.file", '"../models/mine.tflite"'))
    done = image(away, collected, "--password-hash", str(away / "hash"))
    assert done.stderr.splitlines()[-1] == (
        "Error: bundle.file: ../models/mine.tflite leads out of the profile's folder; copy the bundle there"
    )


@pytest.mark.parametrize(
    ("name", "content", "user", "line"),
    [
        (
            "id.pub",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Blbn",
            "lab",
            "is a private key, which must not leave",
        ),
        (
            "id.pub",
            "ssh-ed25519 AAAA\n",
            "lab",
            'id.pub: "ssh-ed25519 AAAA" is no public SSH key; name the .pub',
        ),
        ("id.pub", f'{KEY}"\n- evil\x1b', "lab", "is no public SSH key"),
        ("id.pub", "\n", "lab", "is no public SSH key"),
        ("hash", "correct horse\n", "lab", "hash: is no password's hash; write it with openssl passwd -6 > "),
        ("hash", f"{HASH}\n", "Lab", "--user: 'Lab' is no name"),
        (
            "hash",
            f"{HASH}\n",
            "operator",
            "--user: operator is a user or group of the system; choose another",
        ),
        ("hash", f"{HASH}\n", "leuko", "--user: leuko is a user or group of the system"),
        (
            "device.toml",
            profile(),
            "lab",
            'Raspberry Pi OS Bookworm has no cloud-init; write "trixie", or run',
        ),
        ("device.toml", "version = 1\n", "lab", "first correct what leuko firmware check names"),
        ("", "", "lab", "give --ssh-key or --password-hash: nobody could log in, not even to calibrate"),
    ],
)
def test_what_cannot_become_a_card_is_one_line(
    given: Path, collected: Path, name: str, content: str, user: str, line: str
) -> None:
    if name:
        (given / name).write_text(content)
    words = {"id.pub": ("--ssh-key", "id.pub"), "": ()}.get(name, ("--password-hash", "hash"))
    done = image(given, collected, *(str(given / one) if "-" not in one else one for one in words), user=user)
    assert done.exit_code in (1, 2)
    assert line in done.stderr.splitlines()[-1]
    assert not (given / "card").exists()
    assert not list(given.glob(".card*"))


def test_what_is_there_stays(given: Path, collected: Path) -> None:
    card, words = given / "card", ("--password-hash", str(given / "hash"))
    card.mkdir()
    (card / "theirs").touch()
    for more, line in (
        ((), "exists; give another name, or pass --force"),
        (("--force",), 'holds other files ("theirs"); give another name'),
    ):
        done = image(given, collected, *words, *more)
        assert done.exit_code == 1
        assert line in done.stderr
        assert [path.name for path in card.iterdir()] == ["theirs"]


@pytest.mark.parametrize("name", ["kernel8.img", "overlays"])
def test_a_boot_partition_that_holds_an_image_is_left_alone(given: Path, collected: Path, name: str) -> None:
    words = ("--password-hash", str(given / "hash"), "--force")
    card = given / "card"
    assert image(given, collected, *words).exit_code == 0
    assert stat.S_IMODE((card / "user-data").stat().st_mode) == 0o600
    (card / "leuko/first-start.log").touch()
    assert image(given, collected, *words).exit_code == 0
    assert not (card / "leuko/first-start.log").exists()
    (card / name).mkdir()
    (card / name / "theirs").touch()
    done = image(given, collected, *words)
    assert done.exit_code == 1
    assert f'holds other files ("{name}"); give another name' in done.stderr
    assert {path.name for path in card.iterdir()} == {
        "leuko",
        "user-data",
        "meta-data",
        "network-config",
        name,
    }
    assert (card / name / "theirs").exists()
    assert not list(given.glob(".card*"))


def test_an_image_that_cannot_be_moved_stays(
    given: Path, collected: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a mounted partition."""
    words = ("--password-hash", str(given / "hash"), "--force")
    assert image(given, collected, *words).exit_code == 0
    rename = Path.rename

    def busy(path: Path, target: Path) -> Path:
        if path.name == "card":
            raise OSError(errno.EBUSY, "Device or resource busy", str(path))
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", busy)
    done = image(given, collected, *words)
    assert done.exit_code == 1
    assert "Device or resource busy" in done.stderr
    assert (given / "card/leuko/install.sh").exists()
    assert not list(given.glob(".card*"))


def test_what_was_checked_is_what_is_installed(given: Path, collected: Path) -> None:
    """Profile and bundle are not read again."""
    shutil.copy(locate_bundle("hemocytometer"), given / "mine.tflite")
    text = changed((given / "device.toml").read_text(), "bundle.file", '"mine.tflite"')
    checked = check(read(text), given, given)
    honest = (given / "mine.tflite").read_bytes()
    (given / "mine.tflite").unlink()
    write_image(given / "card", Card(checked, collected, Login("lab", (KEY,)), "leuko"))
    assert (given / "card/leuko/mine.tflite").read_bytes() == honest
    assert (given / "card/leuko/device.toml").read_text() == text


@pytest.mark.parametrize("how", ["no archive", "encrypted", "large", "many", "torn"])
def test_a_wheel_of_leuko_that_cannot_be_unpacked_is_one_line(
    given: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(firmware_config.image, "_UNPACKED_MOST_BYTES", 1 << 20)
    folder = tmp_path / "strange"
    folder.mkdir()
    wheel = folder / "leuko_edge-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        if how == "large":
            archive.writestr("edge/__init__.py", bytes(1 << 20))
        for k in range(300 if how == "many" else 1):
            archive.writestr(f"edge/{k}", b"a line\n")
    content = bytearray(wheel.read_bytes())
    if how == "encrypted":
        content[content.index(b"PK\x01\x02") + 8] |= 1
        content[6] |= 1
    elif how == "torn":
        content[35:40] = b"\xff" * 5
    wheel.write_bytes(b"text" if how == "no archive" else content)
    rows = (_head("3.13", "aarch64"), _pin(wheel.name, wheel.read_bytes()))
    (folder / REQUIREMENTS).write_text("".join(f"{row}\n" for row in rows))
    done = image(given, folder, "--password-hash", str(given / "hash"))
    assert done.exit_code == 1
    line = done.stderr.splitlines()[-1]
    assert line.startswith(f"Error: {wheel.name}: ")
    assert line.endswith("; collect the wheels again")
    assert not (given / "card").exists()


def test_wheels_of_another_device_are_refused(given: Path, collected: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(collected, other)
    listed = other / REQUIREMENTS
    listed.write_text(listed.read_text().replace("3.13", "3.11"))
    done = image(given, other, "--password-hash", str(given / "hash"))
    assert done.exit_code == 1
    assert "is for Python 3.11 on aarch64, not for Python 3.13 on aarch64" in done.stderr


def test_it_needs_a_checkout(given: Path) -> None:
    with pytest.raises(ImageError, match=r"install.sh is missing; run this from a checkout"):
        write_image(given / "card", None, checkout=given)  # type: ignore[arg-type]  # not looked at


def test_the_shell_finds_nothing_to_object_to() -> None:
    path = CHECKOUT / "firmware_config/templates/first-start.sh"
    for program in (("sh", "-n"), ("bash", "-n"), ("shellcheck",)):
        if shutil.which(program[0]):
            subprocess.run([*program, path], check=True)
