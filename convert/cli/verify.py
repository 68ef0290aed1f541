"""``leuko verify`` says whether this device may trust a bundle."""

from __future__ import annotations

import importlib
import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from edge.classify import Classifier, RuntimeMissingError, installed_runtimes
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, json_option, quiet_libraries
from edge.model import BundleError, load_bundle


@click.command()
@click.argument("bundle")
@click.argument(
    "run_and_data",
    nargs=-1,
    metavar="[RUN] [DATA]",
    type=NamedPath(exists=True, path_type=Path),
)
@click.option(
    "--out",
    type=NamedPath(file_okay=False, path_type=Path),
    help="With RUN: write parity.html and parity.json here.",
)
@click.option("--runtime", help="Replay on this runtime only; by default on every one installed.")
@json_option
def verify(
    bundle: str, run_and_data: tuple[Path, ...], out: Path | None, runtime: str | None, as_json: bool
) -> None:
    """Check BUNDLE, a path or a shipped name, and replay its golden crops.

    With RUN, the folder it was converted from, it is also compared with the float network, on the labelled
    crops of DATA or on the run's own validation cells; that needs the train extra. With DATA alone its
    accuracy here is set beside the one it states.

    Exit code 1 and one line for a bundle that must not be trusted.
    """
    run, data = _run_and_data(run_and_data)
    if out is not None and run is None:
        raise click.UsageError("--out needs RUN, the folder that the bundle was converted from")

    with one_line_errors(BundleError, RuntimeMissingError), quiet_libraries():
        checked = load_bundle(bundle)
        # two runtimes in one process collide (std::bad_alloc), so each further one has a process of its own
        first, *others = [runtime] if runtime else installed_runtimes() or [""]
        classifier = Classifier(checked, first or None)
    replays = {classifier.runtime: asdict(classifier.replay)}
    for other in others:
        words = [sys.executable, "-m", "edge.cli", "verify", bundle, "--runtime", other, "--json"]
        child = subprocess.run(words, capture_output=True, text=True, check=False)
        if child.returncode:
            reason = child.stderr.strip().rpartition("\n")[2].removeprefix("Error: ")
            raise click.ClickException(reason or f"{other} crashed on bundle {bundle}")
        replays |= json.loads(child.stdout)["runtimes"]

    verified, answered = None, None
    with one_line_errors(ValueError), quiet_libraries():
        # by name: the device's package knows nothing of the workstation's
        if run is not None:
            _require_train()
            workstation = importlib.import_module("convert.verify")
            verified = workstation.verify(checked, run, data)
            if out is not None:
                workstation.write(out, verified)
        elif data is not None:
            answered = _answered(classifier, data)

    manifest = checked.manifest
    if as_json:
        result = {
            **({} if verified is None else verified.as_json()),
            **({} if answered is None else answered),
            "bundle": {"name": manifest.name, "version": manifest.version, "sha256": checked.sha256},
            "signature": checked.signed,
            "labels": manifest.labels,
            "counted": manifest.counted,
            "runtimes": replays,
        }
        click.echo(json.dumps(result))
        _end(verified)
        return
    click.echo(f"{manifest.name} {manifest.version}: {', '.join(manifest.labels)}")
    click.echo(f"sha256 {checked.sha256}, {checked.signed}")
    for name, replay in replays.items():
        how = "exactly" if replay["exact"] else f"within {replay['largest_step']} int8 steps"
        click.echo(f"{name}: {replay['crops']} golden crops come out {how}")
    if verified is not None:
        click.echo("\n".join(verified.words))
    if answered is not None:
        stated = "states none" if answered["stated"] is None else f"states {answered['stated']:.4f}"
        click.echo(f"accuracy {answered['accuracy']:.4f} on {answered['cells']} cells; the bundle {stated}")
    if manifest.notice:
        click.echo(manifest.notice)
    _end(verified)


def _run_and_data(paths: tuple[Path, ...]) -> tuple[Path | None, Path | None]:
    """Tell a run folder, which holds its settings, from labelled crops."""
    if len(paths) > 2:
        raise click.UsageError("at most RUN and DATA may follow the bundle")
    is_run = bool(paths) and (paths[0] / "config.json").is_file()
    if len(paths) == 2:
        if not is_run:
            raise click.UsageError(f"{paths[0]} is not a run folder: it has no config.json")
        return paths[0], paths[1]
    first = paths[0] if paths else None
    return (first, None) if is_run else (None, first)


def _require_train() -> None:
    importlib.import_module("train.cli.options").require_keras("verify")
    for module in ("tensorflow", "matplotlib"):
        if importlib.util.find_spec(module) is None:
            raise click.ClickException(
                f"leuko verify needs {module} for RUN: pip install 'leuko-edge[train]'"
            )


def _answered(classifier: Classifier, data: Path) -> dict[str, Any]:
    """Accuracy of this device's answers to labelled crops, beside the one that the manifest states."""
    manifest = classifier.bundle.manifest
    cells = importlib.import_module("train.data").read_data(data, manifest.labels, manifest.crop_px)
    right = classifier.probabilities(cells.crops).argmax(axis=1) == cells.truth
    known = sum(map(sum, manifest.confusion))
    hits = sum(row[k] for k, row in enumerate(manifest.confusion))
    return {
        "cells": len(right),
        "accuracy": float(right.mean()),
        "stated": hits / known if known else None,
    }


def _end(verified: Any) -> None:
    """Exit 1 with one line if int8 loses too much."""
    if verified is not None and verified.refusal is not None:
        raise click.ClickException(verified.refusal)
