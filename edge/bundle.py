"""One file that a device can trust: a TFLite flatbuffer with a manifest and golden crops appended.

The ZIP follows the flatbuffer in the same file (the TFLite Metadata convention), so that every TFLite tool
still loads it: the flatbuffer's own offsets count from the file's start, the ZIP's directory from its end.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.crop import Normalisation
from edge.durable import write_atomically

SCHEMA = 1
SHIPPED = Path(__file__).with_name("bundles")
_MEMBERS = ("manifest.json", "labels.txt", "golden.npz")
_FILE_LIMIT_BYTES = 256 << 20
_FLATBUFFER_IDENTIFIER = b"TFL3"


class BundleError(ValueError):
    """A bundle that must not be used; the message is one line for the operator."""


@dataclass(frozen=True)
class Quantisation:
    """Affine quantisation of a tensor: real value = scale · (int8 − zero_point)."""

    scale: float
    zero_point: int


@dataclass(frozen=True)
class TrainingData:
    """What the network was trained on: a name and the SHA-256 over its crops and labels."""

    name: str
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a bundle says of itself.

    Attributes
    ----------
    name, version : of the bundle
    labels : in output order
    counted : labels of the differential; every other label is "not a leukocyte"
    crop_px, crop_um : side of the square input crop
    normalisation : of the crops, see `edge.crop.Normalisation`
    input, output : int8 quantisation; the output holds logits, softmax is the runtime's
    sha256 : of the flatbuffer alone
    temperature : logits are divided by it before softmax (Guo et al., ICML 2017)
    reject_below : a cell whose best probability is smaller is rejected
    confusion : validation confusion matrix in cells, rows are the truth, in label order
    training : the training data's name and hash
    intended_use, licence : in words
    notice : said with every output, empty for none
    schema : version of this format
    """

    name: str
    version: str
    labels: tuple[str, ...]
    counted: tuple[str, ...]
    crop_px: int
    crop_um: float
    normalisation: Normalisation
    input: Quantisation
    output: Quantisation
    sha256: str
    temperature: float
    reject_below: float
    confusion: tuple[tuple[int, ...], ...]
    training: TrainingData
    intended_use: str
    licence: str
    notice: str = ""
    schema: int = SCHEMA

    @property
    def pixel_um(self) -> float:
        """Side of a crop's pixel in the specimen."""
        return self.crop_um / self.crop_px


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle whose hash and format have been checked.

    Attributes
    ----------
    manifest : see `Manifest`
    flatbuffer : the model, whose SHA-256 is the manifest's
    golden_crops : int8 [k, crop_px, crop_px, 1]
    golden_outputs : int8 [k, labels], what the converter's runtime answered
    sha256 : of the whole file, which identifies the bundle in reports
    """

    manifest: Manifest
    flatbuffer: bytes = field(repr=False)
    golden_crops: NDArray[np.int8] = field(repr=False)
    golden_outputs: NDArray[np.int8] = field(repr=False)
    sha256: str


def shipped() -> list[str]:
    """Names of the bundles that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.tflite"))


def locate(name_or_path: str | Path) -> Path:
    """Path of a bundle given by a shipped name or by a path.

    Raises
    ------
    BundleError
        If there is no such file.
    """
    text = str(name_or_path)
    named = SHIPPED / f"{text}.tflite"
    if re.fullmatch(r"[\w.-]+", text) and named.is_file():
        return named
    path = Path(text)
    if path.is_file():
        return path
    raise BundleError(f"no bundle {text}: give a .tflite file or one of {', '.join(shipped())}")


def load(name_or_path: str | Path) -> Bundle:
    """Read and check a bundle; no interpreter sees a byte of it here.

    Raises
    ------
    BundleError
        With one line, if the file is missing, not a bundle, of a newer schema, incomplete, or not what its
        manifest says.
    """
    path = locate(name_or_path)
    try:
        if path.stat().st_size > _FILE_LIMIT_BYTES:
            raise BundleError(f"{path}: larger than {_FILE_LIMIT_BYTES >> 20} MiB, not a bundle")
        content = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    try:
        return _parse(content)
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def write(
    path: Path,
    manifest: Manifest,
    flatbuffer: bytes,
    golden_crops: NDArray[np.int8],
    golden_outputs: NDArray[np.int8],
) -> Bundle:
    """Write a bundle atomically, read it back, and return what a device would load.

    The same arguments give the same bytes: members carry no time.

    Raises
    ------
    BundleError
        If what was written would be refused on the device.
    OSError
        If the file cannot be written; an older one at `path` is then untouched.
    """
    members = {
        "manifest.json": json.dumps(asdict(manifest), indent=2).encode(),
        "labels.txt": "".join(f"{label}\n" for label in manifest.labels).encode(),
        "golden.npz": _pack({"crops.npy": _npy(golden_crops), "outputs.npy": _npy(golden_outputs)}),
    }
    content = flatbuffer + _pack(members, len(flatbuffer))
    bundle = _parse(content)
    write_atomically(path, content)
    return bundle


