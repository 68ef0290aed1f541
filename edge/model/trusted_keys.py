"""What whoever set up a device decided: `device.toml`, in `/etc/leuko` or the folder of leuko's state."""

from __future__ import annotations

import errno
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.base import home

SYSTEM = Path("/etc/leuko/device.toml")
"""Where it exists, it alone holds, for every user of the device."""


class TrustSettingsError(ValueError):
    """Settings that cannot be meant; the message is one line."""


@dataclass(frozen=True)
class TrustSettings:
    """A device's settings.

    Attributes
    ----------
    require_signed : refuse bundles that no trusted key signed
    trusted : public key, 64 hexadecimal digits → the name that this device gives it
    """

    require_signed: bool = False
    trusted: Mapping[str, str] = field(default_factory=dict)


def read_trust_settings() -> TrustSettings:
    """Read this device's settings; without a file they are the defaults.

    Raises
    ------
    SettingsError
        With one line, if the file cannot be read or says anything that is not a setting: a misspelt one must
        not leave a device open.
    """
    path = SYSTEM if SYSTEM.exists() else home() / SYSTEM.name
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise OSError(errno.EINVAL, "not a file")
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return TrustSettings()
    except OSError as error:
        raise TrustSettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise TrustSettingsError(f"{path}: not TOML ({error})") from error
    if odd := sorted(raw.keys() - {"require_signed", "trusted"}):
        raise TrustSettingsError(f"{path}: no such setting: {', '.join(map(repr, odd))}")
    require, trusted = raw.get("require_signed", False), raw.get("trusted", {})
    if not isinstance(require, bool):
        raise TrustSettingsError(f"{path}: require_signed is true or false")
    if not isinstance(trusted, dict) or not all(
        isinstance(key, str) and re.fullmatch("[0-9a-f]{64}", key) and name and name.isprintable()
        for name, key in trusted.items()
    ):
        raise TrustSettingsError(
            f'{path}: [trusted] takes lines NAME = "public key of 64 hexadecimal digits"'
        )
    return TrustSettings(require, {key: name for name, key in trusted.items()})
