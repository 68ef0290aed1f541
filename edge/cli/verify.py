"""``leuko verify`` says whether this device may trust a bundle."""

from __future__ import annotations

import json
import subprocess
import sys

import click

from edge.cli.options import json_option, one_line_errors, quiet_libraries


@click.command()
@click.argument("bundle")
@click.option("--runtime", help="Replay on this runtime only; by default on every one installed.")
@json_option
def verify(bundle: str, runtime: str | None, as_json: bool) -> None:
    """Check BUNDLE, a path or a shipped name, and replay its golden crops.

    Exit code 1 and one line for a bundle that must not be trusted.
    """
    from dataclasses import asdict

    from edge.bundle import BundleError, load
    from edge.classify import Classifier
    from edge.runtime import RuntimeMissingError, installed

    with one_line_errors(BundleError, RuntimeMissingError), quiet_libraries():
        checked = load(bundle)
        # two runtimes in one process collide (std::bad_alloc), so each further one has a process of its own
        first, *others = [runtime] if runtime else installed() or [""]
        classifier = Classifier(checked, first or None)
    replays = {classifier.runtime: asdict(classifier.replay)}
    for other in others:
        words = [sys.executable, "-m", "edge.cli", "verify", bundle, "--runtime", other, "--json"]
        child = subprocess.run(words, capture_output=True, text=True, check=False)
        if child.returncode:
            reason = child.stderr.strip().rpartition("\n")[2].removeprefix("Error: ")
            raise click.ClickException(reason or f"{other} crashed on bundle {bundle}")
        replays |= json.loads(child.stdout)["runtimes"]

    manifest = checked.manifest
    if as_json:
        result = {
            "bundle": {"name": manifest.name, "version": manifest.version, "sha256": checked.sha256},
            "labels": manifest.labels,
            "counted": manifest.counted,
            "runtimes": replays,
        }
        click.echo(json.dumps(result))
        return
    click.echo(f"{manifest.name} {manifest.version}: {', '.join(manifest.labels)}")
    click.echo(f"sha256 {checked.sha256}")
    for name, replay in replays.items():
        how = "exactly" if replay["exact"] else f"within {replay['largest_step']} int8 steps"
        click.echo(f"{name}: {replay['crops']} golden crops come out {how}")
    if manifest.notice:
        click.echo(manifest.notice)
