"""A folder of wheels for installing on a device without a network."""

from __future__ import annotations

import hashlib
import platform
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from edge.base import ANOTHER_NAME, python_environment, python_words, read_input, shown
from firmware_config.hardware import RELEASES

CHECKOUT = Path(__file__).resolve().parents[1]
REQUIREMENTS = "leuko-requirements.txt"
_PINNED = "leuko-pinned.txt"
_WHEEL = re.compile(r"[A-Za-z0-9._]+-[A-Za-z0-9._+!]+(-[A-Za-z0-9._]+){3,4}\.whl")
"""File names of wheels (packaging.python.org, binary distribution format)."""
_LIST_MOST_BYTES, _WHEEL_MOST_BYTES = 1 << 20, 512 << 20
GLIBC = {"bookworm": 36, "trixie": 41}
"""Minor version of each release's glibc 2; wheels for an older one work too."""


class WheelsError(Exception):
    """Wheels that cannot be collected or used; the message is one line."""


def collect(folder: Path, release: str, machine: str, *, checkout: Path = CHECKOUT) -> list[Path]:
    """Fill a folder with a checkout's wheel, all that it needs, and a list of hashes; return the wheels.

    Wheels of an earlier collection are removed. Raises WheelsError if there is no checkout, or pip cannot get
    or build a wheel.

    Parameters
    ----------
    machine : str
        As ``uname -m`` prints it on the device.
    """
    constraints = checkout / "constraints" / "base.txt"
    if not constraints.is_file():
        raise WheelsError(f"{constraints} is missing; run this from a checkout of leuko-edge")
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()) and not any((folder / name).exists() for name in (REQUIREMENTS, _PINNED)):
        raise WheelsError(f"{folder} holds other files; {ANOTHER_NAME}")
    for old in (*folder.glob("*.whl"), *folder.glob("*.tar.gz"), *folder.glob(REQUIREMENTS)):
        old.unlink()
    python = RELEASES[release].python
    listed = folder / _PINNED
    pinned = for_environment(constraints.read_text(encoding="utf-8"), environment(release, machine))
    listed.write_text(pinned, encoding="utf-8")
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in range(17, GLIBC[release] + 1)]
    _pip(
        "download",
        *("--no-deps", "--require-hashes", "--dest", str(folder)),
        *("--python-version", python, "--implementation", "cp"),
        *("--abi", f"cp{python.replace('.', '')}", "--abi", "abi3", "--abi", "none"),
        *(word for one in (*platforms, f"manylinux2014_{machine}") for word in ("--platform", one)),
        *("--requirement", str(listed)),
    )
    for source in folder.glob("*.tar.gz"):
        _pip("wheel", "--no-deps", "--wheel-dir", str(folder), str(source))
        source.unlink()
    _pip("wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(checkout))
    wheels = sorted(folder.glob("*.whl"))
    for wheel in wheels:
        # a wheel built here fits the device only if it is plain Python
        if not wheel.stem.endswith(("-any", machine)):
            raise WheelsError(f"{wheel.name}: is not for {machine}; pin a version that has wheels")
    listed.unlink()
    # last, because this list tells install.sh that the folder is complete
    rows = (_head(python, machine), *(_pin(wheel.name, wheel.read_bytes()) for wheel in wheels))
    (folder / REQUIREMENTS).write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
    return wheels


def verify(folder: Path, into: Path, *, python: str = "", machine: str = "") -> None:
    """Copy a folder of wheels, and check the copy against its list: each wheel is listed with its hash.

    Only the copy is to be installed: the folder may change after it was read. Raises WheelsError if a wheel
    is altered, unlisted or missing, if not one is leuko's own, or if they were collected for another Python
    or processor.

    Parameters
    ----------
    python, machine : str
        Version, such as 3.13, and processor that they must be for; by default this device's.
    """
    listed = folder / REQUIREMENTS
    if not listed.is_file():
        raise WheelsError(f"{folder}: was not made by leuko firmware bundle-wheels")
    content = read_input(listed, _LIST_MOST_BYTES)
    head, *pins = content.decode("utf-8", "replace").splitlines() or [""]
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    here = _head(python or this, machine or platform.machine())
    if head != here:
        made_for = shown(head.strip("# ")).strip('"')
        raise WheelsError(
            f"{folder}: is {made_for}, not {here.strip('# ')}; collect them with the device's "
            "--release and --machine"
        )
    pins = [pin for pin in pins if pin]
    again, there = "copy the folder here again", []
    for wheel in sorted(folder.glob("*.whl")):
        data = read_input(wheel, _WHEEL_MOST_BYTES)
        pin = _pin(wheel.name, data)
        if pin not in pins or not _WHEEL.fullmatch(wheel.name):
            raise WheelsError(f"{wheel}: is not as it was collected; {again}")
        there.append(pin)
        (into / wheel.name).write_bytes(data)
    for pin in pins:
        if pin not in there:
            raise WheelsError(f"{folder}: the wheel of {pin.split(' ')[0]} is missing; {again}")
    if (own := sum(pin.startswith("leuko_edge==") for pin in there)) != 1:
        raise WheelsError(
            f"{folder}: holds {own or 'no'} wheels of leuko, and must hold one; collect them again"
        )
    rows = "".join(f"{row}\n" for row in (head, *pins))
    (into / REQUIREMENTS).write_text(rows, encoding="utf-8")


def _head(python: str, machine: str) -> str:
    return f"# for Python {python} on {machine}"


def _pin(wheel: str, data: bytes) -> str:
    name, version, *_ = *wheel.split("-"), ""
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(data).hexdigest()}"


def environment(release: str, machine: str) -> dict[str, str]:
    """Return the values of the marker variables on a device."""
    python = RELEASES[release].python
    return {
        "platform_machine": machine,
        "python_full_version": f"{python}.0",
        "python_version": python,
        "platform_python_implementation": "CPython",
        "implementation_name": "cpython",
        "sys_platform": "linux",
    }


def for_environment(pinned: str, values: Mapping[str, str]) -> str:
    """Return the pins of one environment without their markers, which pip would evaluate for its own machine.

    The pins are lines ``name==version ; marker``, each followed by its hashes.
    """
    # it comes with hatchling, which builds the wheel; devices have neither
    from packaging.markers import Marker

    kept, keep = [], True
    for row in pinned.splitlines():
        if re.match("[A-Za-z0-9]", row):
            requirement, _, marker = row.removesuffix("\\").partition(";")
            keep = not marker.strip() or Marker(marker).evaluate(dict(values))
            row = f"{requirement.strip()} \\"
        if keep:
            kept.append(row)
    return "".join(f"{row}\n" for row in kept)


def _pip(*words: str) -> None:
    command = python_words("pip", "--disable-pip-version-check", "--quiet", *words)
    environment = python_environment(own_modules=False)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise WheelsError(f"pip {words[0]}: {lines[-1].strip()}")
