"""Bundles: written once, read back the same, and refused in every other shape."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import bundle as bundles
from edge.bundle import Bundle, BundleError, Manifest, Quantisation, TrainingData, load, write
from edge.crop import Normalisation

FLATBUFFER = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 8


def manifest(**changes: Any) -> Manifest:
    plain = Manifest(
        name="tiny",
        version="1",
        labels=("granulocyte", "debris"),
        counted=("granulocyte",),
        crop_px=8,
        crop_um=1.0,
        normalisation=Normalisation(0, 1 / 255, 0.0),
        input=Quantisation(1 / 255, -128),
        output=Quantisation(0.1, 3),
        sha256=hashlib.sha256(FLATBUFFER).hexdigest(),
        temperature=1.2,
        reject_below=0.5,
        confusion=((3, 1), (0, 4)),
        training=TrainingData("made up", "00" * 32),
        intended_use="tests",
        licence="Apache-2.0",
    )
    return dataclasses.replace(plain, **changes)


def written(path: Path, described: Manifest | None = None, flatbuffer: bytes = FLATBUFFER) -> Bundle:
    crops = np.arange(3 * 64, dtype=np.int16).astype(np.int8).reshape(3, 8, 8, 1)
    outputs = np.array([[1, 2], [3, -4], [5, 6]], np.int8)
    return write(path, described or manifest(), flatbuffer, crops, outputs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written(tmp_path / "tiny.tflite")
    return tmp_path / "tiny.tflite"


def test_what_is_written_is_read(path: Path) -> None:
    bundle = load(path)
    assert bundle.manifest == manifest()
    assert bundle.flatbuffer == FLATBUFFER
    assert bundle.golden_crops.shape == (3, 8, 8, 1)
    assert bundle.golden_outputs.tolist() == [[1, 2], [3, -4], [5, 6]]
    assert bundle.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert bundle.manifest.pixel_um == 1 / 8
    assert path.read_bytes().startswith(FLATBUFFER), "every TFLite tool must still load it"
    assert list(path.parent.iterdir()) == [path], "no partial file stays behind"


def test_same_content_same_bytes(path: Path, tmp_path: Path) -> None:
    written(tmp_path / "again.tflite")
    assert (tmp_path / "again.tflite").read_bytes() == path.read_bytes()


def test_any_changed_byte_is_refused(path: Path) -> None:
    content = path.read_bytes()
    for place in range(0, len(content)):
        changed = bytearray(content)
        changed[place] ^= 0x10
        path.write_bytes(changed)
        with pytest.raises(BundleError) as refusal:
            load(path)
        assert "\n" not in str(refusal.value)


@given(st.data())
def test_any_cut_or_addition_is_refused(data: st.DataObject) -> None:
    content = _content()
    cut = data.draw(st.integers(0, len(content) - 1))
    extra = data.draw(st.binary(min_size=1, max_size=40))
    place = data.draw(st.integers(0, len(content)))
    for changed in (content[:cut], content[:place] + extra + content[place:]):
        with pytest.raises(BundleError):
            bundles._parse(changed)


def _content() -> bytes:
    members = {
        "manifest.json": json.dumps(dataclasses.asdict(manifest()), indent=2).encode(),
        "labels.txt": b"granulocyte\ndebris\n",
        "golden.npz": bundles._pack(
            {
                "crops.npy": bundles._npy(np.zeros((1, 8, 8, 1), np.int8)),
                "outputs.npy": bundles._npy(np.zeros((1, 2), np.int8)),
            }
        ),
    }
    content = FLATBUFFER + bundles._pack(members, len(FLATBUFFER))
    assert bundles._parse(content).manifest == manifest()
    return content


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": 1}, "older"),
        ({"schema": 3}, "newer leuko-edge"),
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"labels": ("granulocyte",)}, "contradicts itself"),
        ({"labels": ("granulocyte", "granulocyte")}, "contradicts itself"),
        ({"counted": ("monocyte",)}, "contradicts itself"),
        ({"counted": ()}, "contradicts itself"),
        ({"crop_px": 9}, "golden.npz does not fit"),
        ({"crop_px": 8.5}, "malformed"),
        ({"crop_um": float("nan")}, "malformed"),
        ({"temperature": 0.0}, "malformed"),
        ({"reject_below": 1.0}, "contradicts itself"),
        ({"confusion": ((1, 2),)}, "contradicts itself"),
        ({"output": Quantisation(-1.0, 0)}, "malformed"),
        ({"name": "two\nlines"}, "malformed"),
    ],
)
def test_a_manifest_that_cannot_be_meant_is_not_written(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(BundleError, match=reason):
        written(tmp_path / "odd.tflite", manifest(**changes))
    assert not list(tmp_path.iterdir())


def test_a_foreign_file_is_named_as_such(tmp_path: Path) -> None:
    cases = {
        "empty.tflite": (b"", "empty"),
        "text.tflite": (b"hello, world", "not a TFLite model"),
        "plain.tflite": (FLATBUFFER, "no manifest"),
        "metadata.tflite": (FLATBUFFER + _zip({"labelmap.txt": b"cat\n"}), "not a leuko bundle"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BundleError, match=reason):
            load(tmp_path / name)
    with pytest.raises(BundleError, match="no bundle"):
        load(tmp_path / "absent.tflite")


def _zip(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def test_a_failed_write_keeps_the_older_bundle(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.durable.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        written(path, manifest(version="2"))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]
