"""Wheels for a device: the pins of its Python and processor, whatever this machine has."""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_config import wheels
from firmware_config.hardware import RELEASES
from firmware_config.wheels import CHECKOUT, WheelsError, collect, for_environment, verify
from tests.firmware_config.swap import swapped
from tests.firmware_config.test_profile import profile

PINNED = """\
# a comment
numpy==1.26.4 ; python_full_version < '3.12' \\
    --hash=sha256:aa \\
    --hash=sha256:bb
numpy==2.5.5 ; python_full_version >= '3.12' \\
    --hash=sha256:cc
tflite-runtime==2.14.0 ; platform_machine == 'armv7l' \\
    --hash=sha256:dd
click==8.5.1 \\
    --hash=sha256:ee
"""


def pins(text: str) -> dict[str, str]:
    return dict(re.findall(r"(?m)^([\w.-]+)==(\S+)", text))


def test_a_pin_is_kept_with_its_hashes_or_not_at_all() -> None:
    values = {"python_full_version": "3.13.0", "platform_machine": "aarch64"}
    assert for_environment(PINNED, values) == (
        "# a comment\nnumpy==2.5.5 \\\n    --hash=sha256:cc\nclick==8.5.1 \\\n    --hash=sha256:ee\n"
    )


@pytest.mark.parametrize("release", RELEASES)
def test_our_own_pins_have_one_version_of_each_for_a_device(release: str) -> None:
    environment = wheels.environment(release, "aarch64")
    kept = for_environment((CHECKOUT / "constraints/base.txt").read_text(), environment)
    names = re.findall(r"(?m)^([\w.-]+)==", kept)
    assert len(names) == len(set(names))
    assert {"numpy", "opencv-python-headless", "ai-edge-litert", "tomlkit"} <= set(names)
    assert "tflite-runtime" not in names
    assert ";" not in kept
    assert pins(kept)["numpy"].startswith("1." if release == "bookworm" else "2.")


def test_a_missing_checkout_is_named(tmp_path: Path) -> None:
    with pytest.raises(WheelsError, match="run this from a checkout"):
        collect(tmp_path / "out", "bookworm", "aarch64", checkout=tmp_path)


def test_a_folder_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.whl").touch()
    with pytest.raises(WheelsError, match="holds other files; give another name"):
        collect(tmp_path, "bookworm", "aarch64")
    assert (tmp_path / "mine.whl").exists()


def test_what_pip_cannot_get_is_named_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "constraints").mkdir()
    missing = f"leuko-edge-has-no-such-package==1.0 --hash=sha256:{'0' * 64}\n"
    (tmp_path / "constraints/base.txt").write_text(missing)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(WheelsError) as caught:
        collect(tmp_path / "out", "bookworm", "aarch64", checkout=tmp_path)
    assert "leuko-edge-has-no-such-package" in str(caught.value)
    assert "\n" not in str(caught.value)


def collected(folder: Path) -> Path:
    """A folder as `collect` leaves it for this machine, of wheels with nothing in them."""
    folder.mkdir()
    rows = [f"# for Python {sys.version_info.major}.{sys.version_info.minor} on {platform.machine()}"]
    for name in ("leuko_edge-0.1-py3-none-any.whl", "numpy-1.26.4-cp311-cp311-linux_aarch64.whl"):
        (folder / name).write_bytes(name.encode())
        digest = hashlib.sha256(name.encode()).hexdigest()
        rows.append(f"{'=='.join(name.split('-')[:2])} --hash=sha256:{digest}")
    (folder / wheels.REQUIREMENTS).write_text("".join(f"{row}\n" for row in rows))
    return folder


NAMES = {
    "another of leuko": "leuko_edge-0.2-py3-none-any.whl",
    "a name that moves the cursor": "foo-1.0\x1b[31mevil\u202e-py3-none-any.whl",
    "a name with blanks": "foo-1.0 --target=x-py3-none-any.whl",
}


def added(folder: Path, name: str) -> str:
    """Return the pin of another wheel, with which the list fits."""
    (folder / name).write_bytes(b"")
    project, version, *_ = name.split("-")
    return f"{project}=={version} --hash=sha256:{hashlib.sha256().hexdigest()}"


def spoil(folder: Path, how: str) -> None:
    ours, other = sorted(folder.glob("*.whl"))
    listed = folder / wheels.REQUIREMENTS
    if how == "tampered":
        ours.write_bytes(b"another")
    elif how == "missing":
        ours.unlink()
    elif how == "other missing":
        other.unlink()
    elif how == "two of leuko":
        shutil.copy(ours, folder / "leuko_edge-0.2-py3-none-any.whl")
    elif how == "another device":
        listed.write_text(re.sub(r"Python \S+", "Python 3.99", listed.read_text()))
    elif how in NAMES:
        listed.write_text(f"{listed.read_text()}{added(folder, NAMES[how])}\n")
    elif how == "none of leuko":
        ours.unlink()
        listed.write_text(re.sub("(?m)^leuko_edge.*\n", "", listed.read_text()))
    else:
        listed.unlink()


