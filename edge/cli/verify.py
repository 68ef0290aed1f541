"""``leuko verify`` says whether this device may trust a bundle."""

from __future__ import annotations

import json

import click

from edge.cli.options import json_option, one_line_errors


@click.command()
@click.argument("bundle")
@click.option("--runtime", help="Replay on this runtime only; by default on every one installed.")
@json_option
def verify(bundle: str, runtime: str | None, as_json: bool) -> None:
    """Check BUNDLE, a path or a shipped name, and replay its golden crops.

    Exit code 1 and one line for a bundle that must not be trusted.
    """
    from edge.bundle import BundleError, load
    from edge.classify import Classifier
    from edge.runtime import RuntimeMissingError, installed

    with one_line_errors(BundleError, RuntimeMissingError):
        checked = load(bundle)
        replays = {name: Classifier(checked, name).replay for name in installed()}
        if not replays:
            raise RuntimeMissingError("no TFLite runtime: pip install ai-edge-litert")
    manifest = checked.manifest
    if as_json:
        result = {
            "bundle": {"name": manifest.name, "version": manifest.version, "sha256": checked.sha256},
            "labels": manifest.labels,
            "counted": manifest.counted,
            "runtimes": {
                name: {"golden": r.crops, "exact": r.exact, "largest_step": r.largest_step}
                for name, r in replays.items()
            },
        }
        click.echo(json.dumps(result))
        return
    click.echo(f"{manifest.name} {manifest.version}: {', '.join(manifest.labels)}")
    click.echo(f"sha256 {checked.sha256}")
    for name, replay in replays.items():
        how = "exactly" if replay.exact else f"within {replay.largest_step} int8 steps"
        click.echo(f"{name}: {replay.crops} golden crops come out {how}")
    if manifest.notice:
        click.echo(manifest.notice)
