"""The device's own settings, `device.toml`: its bundle, the keys it trusts, and which bundles it refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edge.base import SchemaError, declare, home, parse_toml, read, read_input, toml_remedy
from edge.model.signature import weakness

SYSTEM = Path("/etc/leuko/device.toml")
"""Where it exists, it alone holds, for every user; otherwise the file in the folder of leuko's state."""

_MOST_BYTES = 64 << 10


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

    A file must state `require_signed`, whatever it is: of one that was cut short, nobody knows.

    Raises
    ------
    DeviceSettingsError
        With one line, if there is a file, or a link to one, that cannot be read, is incomplete, or states
        anything that is not a setting: no such file may leave a device open.
    """
    try:
        path, text = SYSTEM if _is_there(SYSTEM) else home() / SYSTEM.name, ""
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        raise DeviceSettingsError(f"{where}{error.strerror}") from error
    if not _is_there(path):
        return DeviceSettings()
    try:
        text = read_input(path, _MOST_BYTES).decode("utf-8-sig")
        raw = parse_toml(text)
        settings = read(DeviceSettings, raw)
        _check(settings, raw)
        is_file = settings.bundle.endswith(".tflite")
        return replace(settings, bundle=str(path.parent / settings.bundle)) if is_file else settings
    except OSError as error:
        raise DeviceSettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except SchemaError as error:
        raise DeviceSettingsError(f"{path}: {error}") from error
    except DeviceSettingsError as error:
        raise DeviceSettingsError(f"{path}: {error}") from error
    except (ValueError, RecursionError) as error:
        raise DeviceSettingsError(f"{path}: not TOML ({error}); {toml_remedy(text, error)}") from error


def _is_there(path: Path) -> bool:
    """Return whether there is anything at a path, if only a link that leads nowhere."""
    try:
        path.lstat()
    except FileNotFoundError:
        return any(above.is_symlink() and not above.is_dir() for above in path.parents)
    except OSError:  # what hides it, reading it will say
        return True
    return True


def _check(settings: DeviceSettings, raw: Mapping[str, Any]) -> None:
    if "require_signed" not in raw:
        raise DeviceSettingsError(
            "does not state require_signed, as if it were cut short: write require_signed = true or false"
        )
    for name, key in settings.trusted.items():
        if why := weakness(key):
            raise DeviceSettingsError(f"trusted.{name} {why}: remove it")
