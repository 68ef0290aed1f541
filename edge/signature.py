"""Ed25519 signatures of bundles: made on a workstation, checked on the device.

Signed is one line of ASCII, ``leuko-edge bundle `` and the SHA-256, in hexadecimal, of the file as it is
without its signature. So nothing of a bundle can change under a signature, and the same line can be checked
with other tools (``openssl pkeyutl -verify -rawin``).
"""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey


class SignatureError(ValueError):
    """A signature, or a key, that cannot be used; the message is one line."""


@dataclass(frozen=True)
class Signature:
    """Who signed, and what came out.

    Attributes
    ----------
    public_key : 64 hexadecimal digits
    signature : 128 hexadecimal digits
    """

    public_key: str
    signature: str


def encode(signature: Signature) -> bytes:
    """Spell a signature as JSON."""
    return json.dumps(asdict(signature), indent=2).encode()


def decode(data: bytes) -> Signature:
    """Read what `encode` wrote.

    Raises
    ------
    SignatureError
        If it is anything else.
    """
    try:
        raw = json.loads(data)
        signature = Signature(raw["public_key"], raw["signature"])
        if re.fullmatch("[0-9a-f]{64}", signature.public_key) and re.fullmatch(
            "[0-9a-f]{128}", signature.signature
        ):
            return signature
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    raise SignatureError("signature.json is malformed")


def check(signature: Signature, sha256: str) -> None:
    """Check that the holder of the private key signed a bundle.

    Parameters
    ----------
    sha256
        Of the bundle without its signature, in hexadecimal.

    Raises
    ------
    SignatureError
        If not.
    """
    # cryptography takes a tenth of a second to import, which only signed bundles should cost
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.public_key))
        key.verify(bytes.fromhex(signature.signature), _statement(sha256))
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("its signature does not fit: altered after it was signed") from error


def sign(key: Path, sha256: str, passphrase: str | None = None) -> Signature:
    """Sign a bundle with a private key from `generate`, or any Ed25519 key in PEM.

    Parameters
    ----------
    sha256
        Of the bundle without its signature, in hexadecimal.

    Raises
    ------
    SignatureError
        If the file holds no such key, or the passphrase is missing or wrong.
    OSError
        If the file cannot be read.
    """
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        private = load_pem_private_key(key.read_bytes(), passphrase.encode() if passphrase else None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = "the passphrase is missing or wrong, or this is no private key" if encrypted(key) else "no key"
        raise SignatureError(f"{key}: {why}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise SignatureError(f"{key}: not an Ed25519 key: make one with `leuko bundle keygen`")
    public = _raw(private.public_key())
    return Signature(public, private.sign(_statement(sha256)).hex())


def encrypted(key: Path) -> bool:
    """Say whether a private key needs a passphrase.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    return b"ENCRYPTED" in key.read_bytes()


def generate(key: Path, passphrase: str | None = None) -> str:
    """Write a new private key, PKCS #8 in PEM, that only its owner can read.

    Returns
    -------
    the public key, 64 hexadecimal digits

    Raises
    ------
    OSError
        If the file exists, which is never overwritten, or cannot be written.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import (
        BestAvailableEncryption,
        Encoding,
        NoEncryption,
        PrivateFormat,
    )

    private = Ed25519PrivateKey.generate()
    protection = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return _raw(private.public_key())


def _statement(sha256: str) -> bytes:
    return f"leuko-edge bundle {sha256}\n".encode("ascii")


def _raw(key: Ed25519PublicKey) -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
