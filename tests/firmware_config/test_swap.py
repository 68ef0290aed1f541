"""What was checked is what is installed or loaded, whoever replaces the files meanwhile."""

from __future__ import annotations

import hashlib
from pathlib import Path

import click
import pytest

from edge.model import DeviceSettings, load_bundle
from edge.model.bundle import SHIPPED
from firmware_config.cli import _tree
from firmware_config.render import BUNDLE, UNITS
from firmware_config.tree import PROFILE, File
from tests.firmware_config.swap import swapped
from tests.firmware_config.test_profile import changed, profile

ROUNDS = 10
RIGHT, OTHER = ((SHIPPED / f"{name}.tflite").read_bytes() for name in ("hemocytometer", "phantom3"))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A profile beside its bundle."""
    (tmp_path / "mine.tflite").write_bytes(RIGHT)
    (tmp_path / "device.toml").write_text(changed(profile(), "bundle.file", '"mine.tflite"'))
    return tmp_path / "device.toml"


def content(path: Path, name: str) -> bytes:
    """Render a profile, and return one file of the tree; nothing if it is refused."""
    try:
        entry = _tree(path, path.parent)[name]
    except click.ClickException:
        return b""
    assert isinstance(entry, File)
    return entry.content


def test_another_bundle_is_never_installed(path: Path) -> None:
    assert content(path, BUNDLE) == RIGHT
    with swapped(path.with_name("mine.tflite"), OTHER, RIGHT):
        found = {content(path, BUNDLE) for _ in range(ROUNDS)}
    assert found <= {RIGHT, b""}


def test_another_profile_is_never_installed(path: Path) -> None:
    texts = [changed(path.read_text(), "service.memory_mb", str(memory)) for memory in (901, 902)]
    texts.append(changed(texts[0], "service.memory_mb", "-1"))
    path.write_text(texts[0])  # the first reading may come before the first swap
    with swapped(path, *(text.encode() for text in texts)):
        for _ in range(ROUNDS):
            try:
                tree = _tree(path, path.parent)
            except click.ClickException:
                continue
            unit, named = tree[f"{UNITS}/leuko-count.service"], tree[PROFILE]
            assert isinstance(unit, File)
            assert isinstance(named, File)
            memory = 901 + texts.index(named.content.decode())
            assert f"MemoryMax={memory}M\n".encode() in unit.content


def test_a_bundle_is_loaded_whole(path: Path) -> None:
    bundle = path.with_name("mine.tflite")
    digests = {hashlib.sha256(one).hexdigest() for one in (RIGHT, OTHER)}
    with swapped(bundle, OTHER, RIGHT):
        for _ in range(ROUNDS):
            loaded = load_bundle(bundle, DeviceSettings())
            assert loaded.sha256 in digests
            assert hashlib.sha256(loaded.content).hexdigest() == loaded.sha256
            assert hashlib.sha256(loaded.flatbuffer).hexdigest() == loaded.manifest.sha256
