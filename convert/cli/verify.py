"""``leuko verify`` says whether this device may trust a bundle."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import click

from edge.base import quantity
from edge.classify import Classifier, RuntimeMissingError
from edge.cli.errors import one_line_errors
from edge.cli.options import NamedPath, force_option, json_option, quiet_libraries, require_free
from edge.cli.output import echo
from edge.count import confusion_accuracy
from edge.model import Bundle, BundleError, load_bundle
from edge.run import ChildError, ask_runtime, split_runtimes
from train.cli.options import require_keras
from train.data import read_data
from train.evaluate import scale_notice


@dataclass(frozen=True)
class Measured:
    """What RUN or DATA adds.

    Attributes
    ----------
    refusals : list of str
        Why the bundle must not be trusted.
    """

    as_json: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)


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
    help="Folder for parity.html and parity.json; needs RUN.",
)
@click.option("--runtime", help="Replay on this runtime only; by default on every installed one.")
@force_option
@json_option
def verify(
    bundle: str,
    run_and_data: tuple[Path, ...],
    out: Path | None,
    runtime: str | None,
    force: bool,
    as_json: bool,
) -> None:
    """Check BUNDLE, a path or a shipped name, and replay its golden crops.

    With RUN, the folder it was converted from, it is also compared with the float network, on the labelled
    crops of DATA or on the run's own validation cells; that needs the train extra. With DATA alone, its
    accuracy here is printed beside the one that it states.

    Exit code 1 and one line for a bundle that must not be trusted.
    """
    run, data = _run_and_data(run_and_data)
    if out is not None and run is None:
        raise click.UsageError("--out needs RUN, the folder that the bundle was converted from")
    if out is not None:
        require_free(force, out / "parity.html", out / "parity.json")
    with one_line_errors(BundleError, RuntimeMissingError, ChildError), quiet_libraries():
        checked = load_bundle(bundle)
        first, others = split_runtimes(runtime)
        classifier = Classifier(checked, first)
        replays = {classifier.runtime: asdict(classifier.replay)}
        for other in others:
            replays |= ask_runtime(other, "verify", bundle, sha256=checked.sha256)["runtimes"]
    measured = Measured()
    with one_line_errors(ValueError), quiet_libraries():
        if run is not None:
            measured = _compared(checked, run, data, out)
        elif data is not None:
            measured = _accuracy(classifier, data)
    if as_json:
        manifest = checked.manifest
        result = {
            **measured.as_json,
            "bundle": {"name": manifest.name, "version": manifest.version, "sha256": checked.sha256},
            "signature": checked.signed,
            "labels": manifest.labels,
            "counted": manifest.counted,
            "runtimes": replays,
        }
        echo(json.dumps(result))
    else:
        _print(checked, replays, measured.lines)
    for reason in measured.refusals:
        raise click.ClickException(reason)


def _run_and_data(paths: tuple[Path, ...]) -> tuple[Path | None, Path | None]:
    """Distinguish a run folder, which holds its configuration, from labelled crops."""
    is_run = bool(paths) and (paths[0] / "config.json").is_file()
    if len(paths) > 2:
        raise click.UsageError("at most RUN and DATA may follow the bundle")
    if len(paths) == 2 and not is_run:
        raise click.UsageError(f"{paths[0]} is not a run folder: it has no config.json")
    return paths[0] if is_run else None, paths[-1] if len(paths) > is_run else None


def _compared(bundle: Bundle, run: Path, data: Path | None, out: Path | None) -> Measured:
    """Compare a bundle with its run, and write the page if a folder for it is given."""
    require_keras("verify")
    for module in ("tensorflow", "matplotlib"):
        if importlib.util.find_spec(module) is None:
            raise click.ClickException(
                f"leuko verify needs {module} for RUN: pip install 'leuko-edge[train]'"
            )
    # TensorFlow is in the train extra; without RUN this command needs the base install only
    from convert import page
    from convert import verify as comparison

    verification = comparison.verify(bundle, run, data)
    if out is not None:
        page.write(out, verification)
    return Measured(verification.as_json(), verification.summary_lines, verification.refusals)


def _accuracy(classifier: Classifier, data: Path) -> Measured:
    """Measure this device's accuracy on labelled crops."""
    manifest = classifier.bundle.manifest
    cells = read_data(data, manifest.labels, manifest.crop_px)
    right = classifier.probabilities(cells.crops).argmax(axis=1) == cells.truth
    accuracy, stated = float(right.mean()), confusion_accuracy(manifest.confusion).value
    states = "states none" if stated is None else f"states {stated:.4f}"
    line = f"accuracy {accuracy:.4f} on {quantity(len(right), 'cell')}; the bundle {states}"
    notices = list(filter(None, [scale_notice(cells.pixel_um, manifest.pixel_um)]))
    measures = {"cells": len(right), "accuracy": accuracy, "stated": stated, "notices": notices}
    return Measured(measures, [line, *notices])


def _print(bundle: Bundle, replays: dict[str, Any], lines: list[str]) -> None:
    manifest = bundle.manifest
    echo(f"{manifest.name} {manifest.version}: {', '.join(manifest.labels)}")
    echo(f"sha256 {bundle.sha256}, {bundle.signed}")
    for name, replay in replays.items():
        how = "exactly" if replay["exact"] else f"within {replay['largest_step']} int8 steps"
        echo(f"{name}: {quantity(replay['crops'], 'golden crop matches', 'golden crops match')} {how}")
    for line in lines:
        echo(line)
    if manifest.notice:
        echo(manifest.notice)
