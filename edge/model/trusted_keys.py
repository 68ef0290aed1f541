"""The device's own settings, `device.toml`: which keys it trusts, and whether bundles must be signed."""

from __future__ import annotations

import errno
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from edge.base import SchemaError, declare, home, read

SYSTEM = Path("/etc/leuko/device.toml")
"""Where it exists, it alone holds, for every user; otherwise the file in the folder of leuko's state."""


class TrustSettingsError(ValueError):
    """Settings that cannot be used; the message is one line."""


@dataclass(frozen=True)
class TrustSettings:
    """A device's settings."""

    require_signed: bool = declare("refuse bundles that no trusted key signed", default=False)
    trusted: Mapping[str, str] = declare(
        "name of a key on this device, and the public key",
        pattern="[0-9a-f]{64}",
        form="a public key of 64 hexadecimal digits",
        default_factory=dict,
    )

    def name_of(self, public_key: str) -> str | None:
        """Return the name of a trusted key, None for a key that is not trusted."""
        return next((name for name, key in self.trusted.items() if key == public_key), None)


def read_trust_settings() -> TrustSettings:
    """Read this device's settings; without a file they are the defaults.

    Raises
    ------
    TrustSettingsError
        With one line, if the file cannot be read or states anything that is not a setting: a misspelt one
        must not leave a device open.
    """
    path = SYSTEM if SYSTEM.exists() else home() / SYSTEM.name
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise OSError(errno.EINVAL, "not a file")
        return read(TrustSettings, tomllib.loads(path.read_text(encoding="utf-8-sig")))
    except FileNotFoundError:
        return TrustSettings()
    except OSError as error:
        raise TrustSettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except SchemaError as error:
        raise TrustSettingsError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise TrustSettingsError(f"{path}: not TOML ({error})") from error
