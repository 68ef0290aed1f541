"""``leuko label``: suggest labels from pairs of frames, and make class folders of the confirmed ones."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edge.base import sole_writer
from edge.capture import agreed_pixel, contradiction, files_pixels
from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, NamedPath, WholeRange, json_option, quiet_libraries
from edge.cli.output import echo
from edge.cli.tables import progress
from train.cli.options import EXISTING, FOLDER
from train.label.apply import apply_labels
from train.label.write import CONTACT_SHEET, LabelOptions, write_labels

SOME_REFUSED = 3
PIXEL_UM = 0.125
"""Pixel of the frames that ``leuko simulate`` writes."""

PIXELS_UM = (0.02, 0.625)
"""Smallest and largest pixel: far below the resolution of light, and 12 px for the smallest cell, of 7.5 µm.
There 1 of 132 suggestions for simulated cells differs from that at 0.125 µm; at 0.75 µm, 3 of 126."""

_APPLYING = ("data", "accept_suggestions", "unflagged")
_GATES = ("min_diameter_um", "max_diameter_um", "min_solidity")
_LABELLING = ("pixel_um", "scale", "max_shift_um", *_GATES, "bit_depth", "more_classes")


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
    help=f"Side of a frame's pixel in the specimen, µm; by default what all files state, else "
    f"{PIXEL_UM}, as simulate writes.",
)
@click.option(
    "--scale", type=FiniteRange(0.05, 20), default=1.0, show_default=True, help="Frame pixels per crop pixel."
)
@click.option(
    "--max-shift-um",
    type=FiniteRange(min=0),
    default=10.0,
    show_default=True,
    help="Largest shift within a pair, µm; pairs shifted by more are refused.",
)
@click.option("--min-diameter-um", type=FiniteRange(0, min_open=True), help="Smallest cell, with its halo.")
@click.option("--max-diameter-um", type=FiniteRange(0, min_open=True), help="Largest cell, with its halo.")
@click.option("--min-solidity", type=FiniteRange(0, 1), help="Smallest area over that of the convex hull.")
@click.option(
    "--bit-depth",
    type=WholeRange(9, 16),
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
    help="Classes to choose from besides the three suggested ones.",
)
@click.option(
    "--apply",
    "table",
    metavar="LABELS.CSV",
    type=NamedPath(exists=True, dir_okay=False, path_type=Path),
    help="Make class folders of the labels confirmed in this file.",
)
@click.option("--data", type=EXISTING, help="With --apply, the folder of the crops, if not the file's own.")
@click.option("--accept-suggestions", is_flag=True, help="With --apply, take unconfirmed cells as suggested.")
@click.option(
    "--unflagged", is_flag=True, help="With --apply, leave out touching, cut-off and out-of-focus cells."
)
@json_option
@click.pass_context
def label(
    context: click.Context,
    /,
    brightfield: Path | None,
    fluorescence: Path | None,
    out: Path,
    table: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Suggest a label for each cell of the frames in BRIGHTFIELD from the nuclei in FLUORESCENCE.

    Both are folders; frames pair by name. The folder --out then holds crops, labels.csv and contact.html:
    open that in a browser, confirm or change the labels with the keyboard, and save labels.csv.

    With --apply LABELS.CSV, make class folders of the confirmed labels. Cells that are unconfirmed, unsure or
    excluded are left out; touching, cut-off and out-of-focus ones are kept and flagged.

    Exit code 0 if all frames were labelled, 3 if some were refused, 1 if all were.
    """
    if table is not None:
        _refuse_options(context, _LABELLING, "cannot be used with --apply")
        if brightfield is not None:
            raise click.UsageError("--apply takes no folders of frames")
        _apply(table, out, {name: options[name] for name in _APPLYING}, as_json)
        return
    _refuse_options(context, _APPLYING, "needs --apply")
    if brightfield is None or fluorescence is None:
        raise click.UsageError("name the folders BRIGHTFIELD and FLUORESCENCE, or pass --apply LABELS.CSV")
    for folder in (brightfield, fluorescence):
        if not folder.is_dir():
            raise click.UsageError(f"{folder} is not a folder")
    if brightfield.samefile(fluorescence):
        raise click.UsageError("BRIGHTFIELD and FLUORESCENCE are the same folder")
    chosen = {name: options[name] for name in _LABELLING if name not in _GATES}
    chosen["pixel_um"] = _pixel_um(brightfield, chosen["pixel_um"])
    gates = {name: options[name] for name in _GATES if options[name] is not None}
    _suggest(brightfield, fluorescence, out, LabelOptions(**chosen, segmentation=gates), as_json)


def _pixel_um(folder: Path, given: float | None) -> float:
    """Return the pixel size: the option's, or what all files state, or an assumed one; say which."""
    stated = files_pixels([folder])
    agreed = agreed_pixel(stated) if given is None else None
    used = given or (agreed.um if agreed else PIXEL_UM)
    if agreed:
        echo(f"pixel {used:.4g} µm, from the files ({agreed.source})", err=True)
    elif given is None:
        echo(f"pixel size assumed to be {PIXEL_UM} µm; pass --pixel-um if yours differs", err=True)
    if other := contradiction(stated, used, "assumed" if given is None else "from --pixel-um"):
        echo(other, err=True)
    return used


def _refuse_options(context: click.Context, names: tuple[str, ...], reason: str) -> None:
    """Refuse an option that would be ignored."""
    for parameter in context.command.params:
        given = context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
        if parameter.name in names and given:
            raise click.UsageError(f"{parameter.opts[0]} {reason}")


def _suggest(brightfield: Path, fluorescence: Path, out: Path, options: LabelOptions, as_json: bool) -> None:
    with one_line_errors(ValueError), quiet_libraries(), sole_writer(out), progress() as bar:
        task = bar.add_task("labelling", total=None)
        labelled = write_labels(
            brightfield,
            fluorescence,
            out,
            options,
            on_pairs=lambda n: bar.update(task, total=n),
            on_pair=lambda: bar.advance(task),
            on_refused=lambda name, reason: echo(f"refused: {name}: {reason}", err=True),
        )
    page = out / CONTACT_SHEET
    if as_json:
        refused = [{"frames": name, "reason": reason} for name, reason in labelled.refused]
        echo(json.dumps({**asdict(labelled), "refused": refused, "contact_sheet": str(page)}))
    else:
        _print_counts(labelled.suggestions)
    echo(f"pairs labelled: {labelled.fields}, refused: {len(labelled.refused)}", err=True)
    for remark in labelled.remarks:
        echo(remark, err=True)
    echo(f"flagged: {_flags(labelled.flags)}", err=True)
    echo(f"confirm the labels in a browser: {page}", err=True)
    if labelled.refused:
        raise click.exceptions.Exit(SOME_REFUSED)


def _apply(table: Path, out: Path, options: dict[str, Any], as_json: bool) -> None:
    with one_line_errors(ValueError), sole_writer(out):
        applied = apply_labels(table, out, **options)
    if as_json:
        echo(json.dumps(asdict(applied)))
    else:
        _print_counts(applied.classes)
    if applied.left_out:
        reasons = ", ".join(f"{n} {reason}" for reason, n in applied.left_out.items())
        echo(f"left out: {reasons}", err=True)
    echo(f"of these: {_flags(applied.flags)}", err=True)


def _print_counts(counts: dict[str, int]) -> None:
    for name, n in counts.items():
        echo(f"{name}: {n}")


def _flags(flags: dict[str, int]) -> str:
    names = {"touching": "touching", "border": "cut off", "out_of_focus": "out of focus"}
    return ", ".join(f"{n} {names[name]}" for name, n in flags.items())
