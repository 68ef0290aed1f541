"""``leuko bundle validate``: a bundle's answers to annotated frames become part of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import click

from convert.chain import rewrite
from convert.chain import validate as answers_to
from edge.base import PIXELS_UM
from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, NamedPath, NewFile, force_option, json_option, require_free
from edge.cli.output import echo
from edge.cli.tables import new_table, plain, print_table, progress
from edge.model import load_bundle
from train.cli.options import parse_rename


@click.command()
@click.argument("bundle_file", metavar="BUNDLE")
@click.argument("frames", metavar="FRAMES...", nargs=-1, required=True)
@click.argument("boxes", type=NamedPath(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=NewFile(".tflite"), help="The validated bundle, a .tflite file.")
@click.option(
    "--rename",
    callback=parse_rename,
    help="The bundle's labels for box labels, for example WBC=leukocyte,RBC=…",
)
@click.option(
    "--pixel-um",
    type=FiniteRange(*PIXELS_UM),
    help="Side of a frame's pixel in the specimen, µm; by default as BOXES, FRAMES or the bundle state it.",
)
@click.option(
    "--source", default="", help="Name of the frames, for the model card; by default that of BOXES."
)
@force_option
@json_option
def validate(
    bundle_file: str,
    frames: tuple[str, ...],
    boxes: Path,
    out: Path,
    rename: dict[str, str],
    pixel_um: float | None,
    source: str,
    force: bool,
    as_json: bool,
) -> None:
    """Count FRAMES, in which BOXES marks every cell, and write what was missed or mistaken into BUNDLE.

    Counts are then corrected for missed cells and false ones too, and cells/µL with them. FRAMES must be none
    that the network was trained on. BOXES is a CSV as leuko crops takes it. The new bundle is not signed.
    """
    require_free(force, out)
    with one_line_errors(ValueError), progress() as bar:
        task = bar.add_task("frames", total=None)
        bundle = load_bundle(bundle_file)
        answers, remarks = answers_to(
            bundle,
            frames,
            boxes,
            pixel_um=pixel_um,
            rename=rename,
            source=source,
            on_frame=lambda: bar.advance(task),
        )
        validated = rewrite(bundle, answers, out)
    for remark in remarks:
        echo(f"Warning: {remark}", err=True)
    if as_json:
        echo(json.dumps({"bundle": {"sha256": validated.sha256}, "answers": asdict(answers)}))
        return
    table = new_table("Truth", *map(plain, bundle.manifest.labels), "no answer", "missed")
    for label, row, missed in zip(bundle.manifest.labels, answers.cells, answers.missed, strict=True):
        table.add_row(plain(label), *map(str, row), str(missed))
    table.add_row("no cell", *map(str, answers.false), "")
    print_table(table)
    echo(f"{out}: sha256 {validated.sha256}")
    if bundle.signature is not None:
        echo(f"Warning: the signature was dropped: sign {out} with leuko bundle sign", err=True)