def _pack(members: Mapping[str, bytes], start: int = 0) -> bytes:
    """The one ZIP that these members make: stored, without times; `start` is its offset in the file."""
    file = io.BytesIO(bytes(start))
    file.seek(start)
    with zipfile.ZipFile(file, "a" if start else "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
    return file.getvalue()[start:]


def _npy(array: NDArray[np.int8]) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def _parse(content: bytes) -> Bundle:
    """Check everything that can be checked without an interpreter."""
    if not content:
        raise BundleError("the file is empty")
    if content[4:8] != _FLATBUFFER_IDENTIFIER:
        raise BundleError("not a TFLite model")
    members, flatbuffer = _split(content)
    manifest = _manifest(members["manifest.json"])
    if hashlib.sha256(flatbuffer).hexdigest() != manifest.sha256:
        raise BundleError("the model does not match its manifest's SHA-256: damaged or altered, get it anew")
    if members["labels.txt"].decode(errors="replace").split("\n") != [*manifest.labels, ""]:
        raise BundleError("labels.txt and the manifest disagree")
    crops, outputs = _golden(members["golden.npz"], manifest)
    return Bundle(manifest, flatbuffer, crops, outputs, hashlib.sha256(content).hexdigest())


def _split(content: bytes) -> tuple[dict[str, bytes], bytes]:
    """Members of the appended ZIP, and the flatbuffer before it."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if [entry.filename for entry in entries] != list(_MEMBERS):
                raise BundleError("a TFLite model, but not a leuko bundle: convert it with `leuko convert`")
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
                raise BundleError("its members are compressed: not written by `leuko convert`")
            members = {entry.filename: archive.read(entry) for entry in entries}
            end = entries[0].header_offset
    except BundleError:
        raise
    except zipfile.BadZipFile as error:
        raise BundleError(
            "no manifest behind the model: truncated, damaged, or not a leuko bundle"
        ) from error
    # a damaged ZIP makes zipfile raise whatever the bytes happen to hit
    except Exception as error:
        raise BundleError(f"the manifest cannot be unpacked ({type(error).__name__})") from error
    # only one ZIP can say this: no hidden members, no gaps, no comments, nothing appended
    if content[end:] != _pack(members, end):
        raise BundleError("bytes that `leuko convert` does not write: damaged or altered, get it anew")
    return members, content[:end]


def _manifest(data: bytes) -> Manifest:
    """Manifest from its JSON, every field checked."""
    try:
        raw = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise BundleError("manifest.json is not JSON") from error
    if not isinstance(raw, dict) or type(raw.get("schema")) is not int:
        raise BundleError("manifest.json states no schema version")
    if raw["schema"] > SCHEMA:
        raise BundleError(
            f"made for a newer leuko-edge (schema {raw['schema']}, this one reads {SCHEMA}): update"
        )
    known = {f.name for f in fields(Manifest)}
    if raw.keys() != known:
        odd = ", ".join(sorted(raw.keys() ^ known))
        raise BundleError(f"manifest.json lacks or adds: {odd}")
    try:
        manifest = Manifest(
            **{
                **raw,
                "labels": tuple(_texts(raw["labels"])),
                "counted": tuple(_texts(raw["counted"])),
                "normalisation": _normalisation(raw["normalisation"]),
                "input": _quantisation(raw["input"]),
                "output": _quantisation(raw["output"]),
                "confusion": tuple(tuple(_whole(n) for n in row) for row in raw["confusion"]),
                "training": TrainingData(*_texts([raw["training"]["name"], raw["training"]["sha256"]])),
            }
        )
        _texts([getattr(manifest, name) for name in ("name", "version", "sha256", "intended_use", "licence")])
        consistent = (
            len(set(manifest.labels)) == len(manifest.labels) > 1
            and set(manifest.counted) <= set(manifest.labels)
            and len(manifest.counted) > 0
            and isinstance(manifest.notice, str)
            and 8 <= _whole(manifest.crop_px) <= 1024
            and 0 < _number(manifest.crop_um) < 1e4
            and 0.01 <= _number(manifest.temperature) <= 100
            and 0 <= _number(manifest.reject_below) < 1
            and [len(row) for row in manifest.confusion] == [len(manifest.labels)] * len(manifest.labels)
        )
    except (TypeError, ValueError, KeyError) as error:
        raise BundleError(f"manifest.json is malformed ({error})") from error
    if not consistent:
        raise BundleError("manifest.json contradicts itself")
    return manifest


def _texts(values: Any) -> list[str]:
    if not isinstance(values, list) or not all(isinstance(v, str) and v and v.isprintable() for v in values):
        raise ValueError("a text is missing or not printable")
    return values


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ValueError(f"{value!r} is no number")
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no count")
    return value


def _normalisation(raw: Mapping[str, Any]) -> Normalisation:
    background, scale, offset = _whole(raw["background"]), _number(raw["scale"]), _number(raw["offset"])
    if background > 255 or scale <= 0:
        raise ValueError("the normalisation is out of range")
    return Normalisation(background, scale, offset)


def _quantisation(raw: Mapping[str, Any]) -> Quantisation:
    scale, zero_point = _number(raw["scale"]), raw["zero_point"]
    if type(zero_point) is not int or not (scale > 0 and -128 <= zero_point <= 127):
        raise ValueError("a quantisation is out of range")
    return Quantisation(scale, zero_point)


def _golden(data: bytes, manifest: Manifest) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Golden crops and outputs, of the shapes that the manifest implies."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            crops, outputs = archive["crops"], archive["outputs"]
    # numpy's reader raises whatever damaged headers make it hit
    except Exception as error:
        raise BundleError(f"golden.npz cannot be read ({type(error).__name__})") from error
    side = manifest.crop_px
    if (
        crops.dtype != np.int8
        or outputs.dtype != np.int8
        or len(crops) == 0
        or crops.shape != (len(crops), side, side, 1)
        or outputs.shape != (len(crops), len(manifest.labels))
    ):
        raise BundleError("golden.npz does not fit the manifest")
    return crops, outputs
