"""The device's own settings, `device.toml`: its bundle, the keys it trusts, and which bundles it refuses."""

from __future__ import annotations

import errno
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from edge.base import SchemaError, declare, home, read, toml_remedy

SYSTEM = Path("/etc/leuko/device.toml")
"""Where it exists, it alone holds, for every user; otherwise the file in the folder of leuko's state."""


class DeviceSettingsError(ValueError):
    """Settings that cannot be used; the message is one line."""


@dataclass(frozen=True)
class DeviceSettings:
    """A device's settings."""

    bundle: str = declare(
        "bundle of a count that names none: a shipped name or a .tflite file, from this file's folder",
        default="",
    )
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


def read_device_settings() -> DeviceSettings:
    """Read this device's settings; without a file they are the defaults.

    Raises
    ------
    DeviceSettingsError
        With one line, if the file cannot be read or states anything that is not a setting: a misspelt one
        must not leave a device open.
    """
    try:
        path, text = SYSTEM if SYSTEM.exists() else home() / SYSTEM.name, ""
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise DeviceSettingsError(f"{where}{error.strerror}") from error
    try:
        if path.exists() and not path.is_file():  # reading a pipe would wait for ever
            raise OSError(errno.EINVAL, "not a file")
        text = path.read_text(encoding="utf-8-sig")
        settings = read(DeviceSettings, tomllib.loads(text))
        is_file = settings.bundle.endswith(".tflite")
        return replace(settings, bundle=str(path.parent / settings.bundle)) if is_file else settings
    except FileNotFoundError:
        return DeviceSettings()
    except OSError as error:
        raise DeviceSettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except SchemaError as error:
        raise DeviceSettingsError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DeviceSettingsError(f"{path}: not TOML ({error}); {toml_remedy(text, error)}") from error