SPOILT = {
    "tampered": r"leuko_edge-0\.1-py3-none-any\.whl: is not as it was collected; copy",
    "missing": r"the wheel of leuko_edge==0\.1 is missing; copy",
    "other missing": r"the wheel of numpy==1\.26\.4 is missing; copy",
    "two of leuko": r"leuko_edge-0\.2-py3-none-any\.whl: is not as it was collected",
    "another device": r"is for Python 3\.99 on \S+, not for Python 3\.\d+ on \S+; collect them with",
    "another of leuko": "holds 2 wheels of leuko, and must hold one",
    "none of leuko": "holds no wheels of leuko, and must hold one",
    "a name that moves the cursor": r"is not as it was collected; copy",
    "a name with blanks": r"is not as it was collected; copy",
    "no list": "not made by leuko firmware bundle-wheels",
}


@pytest.mark.parametrize("how", SPOILT)
def test_wheels_that_are_not_those_collected_are_refused(tmp_path: Path, how: str) -> None:
    folder, copy = collected(tmp_path / "wheels"), tmp_path / "copy"
    copy.mkdir()
    verify(folder, copy)
    assert {path.name: path.read_bytes() for path in copy.iterdir()} == {
        path.name: path.read_bytes() for path in folder.iterdir()
    }
    with (folder / wheels.REQUIREMENTS).open("a") as listed:
        listed.write("\n")  # an editor's
    verify(folder, copy)
    spoil(folder, how)
    with pytest.raises(WheelsError, match=SPOILT[how]):
        verify(folder, copy)


def test_wheels_that_are_swapped_meanwhile_are_never_in_the_copy(tmp_path: Path) -> None:
    folder = collected(tmp_path / "wheels")
    wheel = min(folder.glob("*.whl"))
    honest, outcomes = wheel.read_bytes(), set()
    with swapped(wheel, honest, b"another"):
        for k in range(100):
            copy = tmp_path / f"copy{k}"
            copy.mkdir()
            try:
                verify(folder, copy)
                outcomes.add((copy / wheel.name).read_bytes())
            except WheelsError:
                outcomes.add(b"refused")
    assert outcomes <= {honest, b"refused"}


def preflight(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Ask as install.sh does, by a Python that has only its standard library."""
    command = [sys.executable, "-S", "-P", "-m", "firmware_config.preflight", *map(str, words)]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize(("sensor", "more"), [("imx477", " python3-picamera2"), ("usb", "")])
def test_the_packages_follow_from_the_sensor_however_it_is_written(
    tmp_path: Path, sensor: str, more: str
) -> None:
    path, text = tmp_path / "device.toml", profile(sensor=sensor)
    section = re.search(r"(?ms)^\[camera\]\n.*?(?=^# The microscope)", text)
    assert section is not None
    keys = re.findall(r"(?m)^\w+ = .*$", section[0])
    single = text.replace(f'"{sensor}"', f"'{sensor}'")
    inline = text.replace(section[0], "").replace("\n", f"\ncamera = {{ {', '.join(keys)} }}\n", 1)
    dotted = text.replace(section[0], "").replace("\n", "\ncamera." + "\ncamera.".join(keys) + "\n", 1)
    for spelt in (text, single, inline, dotted):
        path.write_text(spelt)
        assert preflight(path).stdout == f"python3-venv{more}\n"


def test_problems_are_named_before_anything_is_installed(tmp_path: Path) -> None:
    path = tmp_path / "device.toml"
    path.write_text(profile(console__port="80", plan__until_cells="0"))
    done = preflight(path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 2)
    assert f"{path}:" in done.stderr
    path.write_text(profile())
    folder = collected(tmp_path / "wheels")
    copy = tmp_path / "copy"
    copy.mkdir()
    assert preflight(path, folder, copy).returncode == 0
    (folder / "\x1b[31mevil\u202e-1-py3-none-any.whl").write_bytes(b"")
    refused = preflight(path, folder, copy)
    assert "\\x1b[31mevil\\u202e-1-py3-none-any.whl: is not as it was collected" in refused.stderr
    (folder / "\x1b[31mevil\u202e-1-py3-none-any.whl").unlink()
    spoil(folder, "tampered")
    refused = preflight(path, folder, copy)
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert "is not as it was collected" in refused.stderr


def test_without_a_profile_leuko_alone_is_installed(tmp_path: Path) -> None:
    assert preflight("").stdout == "python3-venv\n"
    folder, copy = collected(tmp_path / "wheels"), tmp_path / "copy"
    copy.mkdir()
    assert preflight("", folder, copy).returncode == 0
    assert (copy / wheels.REQUIREMENTS).exists()


def test_a_system_of_32_bits_is_refused(tmp_path: Path) -> None:
    for program, prints in (("id", "0"), ("getconf", "32")):
        (tmp_path / program).write_text(f"#!/bin/sh\necho {prints}\n")
        (tmp_path / program).chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(
        [CHECKOUT / "install.sh"], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 1
    assert done.stderr.startswith("install.sh: this system has 32-bit programs, and leuko needs 64: write ")
    assert "Raspberry Pi OS Lite (64-bit)" in done.stderr


def test_install_sh_is_plain_shell() -> None:
    shell = shutil.which("dash") or "sh"
    assert subprocess.run([shell, "-n", CHECKOUT / "install.sh"], check=False).returncode == 0


def test_install_sh_explains_itself() -> None:
    script = CHECKOUT / "install.sh"
    done = subprocess.run([script, "--wheels"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: sudo ./install.sh [PROFILE]" in done.stderr
    asked = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stdout) == (0, done.stderr)
