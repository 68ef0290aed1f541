"""``leuko crops``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edge.base import PIXELS_UM, quantity, sole_writer
from edge.capture import PlaneChoice
from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, WholeRange, declared_options, quiet_libraries
from edge.cli.output import echo
from edge.cli.tables import progress
from edge.run import CountConfig
from train.cli.options import EXISTING, FOLDER, parse_rename
from train.crops import CropOptions, cut


@click.command()
@click.argument("frames", nargs=-1, required=True, type=EXISTING)
@click.argument("boxes", type=EXISTING)
@click.option("--out", required=True, type=FOLDER, help="Folder of class folders to write.")
@click.option(
    "--rename", callback=parse_rename, help="Class names for box labels, for example WBC=leukocyte,RBC=…"
)
@click.option(
    "--scale", type=FiniteRange(0.05, 20), default=1.0, show_default=True, help="Frame pixels per crop pixel."
)
@click.option(
    "--pixel-um",
    type=FiniteRange(*PIXELS_UM),
    help="Side of a frame's pixel in the specimen, µm; by default the column pixel_um of BOXES,"
    " else what all FRAMES state.",
)
@click.option(
    "--separate", is_flag=True, help="Leave out cells that touch another one or that the frame's edge cuts."
)
@click.option(
    "--group-frames",
    type=WholeRange(min=1),
    default=1,
    show_default=True,
    help="Consecutive frames that a split keeps together: more than 1 if neighbouring fields overlap.",
)
@click.option(
    "--backgrounds",
    type=WholeRange(min=0, max=100),
    default=8,
    show_default=True,
    help="Crops without a cell per frame, over which `leuko train` lays cells.",
)
@declared_options(CountConfig, only=("bit_depth", "channel", "z"))
def crops(
    frames: tuple[Path, ...], boxes: Path, out: Path, channel: str | None, z: str | None, **options: Any
) -> None:
    """Cut a 200×200 crop around each box of BOXES that lies in FRAMES (files or folders).

    BOXES is a CSV with the columns frame,label and x,y,width,height or xmin,ymin,xmax,ymax: the cells.csv of
    a count, the truth.csv of a simulation, or your own. The crops go to class folders, listed in cells.csv,
    and crops without a cell to the folder backgrounds.
    """
    if boxes.is_dir():
        raise click.UsageError(f"{boxes} is a folder; BOXES, the CSV, comes last: leuko crops FRAMES BOXES")
    with one_line_errors(ValueError), quiet_libraries(), sole_writer(out), progress() as bar:
        task = bar.add_task("frames", total=None)
        done = cut(
            frames,
            boxes,
            out,
            CropOptions(planes=PlaneChoice(channel=channel, z=z), **options),
            on_frame=lambda: bar.advance(task),
        )
    for label, n in done.counts.items():
        echo(f"{label}: {n}")
    for remark in done.remarks:
        echo(remark, err=True)
    others = ", ".join(list(done.elsewhere)[:3]) + (" …" if len(done.elsewhere) > 3 else "")
    for n, reason in (
        (done.rejected, "rejected by the count"),
        (done.repeated, "in a row that repeats an earlier one"),
        (done.outside, "with the centre outside the frame"),
        (sum(done.elsewhere.values()), f"of frames that were not given: {others}"),
    ):
        if n:
            echo(f"left out: {quantity(n, 'box', 'boxes')} {reason}", err=True)
