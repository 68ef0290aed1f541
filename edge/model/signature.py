"""Ed25519 signatures of bundles: made on a workstation, checked on the device.

What is signed is one line of ASCII: ``leuko-edge bundle`` and the hexadecimal SHA-256 of the file without its
signature. So nothing in a signed bundle can change, and other tools can check the same line
(``openssl pkeyutl -verify -rawin``).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from edge.base import declare, read

_PRIME = 2**255 - 19
_SMALL_ORDER = frozenset(
    int.from_bytes(bytes.fromhex(y), "little")
    for y in (
        "00" * 32,
        "01" + "00" * 31,
        "ec" + "ff" * 30 + "7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
)
"""The y of the eight points of small order, with either sign of x."""


class SignatureError(ValueError):
    """A signature, or a key, that cannot be used; the message is one line."""


@dataclass(frozen=True)
class Signature:
    """A signature and the key that it belongs to."""

    public_key: str = declare("public key, in hexadecimal", pattern="[0-9a-f]{64}")
    signature: str = declare("signature, in hexadecimal", pattern="[0-9a-f]{128}")


def encode(signature: Signature) -> bytes:
    """Write a signature as JSON."""
    return json.dumps(asdict(signature), indent=2).encode()


def decode(data: bytes) -> Signature:
    """Read what `encode` wrote.

    Raises
    ------
    SignatureError
        If it is anything else.
    """
    try:
        return read(Signature, json.loads(data))
    except (ValueError, RecursionError) as error:
        raise SignatureError("signature.json is malformed") from error


def check(signature: Signature, sha256: str) -> None:
    """Check that the holder of the private key signed a bundle.

    Parameters
    ----------
    sha256 : str
        SHA-256 of the bundle without its signature, in hexadecimal.

    Raises
    ------
    SignatureError
        If the signature does not fit.
    """
    # takes a tenth of a second to import, which only signed bundles should cost
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    if why := weakness(signature.public_key):
        raise SignatureError(f"its key {why}")
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(signature.public_key))
        key.verify(bytes.fromhex(signature.signature), signed_statement(sha256))
    except (InvalidSignature, ValueError) as error:
        raise SignatureError("its signature does not fit: altered after it was signed") from error


def weakness(public_key: str) -> str:
    """Return why a public key, in hexadecimal, proves nobody's signature; empty if it proves one.

    Keys of small order accept signatures that anybody can make (RFC 8032, 5.1.7, does not refuse them), and
    a key with a second spelling would be two.
    """
    y = int.from_bytes(bytes.fromhex(public_key), "little") & (2**255 - 1)
    if y in _SMALL_ORDER:
        return "is an Ed25519 key of small order, for which anybody can sign"
    return "is not in the canonical form of an Ed25519 key" if y >= _PRIME else ""


def signed_statement(sha256: str) -> bytes:
    """Return the line that is signed, for the SHA-256 of a bundle without its signature."""
    return f"leuko-edge bundle {sha256}\n".encode("ascii")
