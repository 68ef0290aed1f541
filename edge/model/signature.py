"""Ed25519 signatures of bundles: made on a workstation, checked on the device.

Signed is one line of ASCII, ``leuko-edge bundle `` and the SHA-256, in hexadecimal, of the file as it is
without its signature. So nothing of a bundle can change under a signature, and the same line can be checked
with other tools (``openssl pkeyutl -verify -rawin``).
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass


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
        key.verify(bytes.fromhex(signature.signature), signed_statement(sha256))
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("its signature does not fit: altered after it was signed") from error


def signed_statement(sha256: str) -> bytes:
    """Return the line that is signed, for the SHA-256 of a bundle without its signature."""
    return f"leuko-edge bundle {sha256}\n".encode("ascii")
