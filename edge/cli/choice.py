"""The bundle of a command that may name none."""

from __future__ import annotations

from collections.abc import Iterator

import click

from edge.model import BundleError, DeviceSettings, load_bundle, read_device_settings, shipped_bundles

REMEDY = """\
No --bundle: each knows only the cells that it was trained on. Pass --bundle with a .tflite file or one of
{}
or write bundle = "NAME" and require_signed = false into device.toml, in /etc/leuko or $LEUKO_HOME."""


def chosen_bundle(given: str | None) -> str:
    """Return the given bundle, else this device's; without either, refuse and list those that there are.

    A default would count any sample with a network that was trained on another, and look right.
    """
    bundle = given or read_device_settings().bundle
    if not bundle:
        raise click.UsageError(REMEDY.format("\n".join(_described())))
    return bundle


def _described() -> Iterator[str]:
    """Yield a line per shipped bundle: what it counts, and what it was made for."""
    names = shipped_bundles()
    for name in names:
        try:
            manifest = load_bundle(name, DeviceSettings()).manifest
        except BundleError as error:  # damaged: the line says so, and the others can still be used
            yield f"  {name}: {error}"
            continue
        others = [label for label in manifest.labels if label not in manifest.counted]
        rest = f"; tells apart {', '.join(others)}" if others else ""
        notice = f" ({manifest.notice})" if manifest.notice else ""
        yield f"  {name:{max(map(len, names))}}  counts {', '.join(manifest.counted)}{rest}{notice}"
