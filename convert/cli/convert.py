"""``leuko convert`` turns a training run into a device's bundle."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from convert.settings import Description, Settings
from edge.base import PIXELS_UM
from edge.cli.errors import one_line_errors
from edge.cli.options import (
    FiniteRange,
    NamedPath,
    NewFile,
    ended_by_interrupts,
    json_option,
    quiet_libraries,
)
from edge.model import TEST_TIME_VIEWS, Bundle
from train.cli.options import require_keras

LEAST_COVERAGE = 0.5
"""Share of the validation cells; to keep fewer is hardly what was meant."""


def _line(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check a text of the manifest, see `edge.model.manifest`, before the work."""
    if value is not None and not value.isprintable():
        raise click.BadParameter("not one line of printable characters")
    return value


@click.command()
@click.argument("run", type=NamedPath(exists=True, file_okay=False, path_type=Path))
@click.option("--out", required=True, type=NewFile(".tflite"), help="The bundle, a .tflite file.")
@click.option(
    "--pixel-um",
    type=FiniteRange(*PIXELS_UM),
    help="Side of a training crop's pixel, µm; by default the training data's, else 0.0727.",
)
@click.option(
    "--not-counted",
    default="",
    help="Labels outside the differential, separated by commas; by default those that name no leukocyte.",
)
@click.option(
    "--reject-below",
    type=FiniteRange(0, 1, max_open=True),
    default=Settings.reject_below,
    show_default=True,
    help="Reject a cell whose best probability is smaller.",
)
@click.option(
    "--max-loss",
    type=FiniteRange(min=0),
    default=Settings.max_loss,
    show_default=True,
    help="Accuracy that int8 may lose on the run's validation cells, percentage points.",
)
@click.option(
    "--float",
    "float_out",
    type=NewFile(".tflite"),
    help="Write the network in float too, a plain .tflite file for leuko bench.",
)
@click.option(
    "--precision",
    type=FiniteRange(0, 1, min_open=True),
    help="Choose the threshold so that this share of the accepted validation answers is right.",
)
@click.option(
    "--test-time-views",
    type=click.Choice(list(map(str, TEST_TIME_VIEWS))),
    help="Views of a crop, mirrored and turned, to average over; by default the recipe's.",
)
@click.option(
    "--test-time-share",
    type=FiniteRange(0, 1),
    default=Settings.test_time_share,
    show_default=True,
    help="Share of the validation cells, those of least margin, that get all views; the others get one.",
)
@click.option("--name", callback=_line, help="The bundle's name; by default the file's.")
@click.option(
    "--release", "version", callback=_line, default="1", show_default=True, help="The bundle's version."
)
@click.option(
    "--training-name", callback=_line, help="Name of the training data; by default the run folder's."
)
@click.option(
    "--intended-use",
    callback=_line,
    default="research use only, not for diagnosis",
    show_default=True,
    help="Intended use that the bundle states.",
)
@click.option(
    "--licence", callback=_line, default="Apache-2.0", show_default=True, help="Licence of the bundle."
)
@click.option("--notice", callback=_line, default="", help="Notice shown with every result of this bundle.")
@json_option
@ended_by_interrupts()
def convert(
    run: Path,
    out: Path,
    pixel_um: float | None,
    not_counted: str,
    reject_below: float,
    precision: float | None,
    max_loss: float,
    float_out: Path | None,
    test_time_views: str | None,
    test_time_share: float,
    name: str | None,
    version: str,
    training_name: str | None,
    intended_use: str,
    licence: str,
    notice: str,
    as_json: bool,
) -> None:
    """Quantise the finished RUN to int8 and write one checked bundle."""
    if float_out is not None and float_out.resolve() == out.resolve():
        raise click.UsageError("--out and --float are the same file")
    description = Description(
        name=name or out.stem,
        version=version,
        pixel_um=pixel_um,
        training_name=training_name or run.resolve().name,
        intended_use=intended_use,
        licence=licence,
        notice=notice,
        not_counted=frozenset(filter(None, map(str.strip, not_counted.split(",")))) or None,
    )
    settings = Settings(
        reject_below=reject_below,
        precision=precision,
        test_time_views=int(test_time_views) if test_time_views else None,
        test_time_share=test_time_share,
        max_loss=max_loss,
    )
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
        bundle = build(run, out, description, settings, float_out=float_out)
        assumed = pixel_um is None and stated_pixel_um(run) is None
    manifest, size = bundle.manifest, out.stat().st_size
    if as_json:
        _print_json(bundle, size)
    else:
        source = " (assumed: neither the training data nor --pixel-um gives it)" if assumed else ""
        click.echo(f"{out}: {size / 1e6:.2f} MB, {manifest.pixel_um:.4g} µm per pixel{source}")
        click.echo(f"counts {', '.join(manifest.counted)}")
        click.echo(f"sha256 {bundle.sha256}")
        if manifest.parity is None:
            click.echo("not compared with the float network: the run kept no validation cells", err=True)
        else:
            click.echo("\n".join(summary_lines(manifest.parity, max_loss)))
    if manifest.rejection is not None and manifest.rejection.coverage < LEAST_COVERAGE:
        kept = f"{100 * manifest.rejection.coverage:.1f} %"
        click.echo(
            f"Warning: it keeps {kept} of {manifest.rejection.source} and rejects the others", err=True
        )


def _print_json(bundle: Bundle, size_bytes: int) -> None:
    manifest = bundle.manifest
    result = {
        "bundle": {"name": manifest.name, "sha256": bundle.sha256},
        "bytes": size_bytes,
        "pixel_um": manifest.pixel_um,
        "counted": manifest.counted,
        "temperature": manifest.temperature,
        "confusion": manifest.confusion,
        "parity": manifest.parity and asdict(manifest.parity),
    }
    click.echo(json.dumps(result))
