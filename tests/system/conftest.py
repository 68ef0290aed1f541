"""What whole-program tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import shared_folder

ROOT = Path(__file__).resolve().parents[2]
INSTALL_LIMIT_S = 400
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def chromium() -> Path:
    """A Chromium: the installed one, or Debian's, which is installed now."""
    found = _find() or _installed()
    if found is None and "CI" in os.environ:
        pytest.fail("no Chromium, and Debian's could not be installed: the pages would go untested")
    if found is None:
        # a browser is no Python package: who is not root on Debian may have none, and CI, above, must
        pytest.skip("needs Chromium: sudo apt install chromium")
    return found


def _find() -> Path | None:
    paths = (shutil.which(name) for name in NAMES)
    return next((Path(path) for path in paths if path), None)


def _installed() -> Path | None:
    """Debian's Chromium, installed now; None where rights, a network or time are missing."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        return None
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "--yes", "--no-install-recommends", "chromium"]):
        command = ["apt-get", *words]
        try:
            subprocess.run(command, capture_output=True, check=True, timeout=INSTALL_LIMIT_S, env=environment)
        except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
            return None
    return _find()


@pytest.fixture(scope="session")
def userland(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of an aarch64 userland: the one at $LEUKO_ARM_USERLAND, or one that is built now."""
    with shared_folder(tmp_path_factory, "aarch64") as built:
        folder = Path(os.environ.get("LEUKO_ARM_USERLAND") or built).absolute()
        if not (folder / "ready").exists():
            _build_userland(folder)
    return folder


def _build_userland(folder: Path) -> None:
    """Build an aarch64 userland, or skip."""
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        # a Debian root is made by root with Debian's tools; CI has both
        pytest.skip("building the aarch64 userland needs root and apt-get")
    script = ROOT / "tests" / "system" / "arm_userland.sh"
    environment = {**os.environ, "PYTHON": sys.executable}
    try:
        done = subprocess.run(
            [script, folder],
            capture_output=True,
            text=True,
            check=False,
            env=environment,
            timeout=INSTALL_LIMIT_S,
        )
    except subprocess.TimeoutExpired:
        # a mirror that hangs is no fault of the project
        pytest.skip(f"the aarch64 userland was not built within {INSTALL_LIMIT_S} s")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        # no mirror, no package registry, or a container that forbids chroot: the reason is the script's own
        pytest.skip(f"the aarch64 userland cannot be built here: {reason}")
