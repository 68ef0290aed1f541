"""One file that a device can trust: a TFLite flatbuffer with a manifest and golden crops appended.

The ZIP follows the flatbuffer in the same file (the TFLite Metadata convention), so that every TFLite tool
still loads it: the flatbuffer's own offsets count from the file's start, the ZIP's directory from its end.
"""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge import manifest as manifests
from edge.durable import write_atomically
from edge.manifest import Manifest, Parity, Quantisation, Rejection, Representative, TrainingData

__all__ = [
    "Bundle",
    "BundleError",
    "Manifest",
    "Parity",
    "Quantisation",
    "Rejection",
    "Representative",
    "TrainingData",
    "load",
    "locate",
    "shipped",
    "write",
]

SHIPPED = Path(__file__).with_name("bundles")
_MEMBERS = ("manifest.json", "labels.txt", "golden.npz")
_FILE_LIMIT_BYTES = 256 << 20
_FLATBUFFER_IDENTIFIER = b"TFL3"


class BundleError(ValueError):
    """A bundle that must not be used; the message is one line for the operator."""


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
        "manifest.json": manifests.encode(manifest),
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
    try:
        manifest = manifests.decode(members["manifest.json"])
    except ValueError as error:
        raise BundleError(str(error)) from error
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
