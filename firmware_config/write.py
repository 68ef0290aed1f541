"""Writes a new, commented device profile, and the documentation of its keys."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING

from edge.base import keys
from firmware_config.profile import SECTIONS, VERSION, Value


def new_profile(values: Mapping[str, Value]) -> str:
    """Return a commented profile as TOML; keys without a value are commented out.

    The values, by ``section.key``, are those of the required keys and any others.
    """
    rows = [
        "# Device profile of a leuko instrument; leuko firmware check names what is wrong with it.",
        f"version = {VERSION}",
    ]
    for name, kind in SECTIONS.items():
        rows += ["", f"# {' '.join((kind.__doc__ or '').split())}", f"[{name}]"]
        for key in keys(kind):
            value = values.get(f"{name}.{key.name}", key.default)
            rows += [f"# {key.description} ({key.allowed})"]
            toml = json.dumps(value, ensure_ascii=False)
            rows += [f"# {key.name} =" if value is None else f"{key.name} = {toml}"]
    return "\n".join(rows) + "\n"


def documentation() -> str:
    """Return all keys as a table in Markdown: key, allowed values, default, meaning."""
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    for name, kind in SECTIONS.items():
        for key in keys(kind):
            default = "required" if key.default is MISSING else "none" if key.default is None else ""
            default = default or f"`{json.dumps(key.default)}`"
            rows.append(f"| `{name}.{key.name}` | {key.allowed} | {default} | {key.description} |")
    return "\n".join(rows) + "\n"
