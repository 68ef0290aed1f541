"""``leuko convert`` turns a training run into a device's bundle."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from convert.loss import Loss, loss_of, loss_words
from convert.settings import Description, Settings
from edge.base import SchemaError, read
from edge.cli.errors import one_line_errors
from edge.cli.options import (
    NamedPath,
    NewFile,
    declared_options,
    ended_by_interrupts,
    force_option,
    grouped,
    json_option,
    quiet_libraries,
    require_free,
)
from edge.cli.output import echo
from edge.cli.tables import say_duration
from edge.model import TEST_TIME_VIEWS, Bundle, Rejection
from train.cli.options import require_keras

LEAST_COVERAGE = 0.5
"""Share of the validation cells; to keep fewer is hardly what was meant."""


@click.command()
@click.argument("run", type=NamedPath(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=NewFile(".tflite"), help="The bundle, a .tflite file.")
@click.option(
    "--float",
    "float_out",
    type=NewFile(".tflite"),
    help="Write the network in float too, a plain .tflite file for leuko bench.",
)
@declared_options(Description)
@declared_options(Settings, without=("test_time_views",))
@click.option(
    "--test-time-views",
    type=click.Choice(list(map(str, TEST_TIME_VIEWS))),
    callback=lambda _, __, views: views and int(views),
    help="Views of a crop, mirrored and turned, to average over; by default the recipe's.",
)
@force_option
@json_option
@ended_by_interrupts()
def convert(run: Path, out: Path, float_out: Path | None, force: bool, as_json: bool, **options: Any) -> None:
    """Quantise the finished RUN to int8 and write one checked bundle. Takes a minute or two."""
    if float_out is not None and float_out.resolve() == out.resolve():
        raise click.UsageError("--out and --float are the same file")
    require_free(force, *filter(None, (out, float_out)))
    try:
        description = read(Description, grouped(Description, options))
        settings = read(Settings, grouped(Settings, options))
    except SchemaError as error:
        raise click.UsageError(str(error)) from error
    description = replace(
        description,
        name=description.name or out.stem,
        training_name=description.training_name or run.resolve().name,
    )
    if settings.precision is not None and settings.precision_guaranteed is not None:
        raise click.UsageError("--precision and --precision-guaranteed both choose the threshold: pass one")
    require_keras("convert")
    with quiet_libraries():
        try:
            # TensorFlow is in the train extra
            from convert.build import build, stated_pixel_um
            from convert.parity import summary_lines
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"leuko convert needs {error.name}: pip install 'leuko-edge[train]'"
            ) from error
    with one_line_errors(ValueError), quiet_libraries():
        assumed = description.pixel_um is None and stated_pixel_um(run) is None
        say_duration("converting", 60)
        bundle = build(run, out, description, settings, float_out=float_out)
    manifest, size = bundle.manifest, out.stat().st_size
    parity = manifest.parity
    loss = None if parity is None else loss_of(parity, settings.max_loss)
    if as_json:
        _print_json(bundle, size, loss)
    else:
        source = " (assumed: neither the training data nor --pixel-um gives it)" if assumed else ""
        echo(f"{out}: {size / 1e6:.2f} MB, {manifest.pixel_um:.4g} µm per pixel{source}")
        echo(f"counts {', '.join(manifest.counted)}")
        echo(f"sha256 {bundle.sha256}")
        if parity is None:
            echo("not compared with the float network: the run kept no validation cells", err=True)
        else:
            echo(*summary_lines(parity))
    if parity is not None and loss is not Loss.EXCLUDED:
        echo(f"Warning: {loss_words(parity, settings.max_loss)}", err=True)
    elif parity is not None and not as_json:
        echo(loss_words(parity, settings.max_loss))
    if manifest.rejection is not None and manifest.rejection.coverage and not as_json:
        echo(threshold_words(manifest.reject_below, manifest.rejection))
    if manifest.rejection is not None and manifest.rejection.coverage < LEAST_COVERAGE:
        kept = f"{100 * manifest.rejection.coverage:.1f} %"
        echo(f"Warning: it keeps {kept} of {manifest.rejection.source} and rejects the others", err=True)


def threshold_words(reject_below: float, rejection: Rejection) -> str:
    """Return how precise the answers are above a bundle's threshold, as found and at least."""
    least = rejection.least_precision
    limit = "" if least is None else f", at least {100 * least:.1f} % of new ones with 95 % confidence"
    return (
        f"rejects below a probability of {reject_below:.3g}: of the {100 * rejection.coverage:.1f} % of "
        f"{rejection.source} that it keeps, {100 * rejection.precision:.1f} % are right{limit}"
    )


def _print_json(bundle: Bundle, size_bytes: int, loss: str | None) -> None:
    manifest = bundle.manifest
    result = {
        "bundle": {"name": manifest.name, "sha256": bundle.sha256},
        "bytes": size_bytes,
        "pixel_um": manifest.pixel_um,
        "counted": manifest.counted,
        "temperature": manifest.temperature,
        "confusion": manifest.confusion,
        "parity": manifest.parity and asdict(manifest.parity),
        "loss": loss,
        "reject_below": manifest.reject_below,
        "rejection": manifest.rejection and asdict(manifest.rejection),
    }
    echo(json.dumps(result))
