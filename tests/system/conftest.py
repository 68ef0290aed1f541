"""What whole-program tests share."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

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
