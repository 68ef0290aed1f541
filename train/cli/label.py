"""``leuko label``: suggest labels from pairs of frames, make class folders of the confirmed ones."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click
from click.core import ParameterSource

from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, NamedPath, json_option, quiet_libraries
from train.cli.options import EXISTING, FOLDER, progress

SOME_REFUSED = 3
PIXEL_UM = 0.125
"""Pixel of the frames that ``leuko simulate`` writes."""

PIXELS_UM = (0.02, 0.625)
"""Smallest and largest pixel: far below the resolution of light; and 12 px for the smallest cell, of 7.5 µm.
There 1 of 132 suggestions for simulated cells is another class than at 0.125 µm; at 0.75 µm, 3 of 126."""

_APPLYING = ("data", "accept_suggestions", "unflagged")
_LABELLING = (
    *("pixel_um", "scale", "max_shift_um", "min_diameter_um", "max_diameter_um", "min_solidity"),
    *("bit_depth", "more_classes"),
)


def _split(_: click.Context, __: click.Parameter, text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",")) if text.strip() else ()
    if not all(names):
        raise click.BadParameter(f"{text!r} has a class without a name")
    return names


@click.command()
@click.argument("brightfield", required=False, type=EXISTING)
@click.argument("fluorescence", required=False, type=EXISTING)
@click.option("--out", required=True, type=FOLDER, help="Folder to write; absent or empty.")
@click.option(
    "--pixel-um",
    type=FiniteRange(*PIXELS_UM),
    help=f"Side of a frame's pixel in the specimen, µm; by default {PIXEL_UM}, as simulate writes.",
)
@click.option(
    "--scale", type=FiniteRange(0.05, 20), default=1.0, show_default=True, help="Frame pixels a crop pixel."
)
@click.option(
    "--max-shift-um",
    type=FiniteRange(min=0),
    default=10.0,
    show_default=True,
    help="Refuse pairs that are shifted by more.",
)
@click.option("--min-diameter-um", type=FiniteRange(0, min_open=True), help="Smallest cell, with its halo.")
@click.option("--max-diameter-um", type=FiniteRange(0, min_open=True), help="Largest cell, with its halo.")
@click.option("--min-solidity", type=FiniteRange(0, 1), help="Least area over that of the convex hull.")
@click.option(
    "--bit-depth",
    type=click.IntRange(9, 16),
    default=16,
    show_default=True,
    help="Bits in use of a 16-bit sample.",
)
@click.option(
    "--classes",
    "more_classes",
    callback=_split,
    default="erythrocyte,debris",
    show_default=True,
    help="Classes that a person may choose beside the three that are suggested.",
)
@click.option(
    "--apply",
    "table",
    metavar="LABELS.CSV",
    type=NamedPath(exists=True, dir_okay=False, path_type=Path),
    help="Make class folders of the labels confirmed in this file.",
)
@click.option("--data", type=EXISTING, help="With --apply: the folder with the crops, if not the file's own.")
@click.option(
    "--accept-suggestions", is_flag=True, help="With --apply: take what nobody confirmed, as suggested."
)
@click.option(
    "--unflagged", is_flag=True, help="With --apply: without touching, cut-off and out-of-focus cells."
)
@json_option
@click.pass_context
def label(
    context: click.Context,
    brightfield: Path | None,
    fluorescence: Path | None,
    out: Path,
    pixel_um: float | None,
    scale: float,
    max_shift_um: float,
    min_diameter_um: float | None,
    max_diameter_um: float | None,
    min_solidity: float | None,
    bit_depth: int,
    more_classes: tuple[str, ...],
    table: Path | None,
    data: Path | None,
    accept_suggestions: bool,
    unflagged: bool,
    as_json: bool,
) -> None:
    """Suggest a label for each cell of the frames in BRIGHTFIELD from the nuclei in FLUORESCENCE.

    Both are folders; frames pair by name. The folder --out then holds crops, labels.csv and contact.html:
    open that in a browser, confirm or change the labels with the keyboard, and save labels.csv.

    With --apply LABELS.CSV, make class folders of the confirmed labels. Cells that are unconfirmed, unsure or
    excluded are left out; touching, cut-off and out-of-focus ones are kept and marked.

    Exit code 0 when all frames were labelled, 3 when some were refused, 1 when all were.
    """
    if table is None:
        _refuse_options(context, _APPLYING, "needs --apply")
        if brightfield is None or fluorescence is None:
            raise click.UsageError("name the folders BRIGHTFIELD and FLUORESCENCE, or --apply LABELS.CSV")
        for folder in (brightfield, fluorescence):
            if not folder.is_dir():
                raise click.UsageError(f"{folder} is no folder")
        if brightfield.samefile(fluorescence):
            raise click.UsageError("BRIGHTFIELD and FLUORESCENCE are the same folder")
        if pixel_um is None:
            pixel_um = PIXEL_UM
            click.echo(f"pixel size taken as {PIXEL_UM} µm; say --pixel-um if yours differs", err=True)
        gates = {
            "min_diameter_um": min_diameter_um,
            "max_diameter_um": max_diameter_um,
            "min_solidity": min_solidity,
        }
        segmentation = {name: value for name, value in gates.items() if value is not None}
        _suggest(
            brightfield,
            fluorescence,
            out,
            pixel_um=pixel_um,
            scale=scale,
            max_shift_um=max_shift_um,
            bit_depth=bit_depth,
            segmentation=segmentation,
            more_classes=more_classes,
            as_json=as_json,
        )
    else:
        _refuse_options(context, _LABELLING, "has no meaning with --apply")
        if brightfield is not None:
            raise click.UsageError("--apply takes no folders of frames")
        _apply(table, out, data, accept_suggestions, unflagged, as_json)


def _refuse_options(context: click.Context, names: tuple[str, ...], why: str) -> None:
    """Tell of an option that would be ignored."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if parameter.name in names and given:
            raise click.UsageError(f"{parameter.opts[0]} {why}")


