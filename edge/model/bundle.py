"""One file that a device can trust: a TFLite flatbuffer with a manifest and golden crops appended.

The ZIP follows the flatbuffer in the same file (the TFLite Metadata convention), so that every TFLite tool
still loads it: the flatbuffer's own offsets count from the file's start, the ZIP's directory from its end.
A file is a bundle if it is, byte for byte, what `write_bundle` makes of the content read from it; whatever
else a reader of ZIP, JSON or NumPy's format would forgive is refused.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.base import read_input, write_atomically
from edge.model import archive, manifest, signature
from edge.model.device_settings import DeviceSettings, DeviceSettingsError, read_device_settings
from edge.model.manifest import Manifest
from edge.model.signature import Signature

SHIPPED = Path(__file__).parents[1] / "bundles"
MOST_GOLDEN = 32
"""Golden crops, which are all answered before the first count; leuko convert writes 12."""

_MEMBERS = ("manifest.json", "labels.txt", "golden.npz")
_SIGNATURE = "signature.json"
FILE_LIMIT_BYTES = 256 << 20
_FLATBUFFER_IDENTIFIER = b"TFL3"
_DAMAGED = "bytes that `leuko convert` does not write: damaged or altered, copy it again"


class BundleError(ValueError):
    """A bundle that must not be used; the message is one line for the operator."""


@dataclass(frozen=True, eq=False)
class Bundle:
    """A bundle whose hash, format and signature have been checked.

    Attributes
    ----------
    flatbuffer : bytes
        The model, whose SHA-256 is the manifest's.
    golden_crops : int8 [k, crop_px, crop_px, 1]
    golden_outputs : int8 [k, labels]
        Outputs of the converter's runtime.
    sha256 : str
        SHA-256 of the whole file, which identifies the bundle in reports.
    unsigned_sha256 : str
        SHA-256 of the file without its signature, which is what gets signed.
    signer : str or None
        Name of the signature's key on this device; None for a key that it does not trust.
    """

    manifest: Manifest
    flatbuffer: bytes = field(repr=False)
    golden_crops: NDArray[np.int8] = field(repr=False)
    golden_outputs: NDArray[np.int8] = field(repr=False)
    sha256: str
    unsigned_sha256: str
    signature: Signature | None = None
    signer: str | None = None

    @property
    def content(self) -> bytes:
        """The whole file, byte for byte."""
        golden = self.golden_crops, self.golden_outputs
        return self.flatbuffer + _appended(len(self.flatbuffer), self.manifest, *golden, self.signature)

    @property
    def signed(self) -> str:
        """Who signed, in words."""
        if self.signature is None:
            return "not signed"
        return f"signed by {self.signer or f'a key not trusted here, {self.signature.public_key[:16]}'}"


def shipped_bundles() -> list[str]:
    """Return the names of the bundles that come with the package."""
    return sorted(path.stem for path in SHIPPED.glob("*.tflite"))


def locate_bundle(name_or_path: str | Path) -> Path:
    """Return the path of a bundle given by a shipped name or by a path.

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
    raise BundleError(
        f"no bundle {text or 'without a name'}: give a .tflite file or one of {', '.join(shipped_bundles())}"
    )


def load_bundle(name_or_path: str | Path, settings: DeviceSettings | None = None) -> Bundle:
    """Read and check a bundle; no interpreter sees a byte of it here.

    Parameters
    ----------
    settings : DeviceSettings, optional
        By default this device's own, see `read_device_settings`.

    Raises
    ------
    BundleError
        With one line, if the file is missing, not a bundle, of another schema, incomplete, not what its
        manifest says, altered after it was signed, or not signed as the settings demand.
    """
    path = locate_bundle(name_or_path)
    try:
        settings = settings or read_device_settings()
        bundle = _parse(read_input(path, FILE_LIMIT_BYTES))
    except DeviceSettingsError as error:
        raise BundleError(str(error)) from error
    except OSError as error:
        raise BundleError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from error
    if bundle.signature is not None:
        bundle = replace(bundle, signer=settings.name_of(bundle.signature.public_key))
    if reason := refusal_reason(bundle, settings):
        raise BundleError(f"{path}: {reason}")
    return bundle


def refusal_reason(bundle: Bundle, settings: DeviceSettings) -> str | None:
    """Return why a device with these settings must not use a valid bundle; None if it may."""
    if settings.require_signed and bundle.signer is None:
        return f"{bundle.signed}; this device takes only bundles that a trusted key signed"
    return None


def write_bundle(
    path: Path,
    manifest: Manifest,
    flatbuffer: bytes,
    golden_crops: NDArray[np.int8],
    golden_outputs: NDArray[np.int8],
    signature: Signature | None = None,
) -> Bundle:
    """Write a bundle atomically, read it back, and return what a device would load.

    The same arguments give the same bytes: members carry no time.

    Parameters
    ----------
    signature : Signature, optional
        Signature of the same bundle without it, from `convert.signing.sign` and `Bundle.unsigned_sha256`.

    Raises
    ------
    BundleError
        If what was written would be refused on the device.
    OSError
        If the file cannot be written; an older one at `path` is then untouched.
    """
    try:
        content = flatbuffer + _appended(len(flatbuffer), manifest, golden_crops, golden_outputs, signature)
        bundle = _parse(content)
    except ValueError as error:
        raise BundleError(str(error)) from error
    write_atomically(path, content)
    return bundle


