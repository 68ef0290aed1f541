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
    found = _find()
    if found is not None:
        return found
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        pytest.skip("no Chromium is installed, and installing it needs root and apt-get")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (
        ["apt-get", "update"],
        ["apt-get", "install", "--yes", "--no-install-recommends", "chromium"],
    ):
        try:
            done = subprocess.run(
                command,
                capture_output=True,
                text=True,
                check=False,
                timeout=INSTALL_LIMIT_S,
                env=environment,
            )
        except subprocess.TimeoutExpired:
            pytest.skip(f"Chromium was not installed within {INSTALL_LIMIT_S} s")
        if done.returncode:
            reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
            pytest.skip(f"Chromium cannot be installed here: {reason}")
    found = _find()
    if found is None:
        pytest.skip("the package chromium brings no Chromium here")
    return found


def _find() -> Path | None:
    paths = (shutil.which(name) for name in NAMES)
    return next((Path(path) for path in paths if path), None)
