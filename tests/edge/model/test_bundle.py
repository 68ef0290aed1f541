"""Bundles: written once, read back the same, and refused in every other shape."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.find.crops import Normalisation
from edge.model import archive
from edge.model import bundle as bundles
from edge.model.bundle import Bundle, BundleError, load_bundle, write_bundle
from edge.model.manifest import (
    Answers,
    Manifest,
    Parity,
    Quantisation,
    Readers,
    Rejection,
    RepresentativeSet,
    TrainingData,
    decode,
    encode,
)

FLATBUFFER = b"\x1c\0\0\0TFL3" + bytes(range(256)) * 8


PARITY = Parity(800, 0.951, 0.95, -0.4, 0.2, 0.995, 0.08)
REJECTION = Rejection(
    "probability", 0.5, 0.97, 0.93, {"bead": 0.98, "platelet": 1}, "validation crops", least_precision=0.913
)
ANSWERS = Answers(((2, 1, 0), (0, 3, 1)), (1, 0), (0, 2, 0), 9, "frames")


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
        test_time_views=1,
        margin=None,
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
    return write_bundle(path, described or manifest(), flatbuffer, crops, outputs)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    written(tmp_path / "tiny.tflite")
    return tmp_path / "tiny.tflite"


def test_a_written_bundle_is_read_back(path: Path) -> None:
    bundle = load_bundle(path)
    assert bundle.manifest == manifest()
    assert bundle.flatbuffer == FLATBUFFER
    assert bundle.golden_crops.shape == (3, 8, 8, 1)
    assert bundle.golden_outputs.tolist() == [[1, 2], [3, -4], [5, 6]]
    assert bundle.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert bundle.manifest.pixel_um == 1 / 8
    assert path.read_bytes().startswith(FLATBUFFER), "every TFLite tool must still load it"
    assert list(path.parent.iterdir()) == [path], "no partial file stays behind"


def test_measurements_are_read_back(tmp_path: Path) -> None:
    measured = manifest(
        representative=RepresentativeSet(120, "ab" * 32),
        parity=PARITY,
        rejection=REJECTION,
        answers=ANSWERS,
        readers=Readers(7, 6, 5, 0.8),
        crop_um=1,
    )
    written(tmp_path / "b.tflite", measured)
    assert load_bundle(tmp_path / "b.tflite").manifest == measured


@pytest.mark.parametrize("name", ["answers", "readers"])
def test_a_bundle_of_before_there_were_answers_or_readers_is_read(path: Path, name: str) -> None:
    assert f'"{name}"'.encode() not in path.read_bytes()
    assert getattr(load_bundle(path).manifest, name) is None


@pytest.mark.parametrize("readers", [(9, 6, 5), (7, 8, 5), (7, 6, 7)])
def test_readers_cannot_agree_on_more_than_they_read(readers: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="readers agree on no more cells than they read"):
        encode(manifest(readers=Readers(*readers, kappa=0.5)))


def test_the_same_content_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    written(tmp_path / "again.tflite")
    assert (tmp_path / "again.tflite").read_bytes() == path.read_bytes()


def test_other_programs_read_the_same_content(path: Path) -> None:
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        assert file.namelist() == ["manifest.json", "labels.txt", "golden.npz"]
        golden = np.load(io.BytesIO(file.read("golden.npz")))
    assert (golden["crops"] == load_bundle(path).golden_crops).all()
    assert (golden["outputs"] == load_bundle(path).golden_outputs).all()


@settings(max_examples=300)
@given(st.data())
def test_any_flipped_bit_truncation_or_insertion_is_refused(data: st.DataObject) -> None:
    content = _content()
    place = data.draw(st.integers(0, len(content) - 1))
    flipped = bytearray(content)
    flipped[place] ^= 1 << data.draw(st.integers(0, 7))
    extra = data.draw(st.binary(min_size=1, max_size=40))
    for changed in (bytes(flipped), content[:place], content[:place] + extra + content[place:]):
        with pytest.raises(ValueError, match=r"^[^\n]+$"):
            bundles._parse(changed)


def _content() -> bytes:
    golden = (np.zeros((1, 8, 8, 1), np.int8), np.zeros((1, 2), np.int8))
    content = FLATBUFFER + bundles._appended(len(FLATBUFFER), manifest(), *golden, None)
    assert bundles._parse(content).manifest == manifest()
    return content


def test_more_golden_crops_than_are_replayed_are_refused() -> None:
    """All are answered before the first count."""
    for count, reason in ((32, ""), (33, "33 crops, more than the 32 that are replayed")):
        golden = (np.zeros((count, 8, 8, 1), np.int8), np.zeros((count, 2), np.int8))
        content = FLATBUFFER + bundles._appended(len(FLATBUFFER), manifest(), *golden, None)
        if reason:
            with pytest.raises(BundleError, match=reason):
                bundles._parse(content)
        else:
            assert len(bundles._parse(content).golden_crops) == count


def test_loading_takes_less_than_three_times_the_file(tmp_path: Path) -> None:
    flatbuffer = FLATBUFFER + bytes(4_000_000)
    written(tmp_path / "b.tflite", manifest(sha256=hashlib.sha256(flatbuffer).hexdigest()), flatbuffer)
    tracemalloc.start()
    load_bundle(tmp_path / "b.tflite")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * len(flatbuffer)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"schema": 1}, "convert its training run again"),
        ({"schema": 4}, "leuko bundle upgrade"),
        ({"schema": 6}, "newer leuko-edge"),
        ({"test_time_views": 3}, "contradicts itself: a crop has 1 or 8 test-time views"),
        ({"margin": 0.5}, "contradicts itself"),
        ({"test_time_views": 8, "margin": -1}, "malformed"),
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"labels": ("granulocyte",)}, "contradicts itself"),
        ({"labels": ("granulocyte", "granulocyte")}, "contradicts itself"),
        ({"counted": ("monocyte",)}, "contradicts itself"),
        ({"counted": ()}, "contradicts itself"),
        ({"crop_px": 9}, "golden.npz does not fit"),
        ({"crop_px": 8.5}, "malformed"),
        ({"crop_um": float("nan")}, "malformed"),
        ({"crop_um": 1e-300}, "malformed"),
        ({"crop_um": 1e300}, "malformed"),
        ({"temperature": 0.0}, "malformed"),
        ({"reject_below": 1.0}, "malformed"),
        ({"confusion": ((1, 2),)}, "contradicts itself"),
        ({"answers": dataclasses.replace(ANSWERS, cells=((2, 1), (0, 3)))}, "one column more"),
        ({"answers": dataclasses.replace(ANSWERS, missed=(1,))}, "one row per label"),
        ({"answers": dataclasses.replace(ANSWERS, false=(0, 2))}, "one column more"),
        ({"answers": dataclasses.replace(ANSWERS, frames=0)}, "in frames alone"),
        ({"output": Quantisation(-1.0, 0)}, "malformed"),
        ({"name": "two\nlines"}, "malformed"),
        ({"name": ""}, "malformed"),
        ({"sha256": "AB" * 32}, "malformed"),
        ({"confusion": ((2**53, 0), (0, 0))}, "malformed"),
        ({"parity": dataclasses.replace(PARITY, low=0.2, high=-0.2)}, "contradicts itself"),
        ({"parity": dataclasses.replace(PARITY, agreement=1.1)}, "malformed"),
        ({"rejection": dataclasses.replace(REJECTION, auroc={"bead": float("inf")})}, "malformed"),
        ({"rejection": dataclasses.replace(REJECTION, threshold=0.7)}, "contradicts itself"),
    ],
)
def test_an_invalid_manifest_is_not_written(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(BundleError, match=reason):
        written(tmp_path / "odd.tflite", manifest(**changes))
    assert not list(tmp_path.iterdir())


def test_other_files_are_refused_with_the_reason(tmp_path: Path) -> None:
    foreign = archive.pack({"labelmap.txt": b"cat\n"}, len(FLATBUFFER))
    cases = {
        "empty.tflite": (b"", "empty"),
        "text.tflite": (b"hello, world", "not a TFLite model"),
        "plain.tflite": (FLATBUFFER, "no manifest"),
        "metadata.tflite": (FLATBUFFER + foreign, "not a leuko bundle"),
    }
    for name, (content, reason) in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BundleError, match=reason):
            load_bundle(tmp_path / name)
    with pytest.raises(BundleError, match="no bundle"):
        load_bundle(tmp_path / "absent.tflite")


def test_a_failed_write_keeps_the_older_bundle(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.base.atomic.os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        written(path, manifest(version="2"))
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def test_a_bundle_of_before_the_limit_of_the_precision_keeps_its_bytes() -> None:
    older = manifest(rejection=dataclasses.replace(REJECTION, least_precision=None))
    assert b"least_precision" not in encode(older)
    assert decode(encode(older)) == older
    assert b'"least_precision": 0.913' in encode(manifest(rejection=REJECTION))
