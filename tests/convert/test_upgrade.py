"""A bundle of the last release is refused with the command that converts it, and then counts the same."""

from __future__ import annotations

import dataclasses
import io
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_LZMA, ZIP_STORED, ZipFile

import numpy as np
import pytest
from click.testing import CliRunner, Result

from edge.classify.classifier import Classifier
from edge.cli import main
from edge.model import archive
from edge.model.bundle import BundleError, load_bundle, locate_bundle, split_bundle


def old_manifest() -> dict[str, Any]:
    """A shipped bundle's manifest as the last release wrote it."""
    raw = json.loads(json.dumps(dataclasses.asdict(load_bundle("phantom3").manifest)))
    raw["rejection"] |= {"score": "typicality", "threshold": -raw["rejection"]["threshold"]}
    old_names = {"test_time_views": "views", "margin": "doubt", "out_of_distribution": "typical"}
    return {old_names.get(key, key): value for key, value in raw.items()} | {"schema": 4}


def write_old(path: Path, manifest: dict[str, Any], **more: bytes) -> Path:
    flatbuffer, members = split_bundle(locate_bundle("phantom3").read_bytes())
    members |= {"manifest.json": json.dumps(manifest, indent=2).encode()} | more
    path.write_bytes(flatbuffer + archive.pack(members, len(flatbuffer)))
    return path


def upgrade(old: Path, out: Path) -> Result:
    return CliRunner().invoke(main, ["bundle", "upgrade", str(old), "--out", str(out)])


def test_an_old_bundle_is_named_and_upgraded(tmp_path: Path) -> None:
    old, new = write_old(tmp_path / "old.tflite", old_manifest()), tmp_path / "new.tflite"
    with pytest.raises(BundleError, match=r"old\.tflite: .*bundle upgrade OLD\.tflite --out NEW\.tflite"):
        load_bundle(old)
    done = upgrade(old, new)
    assert (done.exit_code, done.stderr) == (0, "")
    assert new.read_bytes() == locate_bundle("phantom3").read_bytes()
    assert done.stdout == f"{new}: sha256 {load_bundle(new).sha256}\n"
    assert Classifier(load_bundle(new)).replay.exact


def test_a_dropped_signature_is_mentioned(tmp_path: Path) -> None:
    signed = {"signature.json": json.dumps({"public_key": "0" * 64, "signature": "0" * 128}).encode()}
    old = write_old(tmp_path / "old.tflite", old_manifest(), **signed)
    done = upgrade(old, tmp_path / "new.tflite")
    assert done.exit_code == 0
    assert "signature" in done.stderr
    assert "leuko bundle sign" in done.stderr
    assert load_bundle(tmp_path / "new.tflite").signature is None


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": 3}, "only bundles of manifest schema 4 can be upgraded"),
        ({"schema": 5}, "is up to date"),
        ({"temperature": -1}, "temperature is -1; expected a number from 0.01 to 100"),
        ({"more": 1}, "more is not a known key"),
        ({"rejection": {"score": "typicality"}}, "rejection.threshold is missing"),
        ({"rejection": {"score": "typicality", "threshold": "x"}}, 'rejection.threshold is "x"'),
        ({"labels": {"a": [[]]}}, "labels is {"),
        ({"sha256": "0" * 64}, "does not match its manifest's SHA-256"),
    ],
)
def test_anything_but_an_old_bundle_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    old = write_old(tmp_path / "old.tflite", old_manifest() | changes)
    done = upgrade(old, tmp_path / "new.tflite")
    assert done.exit_code == 1
    assert f"{old}: " in done.stderr
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "new.tflite").exists()


@pytest.mark.parametrize(
    ("manifest", "reason"),
    [(b"[" * 200_000, "nested too deeply"), (b"[1]", "not an object"), (b"\xff", "decode")],
)
def test_a_manifest_that_is_none_is_refused(tmp_path: Path, manifest: bytes, reason: str) -> None:
    old = write_old(tmp_path / "old.tflite", old_manifest(), **{"manifest.json": manifest})
    done = upgrade(old, tmp_path / "new.tflite")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert f"{old}: " in done.stderr
    assert reason in done.stderr


def test_a_damaged_old_bundle_is_refused(tmp_path: Path) -> None:
    old = write_old(tmp_path / "old.tflite", old_manifest())
    content = bytearray(old.read_bytes())
    place = content.index(b'"temperature": ') + len(b'"temperature": ')
    content[place] ^= 1
    old.write_bytes(content)
    assert "damaged or altered" in upgrade(old, tmp_path / "new.tflite").stderr
    old.write_bytes(b"text")
    assert "not a TFLite model" in upgrade(old, tmp_path / "new.tflite").stderr


def zipped(method: int, crops: int, **more: bytes) -> bytes:
    """Golden crops as another program might store them."""
    arrays = {"crops": np.zeros((crops, 200, 200, 1), np.int8), "outputs": np.zeros((crops, 3), np.int8)}
    content = {}
    for name, array in arrays.items():
        npy = io.BytesIO()
        np.save(npy, array)
        content[f"{name}.npy"] = npy.getvalue()
    file = io.BytesIO()
    with ZipFile(file, "w", method) as archive:
        for name, data in (content | more).items():
            archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize(
    "golden",
    [
        lambda: zipped(ZIP_DEFLATED, 500),  # 20 MB of 20 kB
        lambda: zipped(ZIP_LZMA, 2),
        lambda: zipped(ZIP_STORED, 2, **{"crops.npy": b""}),
        lambda: zipped(ZIP_DEFLATED, 2)[:-30],
        lambda: b"PK",
        lambda: b"",
    ],
    ids=["bomb", "lzma", "no crops", "cut short", "no archive", "empty"],
)
def test_golden_crops_that_no_release_wrote_are_refused_in_little_memory(
    tmp_path: Path, golden: Callable[[], bytes]
) -> None:
    old = write_old(tmp_path / "old.tflite", old_manifest(), **{"golden.npz": golden()})
    tracemalloc.start()
    done = upgrade(old, tmp_path / "new.tflite")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert f"{old}: golden.npz does not fit the manifest, or is damaged" in done.stderr
    assert not (tmp_path / "new.tflite").exists()
    assert peak < 10 * old.stat().st_size
