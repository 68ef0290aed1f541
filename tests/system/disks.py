"""Small real disks, to fill and to break."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.power_cuts import mounted


def need_mounts(folder: Path) -> None:
    """Skip where ext4 in a file cannot be mounted, as in most containers."""
    if os.geteuid() != 0 or not shutil.which("mkfs.ext4"):
        # only root may mount; CI is root, and there this does not fire
        pytest.skip("mounting a disk needs root and mkfs.ext4")
    image, place = folder / "probe.img", folder / "probe"
    place.mkdir()
    try:
        with mounted(image, place, size=1 << 20):
            pass
    except subprocess.CalledProcessError as error:
        # root in a container may not mount, and only a real disk refuses as a real disk does
        pytest.skip(f"this machine mounts no loop device: {error.stderr.decode().strip()}")


@contextmanager
def ext4(folder: Path, size: int, options: str = "loop", *, new: bool = True) -> Iterator[Path]:
    """An ext4 in a file in the folder, mounted; ``new=False`` mounts the last one again."""
    place = folder / "disk"
    place.mkdir(exist_ok=True)
    with mounted(folder / "disk.img", place, new=new, size=size, options=options):
        yield place


@contextmanager
def tmpfs(folder: Path, size: int) -> Iterator[Path]:
    """A file system in memory."""
    place = folder / "tmpfs"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", place], check=True)
    try:
        yield place
    finally:
        subprocess.run(["umount", place], check=True)
