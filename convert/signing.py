"""Private keys and signatures of bundles, made on a workstation."""

from __future__ import annotations

import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from edge.base import read_input
from edge.model import Signature, SignatureError, signed_statement

_MOST_BYTES = 64 << 10


def sign(key: Path, sha256: str, passphrase: str | None = None) -> Signature:
    """Sign a bundle with a private key from `generate`, or any Ed25519 key in PEM.

    `sha256` is that of the bundle without its signature, in hexadecimal. Raises SignatureError if the file
    holds no such key, or the passphrase is missing or wrong.
    """
    try:
        secret = passphrase.encode() if passphrase else None
        private = load_pem_private_key(read_input(key, _MOST_BYTES), secret)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        why = "wrong or missing passphrase, or not a private key" if encrypted(key) else "not a private key"
        raise SignatureError(f"{key}: {why}") from error
    if not isinstance(private, Ed25519PrivateKey):
        raise SignatureError(f"{key}: not an Ed25519 key: make one with `leuko bundle keygen`")
    public = _public_key_hex(private.public_key())
    return Signature(public, private.sign(signed_statement(sha256)).hex())


def encrypted(key: Path) -> bool:
    """Tell whether a private key needs a passphrase."""
    return b"ENCRYPTED" in read_input(key, _MOST_BYTES)


def generate(key: Path, passphrase: str | None = None) -> str:
    """Write a new private key, PKCS #8 in PEM, that only its owner can read; return the public key.

    The public key is 64 hexadecimal digits. Raises OSError if the file exists: it is never overwritten.
    """
    private = Ed25519PrivateKey.generate()
    protection = BestAvailableEncryption(passphrase.encode()) if passphrase else NoEncryption()
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, protection)
    with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
        file.flush()
        os.fsync(file.fileno())
    return _public_key_hex(private.public_key())


def _public_key_hex(key: Ed25519PublicKey) -> str:
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
