"""What whoever set up a device decided: `device.toml`, in `/etc/leuko` or the folder of leuko's state."""

from __future__ import annotations

import errno
import os
import pwd
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

SYSTEM = Path("/etc/leuko/device.toml")
"""Where it exists, it alone holds, for every user of the device."""


class SettingsError(ValueError):
    """Settings that cannot be meant; the message is one line."""


@dataclass(frozen=True)
class Settings:
    """A device's settings.

    Attributes
    ----------
    require_signed : refuse bundles that no trusted key signed
    trusted : public key, 64 hexadecimal digits → the name that this device gives it
    """

    require_signed: bool = False
    trusted: Mapping[str, str] = field(default_factory=dict)


def home() -> Path:
    """Folder of leuko's state: ``$LEUKO_HOME``, or ``leuko`` in the user's XDG state folder.

    A relative ``$XDG_STATE_HOME`` is passed over, as XDG asks, and so is a relative or empty ``$HOME``, which
    would mean wherever a command happens to be run: the system's list of users then says where home is.

    Raises
    ------
    OSError
        If nothing says where it is.
    """
    if named := os.environ.get("LEUKO_HOME"):
        return Path(named)
    state = os.environ.get("XDG_STATE_HOME", "")
    folder = Path(state) if state.startswith("/") else _users_home() / ".local" / "state"
    return folder / "leuko"


def _users_home() -> Path:
    named = Path(os.environ.get("HOME", ""))
    try:
        home = named if named.is_absolute() else Path(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:  # a container's user without a name
        home = named
    if not home.is_absolute():
        raise OSError(errno.ENOENT, "no home folder: set LEUKO_HOME to the folder of leuko's state")
    return home


def read_settings() -> Settings:
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
        return Settings()
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{path}: not TOML ({error})") from error
    if odd := sorted(raw.keys() - {"require_signed", "trusted"}):
        raise SettingsError(f"{path}: no such setting: {', '.join(map(repr, odd))}")
    require, trusted = raw.get("require_signed", False), raw.get("trusted", {})
    if not isinstance(require, bool):
        raise SettingsError(f"{path}: require_signed is true or false")
    if not isinstance(trusted, dict) or not all(
        isinstance(key, str) and re.fullmatch("[0-9a-f]{64}", key) and name and name.isprintable()
        for name, key in trusted.items()
    ):
        raise SettingsError(f'{path}: [trusted] takes lines NAME = "public key of 64 hexadecimal digits"')
    return Settings(require, {key: name for name, key in trusted.items()})