def _appended(
    start: int,
    described: Manifest,
    golden_crops: NDArray[np.int8],
    golden_outputs: NDArray[np.int8],
    signed: Signature | None,
) -> bytes:
    """Return the bytes that follow a flatbuffer of `start` bytes."""
    members = {
        "manifest.json": manifest.encode(described),
        "labels.txt": "".join(f"{label}\n" for label in described.labels).encode(),
        "golden.npz": archive.pack({"crops.npy": _npy(golden_crops), "outputs.npy": _npy(golden_outputs)}),
    }
    if signed is not None:
        members[_SIGNATURE] = signature.encode(signed)
    return archive.pack(members, start)


def split_bundle(content: bytes) -> tuple[bytes, dict[str, bytes]]:
    """Split a file into its flatbuffer and the members behind it; what they contain is not checked.

    Raises
    ------
    BundleError
        If it is no bundle, or its ZIP is not what `archive.pack` writes: altered, or with other members.
    """
    if not content:
        raise BundleError("the file is empty")
    if content[4:8] != _FLATBUFFER_IDENTIFIER:
        raise BundleError("not a TFLite model")
    try:
        start, members = archive.unpack(content)
    except ValueError as error:
        raise BundleError(
            "no manifest behind the model: truncated, damaged, or not a leuko bundle"
        ) from error
    if tuple(members) not in (_MEMBERS, (*_MEMBERS, _SIGNATURE)):
        raise BundleError("a TFLite model, but not a leuko bundle: convert it with `leuko convert`")
    if archive.pack(members, start) != content[start:]:
        raise BundleError(_DAMAGED)
    return content[:start], members


def _parse(content: bytes) -> Bundle:
    """Check everything that needs neither an interpreter nor the device's settings."""
    flatbuffer, members = split_bundle(content)
    start = len(flatbuffer)
    described = manifest.decode(members["manifest.json"])
    digest = hashlib.sha256(flatbuffer)
    if digest.hexdigest() != described.sha256:
        raise BundleError(
            "the model does not match its manifest's SHA-256: damaged or altered, copy it again"
        )
    crops, outputs = read_golden(members["golden.npz"], described)
    signed = signature.decode(members[_SIGNATURE]) if _SIGNATURE in members else None
    appended = _appended(start, described, crops, outputs, signed)
    # no hidden members, no gaps, no comments, no other spelling
    if start + len(appended) != len(content) or not content.endswith(appended):
        raise BundleError(_DAMAGED)
    unsigned = digest.copy()
    digest.update(appended)
    unsigned.update(appended if signed is None else _appended(start, described, crops, outputs, None))
    if signed is not None:
        signature.check(signed, unsigned.hexdigest())
    return Bundle(described, flatbuffer, crops, outputs, digest.hexdigest(), unsigned.hexdigest(), signed)


def read_golden(data: bytes, described: Manifest) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    """Read golden crops and outputs of the shapes that the manifest implies; they are stored, not deflated.

    Raises
    ------
    BundleError
        If they are not there, or of other shapes.
    """
    try:
        members = archive.unpack(data)[1]
        crops = _array(members["crops.npy"], (described.crop_px, described.crop_px, 1))
        outputs = _array(members["outputs.npy"], (len(described.labels),))
    except (ValueError, KeyError) as error:
        raise BundleError("golden.npz does not fit the manifest, or is damaged") from error
    if len(crops) != len(outputs):
        raise BundleError("golden.npz holds different numbers of crops and outputs")
    if len(crops) > MOST_GOLDEN:
        raise BundleError(
            f"golden.npz holds {len(crops):,} crops, more than the {MOST_GOLDEN} that are replayed"
        )
    return crops, outputs


def _npy(array: NDArray[np.int8]) -> bytes:
    """Encode an array in NumPy's format 1.0, whose padding differs between NumPy's releases."""
    header = f"{{'descr': '|i1', 'fortran_order': False, 'shape': {array.shape}, }}"
    length = -(-(10 + len(header) + 1) // 64) * 64 - 10
    prefix = b"\x93NUMPY\1\0" + length.to_bytes(2, "little")
    return prefix + header.ljust(length - 1).encode() + b"\n" + array.tobytes()


def _array(data: bytes, shape: tuple[int, ...]) -> NDArray[np.int8]:
    """Decode int8 [n, *shape], n > 0, from what `_npy` writes; the header is for the caller to compare."""
    values = np.frombuffer(data, np.int8, offset=10 + int.from_bytes(data[8:10], "little"))
    if values.size == 0:
        raise ValueError("no golden crops")
    return values.reshape(values.size // prod(shape), *shape)
