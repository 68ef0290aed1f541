"""What makes a fresh card of Raspberry Pi OS boot into the instrument: files for its boot partition.

Raspberry Pi OS has cloud-init since Trixie, which reads user-data, meta-data and network-config from the boot
partition (pi-gen, stage2/04-cloud-init/files/99_raspberry-pi.cfg: NoCloud, seedfrom file:///boot/firmware;
read on 2026-11-28).
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import zipfile
import zlib
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path, PurePosixPath
from typing import Any

from edge.base import ANOTHER_NAME, partial_path, read_input, shown
from edge.model import shipped_bundles
from firmware_config.hardware import RELEASES
from firmware_config.profile import DeviceProfile
from firmware_config.read import Reading
from firmware_config.wheels import CHECKOUT, verify

CLOUD_INIT = ("trixie",)
"""Releases of Raspberry Pi OS that have it."""

HOST = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
USER = r"[a-z_][a-z0-9_-]{0,30}"
TAKEN = (
    "root daemon bin sys sync games man lp mail news uucp proxy www-data backup list irc nobody adm tty disk"
    " dialout fax voice cdrom floppy tape sudo audio dip operator src shadow utmp video sasl plugdev staff"
    " users nogroup kmem input kvm render sgx netdev gpio spi i2c crontab ssh leuko"
)
"""Users and groups that a card has already (base-passwd, and Raspberry Pi's): no such user can be made."""

_KEY = re.compile(r"(ssh-(rsa|ed25519)|(sk-)?(ecdsa|ssh)-[a-z0-9@.-]+) [A-Za-z0-9+/]{40,}={0,2}( [ -~]*)?")
_HASH = re.compile(r"\$(5|6|y|2b)\$[A-Za-z0-9./$=,]{20,200}")

_UNIT = "leuko-first-start.service"
_MOST_BYTES = 64 << 10
_CONTENT = ("leuko", "meta-data", "network-config", "user-data")
"""All that an image has."""

_OURS = ("edge/", "firmware_config/")
_UNPACKED_MOST_BYTES = 64 << 20
"""Some ten times what leuko's own wheel holds."""
_LEAST_BYTES = 4 << 10
"""What the smallest file takes on a card."""

_GROUPS = "users,adm,dialout,audio,netdev,video,plugdev,cdrom,games,input,gpio,spi,i2c,render,sudo"
"""Those that Raspberry Pi Imager gives (src/customization_generator.cpp, read on 2026-11-28)."""


class ImageError(Exception):
    """A card that cannot be prepared; the message is one line."""


@dataclass(frozen=True)
class Login:
    """Who may log in on the device.

    Attributes
    ----------
    keys : tuple of str
        Public SSH keys.
    password_hash : str
        As ``openssl passwd -6`` prints it; empty for none.
    """

    user: str
    keys: tuple[str, ...] = ()
    password_hash: str = ""


def public_keys(path: Path) -> tuple[str, ...]:
    """Read a file of public SSH keys; raises ImageError if it holds anything else."""
    lines = [line.strip() for line in _text(path).splitlines()]
    keys = tuple(line for line in lines if line and not line.startswith("#"))
    if "PRIVATE KEY" in "".join(keys):
        raise ImageError(f"{path}: is a private key, which must not leave this machine; name the .pub file")
    if wrong := next((key for key in keys if not _KEY.fullmatch(key)), "" if keys else "an empty file"):
        raise ImageError(f"{path}: {shown(wrong)} is no public SSH key; name the .pub file")
    return keys


def password_hash(path: Path) -> str:
    """Read a file with the hash of a password; raises ImageError for anything else."""
    text = _text(path).strip()
    if not _HASH.fullmatch(text):
        raise ImageError(f"{path}: is no password's hash; write it with openssl passwd -6 > {path}")
    return text


def check_image(profile: DeviceProfile) -> None:
    """Raise ImageError if no card can be prepared for a profile that is right by itself."""
    device, file = profile.device, profile.bundle.file
    if device.release not in CLOUD_INIT:
        raise ImageError(
            f"device.release: Raspberry Pi OS {device.release.title()} has no cloud-init; write"
            f" {json.dumps(CLOUD_INIT[-1])}, or run install.sh on the device"
        )
    path = PurePosixPath(file)
    if file not in shipped_bundles() and (path.is_absolute() or ".." in path.parts):
        raise ImageError(f"bundle.file: {file} leads out of the profile's folder; copy the bundle there")


@dataclass(frozen=True)
class Card:
    """What a card is made of.

    Attributes
    ----------
    checked : Reading
        The profile and its bundle as they were checked; nothing of either is read again.
    machine : str
        The device's processor, as ``uname -m`` prints it.
    """

    checked: Reading
    wheels: Path
    login: Login
    host: str
    machine: str = "aarch64"


def replace_image(out: Path, card: Card) -> int:
    """Write an image in a folder of its own, which takes the place of an earlier one; see `write_image`.

    Raises
    ------
    ImageError
        Also if the folder holds anything but an image.
    """
    out = out.resolve()
    if out.exists() and (others := sorted({path.name for path in out.iterdir()} - {*_CONTENT})):
        raise ImageError(f"{out} holds other files ({shown(others[0])}); {ANOTHER_NAME}")
    partial, earlier = partial_path(out), partial_path(out)
    try:
        size = write_image(partial, card)
        if out.exists():
            # renamed first: a mounted partition, which cannot be, keeps what it holds
            out.rename(earlier)
        partial.rename(out)
    # also when interrupted: the earlier image is never lost
    except BaseException:
        if earlier.exists() and not out.exists():
            earlier.rename(out)
        raise
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if earlier.exists():
        shutil.rmtree(earlier)
    return size


def write_image(out: Path, card: Card, *, checkout: Path = CHECKOUT) -> int:
    """Fill a new folder with what goes onto the boot partition, and return how many bytes these are.

    Raises
    ------
    ImageError, WheelsError
        If there is no checkout, or the wheels are not for the device.
    """
    script = checkout / "install.sh"
    if not script.is_file():
        raise ImageError(f"{script} is missing; run this from a checkout of leuko-edge")
    profile, bundle = card.checked.profile, card.checked.bundle
    if profile is None or bundle is None:
        raise ImageError("first correct what leuko firmware check names")
    leuko = out / "leuko"
    (leuko / "wheels").mkdir(parents=True)
    python = RELEASES[profile.device.release].python
    verify(card.wheels, leuko / "wheels", python=python, machine=card.machine)
    _unpack(leuko / "wheels", leuko)
    shutil.copyfile(script, leuko / "install.sh")
    (leuko / "device.toml").write_text(card.checked.text, encoding="utf-8")
    if profile.bundle.file not in shipped_bundles():
        place = leuko / profile.bundle.file
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(bundle.content)
    for name in ("first-start.sh", _UNIT):
        (leuko / name).write_text(_template(name), encoding="utf-8")
    identity = hashlib.sha256()
    for path in sorted(leuko.rglob("*")):
        if path.is_file():
            identity.update(path.read_bytes())
    (out / "user-data").touch(0o600)  # it may hold the hash of a password
    _document(out / "user-data", user_data(card.login, card.host), "#cloud-config\n")
    _document(out / "network-config", NETWORK)
    _document(out / "meta-data", {"dsmode": "local", "instance-id": f"leuko-{identity.hexdigest()[:16]}"})
    return sum(path.stat().st_size for path in out.rglob("*") if path.is_file())


NETWORK = {"network": {"version": 2, "ethernets": {"eth0": {"dhcp4": True, "optional": True}}}}
"""As that of a fresh card; the count needs no network."""


def user_data(login: Login, host: str) -> dict[str, Any]:
    """Return cloud-init's configuration: host name, user, and the unit that installs the instrument.

    `bootcmd` runs at each boot, unlike `runcmd`, so that an installation that a power cut ends begins again.
    """
    user: dict[str, Any] = {
        "name": login.user,
        "groups": _GROUPS,
        "shell": "/bin/bash",
        "lock_passwd": not login.password_hash,
    }
    if login.password_hash:
        user["passwd"] = login.password_hash
        user["sudo"] = "ALL=(ALL) ALL"
    else:
        user["sudo"] = "ALL=(ALL) NOPASSWD:ALL"  # there is no password to ask for
    if login.keys:
        user["ssh_authorized_keys"] = list(login.keys)
    unit = f"/run/systemd/system/{_UNIT}"
    return {
        "hostname": host,
        "users": [user],
        "ssh_pwauth": False,
        "bootcmd": [
            ["install", "-D", "--mode=644", f"/boot/firmware/leuko/{_UNIT}", unit],
            ["systemctl", "daemon-reload"],
            ["systemctl", "start", "--no-block", _UNIT],
        ],
    } | ({"runcmd": [["systemctl", "enable", "--now", "ssh"]]} if login.keys else {})


def _text(path: Path) -> str:
    return read_input(path, _MOST_BYTES).decode("utf-8", "replace")


def _template(name: str) -> str:
    return (files("firmware_config") / "templates" / name).read_text(encoding="utf-8")


def _document(place: Path, content: Any, head: str = "") -> None:
    """Write YAML, in the subset of it that is JSON."""
    place.write_text(f"{head}{json.dumps(content, indent=2)}\n", encoding="ascii")


def _unpack(wheels: Path, into: Path) -> None:
    """Take what install.sh checks the profile with out of leuko's own wheel."""
    (wheel,) = wheels.glob("leuko_edge-*.whl")
    try:
        with zipfile.ZipFile(wheel) as archive:
            wanted = [one for one in archive.infolist() if one.filename.startswith(_OURS)]
            if sum(_LEAST_BYTES + one.file_size for one in wanted) > _UNPACKED_MOST_BYTES:
                raise ValueError(f"holds more than {_UNPACKED_MOST_BYTES >> 20} MiB of programs")
            if any(one.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for one in wanted):
                raise ValueError("is compressed as no wheel is")
            archive.extractall(into, wanted)
    # RuntimeError for an encrypted member
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError, RuntimeError) as error:
        raise ImageError(f"{wheel.name}: {error}; collect the wheels again") from error
