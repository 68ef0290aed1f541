"""``leuko convert`` makes a device's bundle of a training run."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

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
from train.cli.options import require_keras

LEAST_COVERAGE = 0.5
"""Share of the validation cells; a bundle that keeps fewer is hardly what was meant."""


def _line(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check a text of the manifest, see `edge.model.manifest`, before the work."""
    if value is not None and not value.isprintable():
        raise click.BadParameter("not one line of printable characters")
    return value


@click.command()
@click.argument("run", type=NamedPath(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--out",
    required=True,
    type=NewFile(".tflite"),
    help="The bundle, a .tflite file.",
)
@click.option(
    "--pixel-um",
    type=FiniteRange(*PIXELS_UM),
    help="Side of a training crop's pixel, µm; by default what the training data says, else 0.0727.",
)
@click.option(
    "--not-counted",
    default="",
    help="Labels outside the differential, by comma; by default those that name no leukocyte.",
)
@click.option(
    "--reject-below",
    type=FiniteRange(0, 1, max_open=True),
    default=0.5,
    show_default=True,
    help="A cell whose best probability is smaller is reported as rejected.",
)
@click.option(
    "--max-loss",
    type=FiniteRange(min=0),
    default=0.5,
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
    "--views",
    type=click.Choice(["1", "8"]),
    help="Views of a crop to average over: 8 (mirrored, turned) err less. By default the recipe's.",
)
@click.option(
    "--doubted",
    type=FiniteRange(0, 1),
    default=0.15,
    show_default=True,
    help="Share of the validation cells, the least sure ones, seen in 8 views; the others are in one.",
)
@click.option("--name", callback=_line, help="The bundle's name; by default the file's.")
@click.option(
    "--release", "version", callback=_line, default="1", show_default=True, help="The bundle's version."
)
@click.option(
    "--training-name", callback=_line, help="Name of the training data; by default the run folder's."
)
@click.option(
    "--intended-use", callback=_line, default="research use only, not for diagnosis", show_default=True
)
@click.option("--licence", callback=_line, default="Apache-2.0", show_default=True)
@click.option("--notice", callback=_line, default="", help="Said with every output of this bundle.")
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
    views: str | None,
    doubted: float,
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
    require_keras("convert")
    with quiet_libraries():
        try:
            from convert.build import Description, build, stated_pixel_um
            from convert.parity import words
        except ModuleNotFoundError as error:
            raise click.ClickException(
                f"leuko convert needs {error.name}: pip install 'leuko-edge[train]'"
            ) from error
    description = Description(
        name=name or out.stem,
        version=version,
        pixel_um=pixel_um,
        training_name=training_name or run.resolve().name,
        intended_use=intended_use,
        licence=licence,
        notice=notice,
        reject_below=reject_below,
        precision=precision,
        views=int(views) if views else None,
        doubted=doubted,
        not_counted=frozenset(filter(None, map(str.strip, not_counted.split(",")))) or None,
    )
    with one_line_errors(ValueError), quiet_libraries():
        bundle = build(run, out, description, max_loss=max_loss, float_out=float_out)
        assumed = pixel_um is None and stated_pixel_um(run) is None
    manifest, size = bundle.manifest, out.stat().st_size
    if as_json:
        said = {
            "bundle": {"name": manifest.name, "sha256": bundle.sha256},
            "bytes": size,
            "pixel_um": manifest.pixel_um,
            "counted": manifest.counted,
            "temperature": manifest.temperature,
            "confusion": manifest.confusion,
            "parity": None if manifest.parity is None else asdict(manifest.parity),
        }
        click.echo(json.dumps(said))
    else:
        said_so = " (assumed: neither the training data nor --pixel-um says it)" if assumed else ""
        click.echo(f"{out}: {size / 1e6:.2f} MB, {manifest.pixel_um:.4g} µm a pixel{said_so}")
        click.echo(f"counts {', '.join(manifest.counted)}")
        click.echo(f"sha256 {bundle.sha256}")
        if manifest.parity is None:
            click.echo("not compared with the float network: the run kept no validation cells", err=True)
        else:
            click.echo("\n".join(words(manifest.parity, max_loss)))
    if manifest.rejection is not None and manifest.rejection.coverage < LEAST_COVERAGE:
        kept = f"{100 * manifest.rejection.coverage:.1f} %"
        click.echo(
            f"Warning: it keeps {kept} of {manifest.rejection.source} and rejects the others", err=True
        )
