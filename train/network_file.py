"""A network of a run folder, read as data: nothing that a file describes is built, imported or called.

The network is built by this project's own recipe (`train.networks`). The file gives its weights, and its
description of the architecture is only compared with the one that was built.
"""

from __future__ import annotations

import json
import math
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import h5py
import keras
import numpy as np

from edge.base import open_input, shown
from train.run_config import LARGEST_JSON_BYTES, json_object

_DESCRIPTION, _WEIGHTS = "config.json", "model.weights.h5"
_MEMBERS = {"metadata.json", _DESCRIPTION, _WEIGHTS}

_OTHERWISE = ("dtype", "trainable", "seed", "momentum", "rate", "noise_shape", "sparse", "ragged", "optional")
"""Settings of a layer that do not change what a finished network answers."""

_MOST_BYTES = 16 << 30
_MOST_OBJECTS = 5000
"""Of a file of weights; ResNet-50 with its optimizer has 1,300."""


def read_network(
    path: Path, build: Callable[[], keras.Model], compiled: Callable[[], keras.Model] | None = None
) -> keras.Model:
    """Build a network and read its weights from a ``.keras`` file, which may be anybody's.

    Parameters
    ----------
    build : Callable
        Builds the network by settings that were checked.
    compiled : Callable or None
        Builds it with its optimizer, whose state the file then holds too.

    Raises
    ------
    ValueError
        In one line, if the file is not one that `leuko train` writes for this network, or is damaged.
    """
    try:
        with (
            open_input(path, _MOST_BYTES) as file,
            ZipFile(file) as archive,
            tempfile.TemporaryDirectory() as folder,
        ):
            _check_members(archive)
            description = json_object(archive.read(_DESCRIPTION))
            weights = Path(folder, _WEIGHTS)
            with archive.open(_WEIGHTS) as member, weights.open("wb") as out:
                shutil.copyfileobj(member, out)  # checks the ZIP's checksum
            numbers = _count_numbers(weights)
            # first without memory for its weights: a small file must not ask for a large network
            with keras.StatelessScope(initialize_variables=False):
                sketch = build()
                expected = sum(math.prod(one.shape) for one in sketch.weights)
                _compare(description, sketch)
            keras.utils.clear_session()
            if not expected <= numbers <= 3 * expected + 10:  # Adam keeps two more for each
                raise ValueError(f"{numbers:,} weights for a network of {expected:,}")
            network = (compiled or build)()
            if compiled is not None:
                network.optimizer.build(network.trainable_variables)
            network.load_weights(weights)
    except FileNotFoundError:
        raise
    # of Keras, h5py and zipfile, whose NotImplementedError is an unknown compression
    except (ValueError, TypeError, KeyError, RuntimeError, NotImplementedError, BadZipFile, OSError) as error:
        reason = shown(" ".join(str(error).split()))
        raise ValueError(f"{path} is not a network that leuko train wrote for this run ({reason})") from error
    if not all(np.isfinite(values).all() for values in network.get_weights()):
        raise ValueError(f"{path} holds weights that are not finite numbers")
    return network


def _check_members(archive: ZipFile) -> None:
    """Raise ValueError unless an archive holds what Keras writes, uncompressed."""
    members = archive.infolist()
    if {one.filename for one in members} != _MEMBERS or len(members) != len(_MEMBERS):
        raise ValueError("its archive has other members than Keras writes")
    if any(one.compress_type != ZIP_STORED or one.file_size != one.compress_size for one in members):
        raise ValueError("its archive is compressed")
    if any(one.file_size > LARGEST_JSON_BYTES for one in members if one.filename != _WEIGHTS):
        raise ValueError("its description is too large")


def _count_numbers(path: Path) -> int:
    """Return how many numbers a file of weights holds.

    Raises
    ------
    ValueError
        If it holds anything but plain numbers, all in the file itself.
    """
    try:
        with h5py.File(path, "r") as file:
            return sum(_plain_numbers(one) for one in _datasets(file))
    except (OSError, RuntimeError, KeyError, TypeError) as error:
        raise ValueError("its weights are damaged") from error


def _datasets(file: h5py.File) -> Iterator[h5py.Dataset]:
    groups, seen = [file["/"]], set[int]()
    while groups:
        group = groups.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise ValueError("its weights link to other files")
            one = group[name]
            place = h5py.h5o.get_info(one.id).addr
            if place in seen or len(seen) > _MOST_OBJECTS:
                raise ValueError("its weights are not a tree")
            seen.add(place)
            if isinstance(one, h5py.Group):
                groups.append(one)
            elif isinstance(one, h5py.Dataset):
                yield one
            else:
                raise ValueError("it holds more than weights")


def _plain_numbers(dataset: h5py.Dataset) -> int:
    """Return a dataset's size; ValueError unless it is stored as one piece of numbers in this file."""
    stored = dataset.id.get_create_plist()
    plain = stored.get_layout() in (h5py.h5d.CONTIGUOUS, h5py.h5d.COMPACT)
    if dataset.is_virtual or dataset.external or not plain or stored.get_nfilters():
        raise ValueError("its weights are not stored as they are")
    if dataset.dtype.kind not in "fiu" or dataset.shape is None:
        raise ValueError("its weights are not numbers")
    if dataset.size and dataset.id.get_storage_size() != dataset.size * dataset.dtype.itemsize:
        raise ValueError("its weights are cut short")
    return int(dataset.size)


def _compare(description: dict[str, Any], built: keras.Model) -> None:
    """Raise ValueError, naming the layer, where a described network is not the one that was built."""
    own = json.loads(json.dumps(built.get_config()["layers"], default=str))
    layers = description.get("config")
    layers = layers.get("layers") if isinstance(layers, dict) else None
    if description.get("class_name") != "Functional" or not isinstance(layers, list):
        raise ValueError("it describes no network of layers")
    for stored, ours in zip(layers, own, strict=False):
        if not isinstance(stored, dict) or not isinstance(stored.get("config"), dict):
            raise ValueError("it describes no layers")
        name, kind = stored["config"].get("name"), stored.get("class_name")
        if (name, kind) != (ours["config"]["name"], ours["class_name"]):
            raise ValueError(f"layer {name} is a {kind}, not the recipe's {ours['class_name']}")
        settings = stored["config"]
        for key, value in ours["config"].items():
            if key in _OTHERWISE or key.endswith(("_initializer", "_regularizer", "_constraint")):
                continue
            if key in settings and settings[key] != value:
                raise ValueError(f"layer {name} has another {key} than the recipe's")
        if _sources(stored.get("inbound_nodes")) != _sources(ours["inbound_nodes"]):
            raise ValueError(f"layer {name} reads other layers than the recipe's")
    if len(layers) != len(own):
        raise ValueError(f"it has {len(layers)} layers, the recipe's network {len(own)}")


def _sources(nodes: Any) -> list[Any]:
    """Return the layers that a layer reads, in order."""
    if isinstance(nodes, dict):
        here = [nodes["keras_history"]] if "keras_history" in nodes else []
        return here + [source for value in nodes.values() for source in _sources(value)]
    return [source for value in nodes for source in _sources(value)] if isinstance(nodes, list) else []