def _suggest(
    brightfield: Path,
    fluorescence: Path,
    out: Path,
    *,
    pixel_um: float,
    scale: float,
    max_shift_um: float,
    bit_depth: int,
    segmentation: dict[str, float],
    more_classes: tuple[str, ...],
    as_json: bool,
) -> None:
    from train.label.write import CONTACT_SHEET, write_labels

    with one_line_errors(ValueError), quiet_libraries(), progress() as bar:
        task = bar.add_task("labelling", total=None)
        written = write_labels(
            brightfield,
            fluorescence,
            out,
            pixel_um=pixel_um,
            scale=scale,
            max_shift_um=max_shift_um,
            bit_depth=bit_depth,
            segmentation=segmentation,
            more_classes=more_classes,
            on_pairs=lambda n: bar.update(task, total=n),
            on_pair=lambda: bar.advance(task),
            on_refused=lambda name, reason: click.echo(f"refused: {name}: {reason}", err=True),
        )
    page = out / CONTACT_SHEET
    if as_json:
        refused = [{"frames": name, "reason": reason} for name, reason in written.refused]
        click.echo(json.dumps({**asdict(written), "refused": refused, "contact_sheet": str(page)}))
    else:
        for name, n in written.suggestions.items():
            click.echo(f"{name}: {n}")
    click.echo(f"pairs labelled: {written.fields}, refused: {len(written.refused)}", err=True)
    click.echo(_flags("marked", written.flags), err=True)
    click.echo(f"confirm the labels in a browser: {page}", err=True)
    if written.refused:
        raise click.exceptions.Exit(SOME_REFUSED)


def _apply(
    table: Path, out: Path, data: Path | None, accept_suggestions: bool, unflagged: bool, as_json: bool
) -> None:
    from train.label.apply import apply_labels

    with one_line_errors(ValueError):
        applied = apply_labels(
            table, out, data=data, accept_suggestions=accept_suggestions, unflagged=unflagged
        )
    if as_json:
        click.echo(json.dumps(asdict(applied)))
    else:
        for name, n in applied.classes.items():
            click.echo(f"{name}: {n}")
    if applied.left_out:
        click.echo(f"left out: {', '.join(f'{n} {why}' for why, n in applied.left_out.items())}", err=True)
    click.echo(_flags("of these", applied.flags), err=True)


def _flags(title: str, flags: dict[str, int]) -> str:
    words = {"touching": "touching", "border": "cut off", "out_of_focus": "out of focus"}
    return f"{title}: " + ", ".join(f"{n} {words[name]}" for name, n in flags.items())
