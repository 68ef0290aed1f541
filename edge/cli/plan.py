"""``leuko plan``: how many fields and minutes a precision costs, and which objective would take fewer."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
from typing import Any

import click

from edge.base import PIXELS_UM
from edge.calibration import (
    Calibration,
    PixelCalibration,
    Uncertainty,
    VolumeCalibration,
    field_volume,
)
from edge.cli.calibrate import depth_option, dilution_option
from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, OrExact, json_option, parse_pair
from edge.cli.output import echo
from edge.cli.tables import new_table, plain, print_table, time_words
from edge.count import CAMERA_CELLS, MANY_FIELDS, FieldPlan, FieldVolume, Precision
from edge.find import QualityLimits
from edge.model import BundleError, Manifest, load_bundle
from edge.run import Objective, lower_objectives, pixel_remark

CELLS = (100, 200, 400, 1000, 2000)
"""Rows of the table, beside the one that is asked for."""

GRID_MM2 = 9.0
"""Ruled area of one side of an improved Neubauer chamber, 3 mm by 3 mm."""


@click.command()
@click.option(
    "--pixel-um",
    type=FiniteRange(*PIXELS_UM),
    required=True,
    help="Side of a frame's pixel in the specimen, µm.",
)
@click.option(
    "--size",
    metavar="WIDTHxHEIGHT",
    callback=partial(parse_pair, "WIDTHxHEIGHT, such as 4056x3040", 100_000),
    default="4056x3040",
    show_default=True,
    help="Frame size in px; by default that of an IMX477.",
)
@depth_option
@click.option(
    "--depth-uncertainty-um",
    type=OrExact(0, 10_000),
    default="exact",
    show_default=True,
    help="Standard uncertainty of the depth, µm, or exact.",
)
@dilution_option
@click.option(
    "--dilution-uncertainty",
    type=OrExact(0, 1_000_000),
    default="exact",
    show_default=True,
    help="Standard uncertainty of the dilution, or exact.",
)
@click.option(
    "--expected",
    type=FiniteRange(1, 10_000_000),
    required=True,
    help="Leukocytes per µL of the undiluted sample, about; 7000 in normal blood.",
)
@click.option(
    "--halfwidth",
    type=FiniteRange(0.001, 0.5),
    help="Half-width of the 95 % interval: 0.1 is ±10 % of cells/µL or, with --share, ±10 points.",
)
@click.option(
    "--cv",
    type=FiniteRange(0.001, 0.5),
    help="Coefficient of variation instead of a half-width; of cells/µL or, with --share, of the share.",
)
@click.option("--class", "label", metavar="LABEL", help="Class whose share is to be measured; needs --share.")
@click.option(
    "--share",
    type=FiniteRange(0, 1, min_open=True, max_open=True),
    help="Expected share of --class among the leukocytes.",
)
@click.option(
    "--seconds-per-field",
    "field_s",
    type=FiniteRange(0.01, 3600),
    default=5.0,
    show_default=True,
    help="Time to move to a field, focus and count it.",
)
@click.option(
    "--magnification",
    type=FiniteRange(1, 200),
    help="Magnification of the objective at which --pixel-um holds, to name others by theirs.",
)
@click.option(
    "--bundle",
    metavar="BUNDLE",
    help="Model to be used, a shipped name or a .tflite file: says which magnifications it knows.",
)
@json_option
def plan(
    pixel_um: float,
    size: tuple[int, int],
    depth_um: float,
    depth_uncertainty_um: Uncertainty,
    dilution: float,
    dilution_uncertainty: Uncertainty,
    expected: float,
    halfwidth: float | None,
    cv: float | None,
    label: str | None,
    share: float | None,
    field_s: float,
    magnification: float | None,
    bundle: str | None,
    as_json: bool,
) -> None:
    """Say how many fields and minutes a precision costs, before anything is counted.

    The precision is that of cells/µL or, with --class and --share, of the share of a class. Without
    --halfwidth and --cv, that of 400 leukocytes is stated. Cells are taken to lie at random and to be
    recognised: clumps and the bundle's errors come on top.
    """
    if (label is None) != (share is None):
        raise click.UsageError("--class and --share belong together: name the class and its expected share")
    if halfwidth and cv:
        raise click.UsageError("--halfwidth and --cv exclude each other")

    with one_line_errors(BundleError, ValueError):
        manifest = load_bundle(bundle).manifest if bundle else None
        if manifest and label and label not in manifest.counted:
            raise click.ClickException(
                f"{manifest.name} counts no {label}, but {', '.join(manifest.counted)}"
            )
        volume = _volume(pixel_um, size, depth_um, depth_uncertainty_um, dilution, dilution_uncertainty)
        planned = FieldPlan(volume, expected, share)
        asked = planned.fewest(halfwidth=halfwidth, cv=cv) if halfwidth or cv else planned.after(CAMERA_CELLS)
    objectives = lower_objectives(
        planned, asked.cells, pixel_um, magnification=magnification, manifest=manifest
    )
    rows = sorted({asked, *map(planned.after, CELLS)}, key=lambda one: one.cells)
    remarks = [*_remarks(planned, asked, pixel_um, size, manifest)]
    if as_json:
        echo(json.dumps(_as_json(planned, asked, rows, objectives, field_s) | {"remarks": remarks}))
        return
    shows = f"a field of {size[0]}×{size[1]} px, {depth_um:g} µm deep, shows {1000 * volume.field_ul:.4g} nL"
    of = "" if dilution == 1 else f" of the sample diluted {dilution:g} times"
    cells = planned.cells_per_field
    echo(f"{shows}{of}: {f'{cells:.3g}' if cells < 100 else f'{cells:,.0f}'} leukocytes expected")
    table = new_table(
        "Fields", "Leukocytes", "Time", f"95 % interval of {f'the {label} share' if label else 'cells/µL'}"
    )
    for row in rows:
        words = f"{row.fields:,}", f"{row.cells:,}", time_words(row.fields * field_s), _width(planned, row)
        table.add_row(*map(plain, words), style="bold" if row is asked else "")
    print_table(table)
    echo(
        _recommended(planned, asked, field_s),
        *_better(objectives, magnification, manifest, field_s),
        *remarks,
    )


def _volume(
    pixel_um: float,
    size: tuple[int, int],
    depth_um: float,
    depth_uncertainty_um: Uncertainty,
    dilution: float,
    dilution_uncertainty: Uncertainty,
) -> FieldVolume:
    """Return the volume of a field as a calibration of these values has it."""
    now = datetime.now(UTC)
    pixel = PixelCalibration(pixel_um, 0.0, *size, "planned", now, pitch_uncertainty="exact")
    undiluted = dilution == 1 and dilution_uncertainty == "exact"
    chamber = VolumeCalibration(
        depth_um, depth_uncertainty_um, dilution, now, None if undiluted else dilution_uncertainty
    )
    return field_volume(Calibration(pixel=pixel, volume=chamber))


def _width(planned: FieldPlan, row: Precision) -> str:
    """Return the half-width in words."""
    return f"±{100 * row.halfwidth:.1f} {'%' if planned.share is None else 'points'}"


def _recommended(planned: FieldPlan, asked: Precision, field_s: float) -> str:
    """Return the sentence that says what to do."""
    return (
        f"{asked.cells:,} leukocytes (leuko count --until-cells {asked.cells}) take {asked.fields:,} fields,"
        f" {time_words(asked.fields * field_s)} at {field_s:g} s per field, and give {_width(planned, asked)}"
        f" (coefficient of variation {100 * asked.cv:.1f} %)"
    )


def _better(
    objectives: Sequence[Objective], magnification: float | None, manifest: Manifest | None, field_s: float
) -> Iterator[str]:
    """Yield the sentence on an objective that would take fewer fields, if there is one."""
    if not objectives:
        return
    suiting = [one for one in objectives if one.suits]
    best = suiting[-1] if suiting else objectives[0]
    name = f"a {best.ratio * magnification:g}× objective" if magnification else "half the magnification"
    if manifest is None:
        condition = ", with a bundle that was trained at about that pixel size (leuko bundle show)"
    elif suiting:
        condition = f"; {manifest.name} knows cells of such pixels"
    else:
        trained = f"{manifest.name} was trained at {manifest.pixel_um:.4g} µm per pixel"
        condition = f", but {trained}: it takes another bundle"
    fields = best.precision.fields
    yield (
        f"{name} ({best.pixel_um:.3g} µm per pixel) would take {fields:,} fields,"
        f" {time_words(fields * field_s)}{condition}"
    )


def _remarks(
    planned: FieldPlan, asked: Precision, pixel_um: float, size: tuple[int, int], manifest: Manifest | None
) -> Iterator[str]:
    """Yield what the numbers rest on, and what speaks against them."""
    volume = planned.volume
    exact = [name for name in volume.exact if name != "pitch"]
    if planned.share is None and exact:
        options = " and ".join(f"--{name}-uncertainty{'-um' * (name == 'depth')}" for name in exact)
        yield f"{' and '.join(exact)} taken as exact: {options} would widen the interval"
    if asked.fields == MANY_FIELDS:
        yield f"{MANY_FIELDS} fields are the fewest that show clumps well"
    area_mm2 = size[0] * size[1] * pixel_um**2 * 1e-6
    density, most = planned.cells_per_field / area_mm2, QualityLimits().max_density_per_mm2
    if density > most:
        yield f"{density:,.0f} leukocytes per mm² are too dense (at most {most:,.0f}): dilute more"
    if asked.fields * area_mm2 > GRID_MM2:
        yield (
            f"the fields cover {asked.fields * area_mm2:,.1f} mm², and one grid of an improved Neubauer"
            f" chamber has {GRID_MM2:g} mm²: use both grids, fill the chamber again, or dilute less"
        )
    if manifest and (differs := pixel_remark(pixel_um, manifest)):
        yield differs
    yield (
        "cells must have settled; clumps and the bundle's own errors come on top, and in one count of five"
        " the interval is wider because fields differ by chance"
    )


def _as_json(
    planned: FieldPlan,
    asked: Precision,
    rows: Sequence[Precision],
    objectives: Sequence[Objective],
    field_s: float,
) -> dict[str, Any]:
    """Return the plan as a mapping."""

    def timed(one: Precision) -> dict[str, Any]:
        return asdict(one) | {"seconds": one.fields * field_s}

    return {
        "field": asdict(planned.volume) | {"leukocytes": planned.cells_per_field},
        "asked": timed(asked),
        "rows": [timed(one) for one in rows],
        "objectives": [
            {"ratio": one.ratio, "pixel_um": one.pixel_um, "suits": one.suits} | timed(one.precision)
            for one in objectives
        ],
    }
