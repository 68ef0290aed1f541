"""Wheels for a device: the pins of its Python and processor, whatever this machine has."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from firmware_config import wheels
from firmware_config.hardware import RELEASES
from firmware_config.wheels import CHECKOUT, WheelsError, collect, for_environment

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
    said = {"python_full_version": "3.13.0", "platform_machine": "aarch64"}
    assert for_environment(PINNED, said) == (
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


def test_without_a_checkout_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(WheelsError, match="run this from a checkout"):
        collect(tmp_path / "out", "bookworm", "aarch64", checkout=tmp_path)


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.whl").touch()
    with pytest.raises(WheelsError, match="name an empty folder"):
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


def test_install_sh_is_plain_shell() -> None:
    shell = shutil.which("dash") or "sh"
    assert subprocess.run([shell, "-n", CHECKOUT / "install.sh"], check=False).returncode == 0


def test_install_sh_explains_itself() -> None:
    script = CHECKOUT / "install.sh"
    done = subprocess.run([script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert "usage: sudo ./install.sh PROFILE" in done.stderr
    asked = subprocess.run([script, "--help"], capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stdout) == (0, done.stderr)
