"""A network's file may be anybody's: it gives weights, and nothing in it is built, imported or called."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile

import numpy as np
import pytest

pytest.importorskip("keras", reason="needs the train extra")

import h5py
import keras

from train.network_file import read_network
from train.networks import build_network
from train.recipe import Recipe
from train.run import read_crops

RECIPE = Recipe("tiny", network="hep2", crop_px=78)


def build() -> keras.Model:
    return build_network(RECIPE, 2)


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("network") / "model.keras"
    build().save(path)
    return path


def members(path: Path) -> dict[str, bytes]:
    with ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def write(path: Path, content: dict[str, bytes], method: int = ZIP_STORED) -> Path:
    with ZipFile(path, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(name, data)
    return path


def described(change: Callable[[list[Any]], object]) -> Callable[[dict[str, bytes]], object]:
    """Change the layers of a description."""

    def changed(content: dict[str, bytes]) -> None:
        description = json.loads(content["config.json"])
        change(description["config"]["layers"])
        content["config.json"] = json.dumps(description).encode()

    return changed


def weighed(change: Callable[[h5py.File], object]) -> Callable[[dict[str, bytes]], object]:
    """Change the weights."""

    def changed(content: dict[str, bytes]) -> None:
        data = io.BytesIO(content["model.weights.h5"])
        with h5py.File(data, "r+") as file:
            change(file)
        content["model.weights.h5"] = data.getvalue()

    return changed


FIRST = "layers/conv2d/vars/0"


def replaced(file: h5py.File, **options: Any) -> None:
    values = file[FIRST][()]
    del file[FIRST]
    file.create_dataset(FIRST, **{"shape": values.shape, "dtype": values.dtype} | options)


def to_lambda(layers: list[Any]) -> None:
    layers[3] |= {"module": "keras.layers", "class_name": "Lambda"}
    layers[3]["config"] |= {
        "function": {"module": "keras.utils", "class_name": "function", "config": "get_file"},
        "arguments": {"fname": "/tmp/written", "origin": "file:///etc/hostname"},
    }


def external(file: h5py.File) -> None:
    shape = file[FIRST].shape
    del file[FIRST]
    file.create_dataset(FIRST, shape, "f4", external=[("/etc/passwd", 0, 4 * int(np.prod(shape)))])


def virtual(file: h5py.File) -> None:
    shape = file[FIRST].shape
    del file[FIRST]
    layout = h5py.VirtualLayout(shape, "f4")
    layout[...] = h5py.VirtualSource("/etc/passwd", "x", shape)
    file.create_virtual_dataset(FIRST, layout)


def linked(file: h5py.File) -> None:
    del file[FIRST]
    file[FIRST] = h5py.ExternalLink("/tmp/other.h5", "/x")


def not_finite(file: h5py.File) -> None:
    file[FIRST][0] = np.nan


HOSTILE: dict[str, tuple[Callable[[dict[str, bytes]], object], str]] = {
    "lambda": (described(to_lambda), "is a Lambda, not the recipe's"),
    "activation": (
        described(lambda found: found[3]["config"].update(activation="relu")),
        "another activation",
    ),
    "stride": (described(lambda found: found[1]["config"].update(strides=[2, 2])), "another strides"),
    "source": (
        described(lambda found: found[4].update(inbound_nodes=found[2]["inbound_nodes"])),
        "reads other",
    ),
    "one layer less": (described(lambda found: found.pop()), "15 layers|layers, the recipe's network"),
    "no layers": (described(lambda found: found.clear()), "it has 0 layers"),
    "layer without settings": (described(lambda found: found.__setitem__(0, 5)), "describes no layers"),
    "not an object": (lambda content: content.update({"config.json": b"[1]"}), "not an object"),
    "deep": (lambda content: content.update({"config.json": b"[" * 90_000}), "nested too deeply"),
    "more members": (lambda content: content.update({"assets/x.py": b"1"}), "other members"),
    "outside": (lambda content: content.update({"../x": b"1"}), "other members"),
    "fewer members": (lambda content: content.pop("metadata.json"), "other members"),
    "no weights": (lambda content: content.update({"model.weights.h5": b""}), "weights are damaged"),
    "external": (weighed(external), "not stored as they are"),
    "virtual": (weighed(virtual), "not stored as they are"),
    "external link": (weighed(linked), "link to other files"),
    "soft link": (
        weighed(lambda file: file.__setitem__("layers/more", h5py.SoftLink("/layers"))),
        "link to other files",
    ),
    "loop": (weighed(lambda file: file.__setitem__("layers/more", file["layers"])), "not a tree"),
    "compressed": (weighed(lambda file: replaced(file, compression="gzip")), "not stored as they are"),
    "bomb": (
        weighed(lambda file: file.create_dataset("x", (1 << 40,), "f4", chunks=(1 << 20,))),
        "not stored",
    ),
    "declared only": (weighed(lambda file: file.create_dataset("x", (1 << 40,), "f4")), "cut short"),
    "text": (weighed(lambda file: file.create_dataset("x", data=["get_file"])), "not numbers|not stored"),
    "other shape": (weighed(lambda file: replaced(file, shape=(7, 7, 1, 7))), "not a network"),
    "missing": (weighed(lambda file: file.__delitem__(FIRST)), "weights for a network of"),
    "too many": (
        weighed(lambda file: file.create_dataset("x", data=np.zeros(500_000))),
        "weights for a network",
    ),
    "not finite": (weighed(not_finite), "not finite numbers"),
}


def test_the_sound_file_is_read(sound: Path) -> None:
    crop = np.random.default_rng(0).random((1, 78, 78, 1), np.float32)
    expected = keras.models.load_model(sound).predict_on_batch(crop)
    np.testing.assert_array_equal(read_network(sound, build).predict_on_batch(crop), expected)


@pytest.mark.parametrize("kind", HOSTILE)
def test_what_leuko_train_does_not_write_is_refused_by_name(kind: str, sound: Path, tmp_path: Path) -> None:
    change, why = HOSTILE[kind]
    content = members(sound)
    change(content)
    path = write(tmp_path / "model.keras", content)
    with pytest.raises(ValueError, match=why) as refused:
        read_network(path, build)
    assert str(refused.value).startswith(f"{path} ")
    assert str(refused.value).isprintable()
    assert [one.name for one in tmp_path.iterdir()] == ["model.keras"]


def test_a_compressed_archive_and_no_archive_are_refused(sound: Path, tmp_path: Path) -> None:
    squeezed = write(tmp_path / "squeezed.keras", members(sound), ZIP_DEFLATED)
    with pytest.raises(ValueError, match="archive is compressed"):
        read_network(squeezed, build)
    damaged = Path(shutil.copy(sound, tmp_path / "damaged.keras"))
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    with pytest.raises(ValueError, match="CRC"):
        read_network(damaged, build)
    damaged.write_bytes(b"PK")
    with pytest.raises(ValueError, match="not a zip file"):
        read_network(damaged, build)


def test_a_small_file_does_not_make_a_large_network(sound: Path) -> None:
    huge = Recipe("huge", network="vgg16", crop_px=1024)
    with pytest.raises(ValueError, match="has another batch_shape"):
        read_network(sound, lambda: build_network(huge, 2))


@pytest.mark.parametrize("header", ["{'descr': (", "{'descr': '|u1', 'shape': (9", "'" * 40, "{}"])
def test_damaged_crops_are_one_line(header: str, tmp_path: Path) -> None:
    settings = {
        "recipe": {"name": "tiny", "network": "hep2"},
        "labels": ["a", "b"],
        "crop_px": 78,
        "training": {"cells": 1, "counts": {"a": 1}, "sha256": "0" * 64},
    }
    (tmp_path / "config.json").write_text(json.dumps(settings))
    array = b"\x93NUMPY\1\0" + len(header).to_bytes(2, "little") + header.encode()
    write(tmp_path / "crops.npz", dict.fromkeys(("representative.npy", "validation.npy", "truth.npy"), array))
    with pytest.raises(ValueError, match=r"crops\.npz cannot be read .*: train the run again"):
        read_crops(tmp_path)
