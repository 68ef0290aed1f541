"""``leuko crops``."""

from __future__ import annotations

from pathlib import Path

import click

from edge.base import PIXELS_UM
from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, quiet_libraries
from train.cli.options import EXISTING, FOLDER, progress


def _parse_rename(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, str]:
    pairs = [pair.split("=") for pair in value.split(",")] if value else []
    if any(len(pair) != 2 or not all(pair) for pair in pairs):
        raise click.BadParameter("write OLD=NEW,OLD=NEW")
    return {old.strip(): new.strip() for old, new in pairs}


@click.command()
@click.argument("frames", nargs=-1, required=True, type=EXISTING)
@click.argument("boxes", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--out", required=True, type=FOLDER, help="Folder of class folders to write.")
@click.option("--rename", callback=_parse_rename, help="Class names for box labels, as WBC=leukocyte,RBC=…")
@click.option(
    "--scale", type=FiniteRange(0.05, 20), default=1.0, show_default=True, help="Frame pixels a crop pixel."
)
@click.option(
    "--pixel-um",
    type=FiniteRange(*PIXELS_UM),
    help="Side of a frame's pixel in the specimen, µm; by default what BOXES says.",
)
@click.option("--separate", is_flag=True, help="Leave out cells marked as touching or cut by the border.")
@click.option(
    "--group-frames",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Consecutive frames that a split keeps together: more where neighbouring fields overlap.",
)
@click.option(
    "--backgrounds",
    type=click.IntRange(min=0, max=100),
    default=8,
    show_default=True,
    help="Empty places kept of each frame; `leuko train` lays cells over them.",
)
def crops(
    frames: tuple[Path, ...],
    boxes: Path,
    out: Path,
    rename: dict[str, str],
    scale: float,
    pixel_um: float | None,
    separate: bool,
    group_frames: int,
    backgrounds: int,
) -> None:
    """Cut a 200×200 crop around each box of BOXES that lies in FRAMES (files or folders).

    BOXES is a CSV: frame,label,xmin,ymin,xmax,ymax. The crops go to class folders, listed in cells.csv,
    crops without a cell to the folder backgrounds.
    """
    from train.crops import cut

    with one_line_errors(ValueError), quiet_libraries(), progress() as bar:
        task = bar.add_task("frames", total=None)
        done = cut(
            frames,
            boxes,
            out,
            rename=rename,
            scale=scale,
            pixel_um=pixel_um,
            separate=separate,
            group_frames=group_frames,
            backgrounds=backgrounds,
            on_frame=lambda: bar.advance(task),
        )
    for label, n in done.counts.items():
        click.echo(f"{label}: {n}")
    for n, words in (
        (done.repeated, "repeat an earlier row"),
        (done.outside, "have their centre outside their frame"),
        (sum(done.elsewhere.values()), f"lie in other frames: {', '.join(list(done.elsewhere)[:3])}"),
    ):
        if n:
            more = " …" if words.startswith("lie") and len(done.elsewhere) > 3 else ""
            click.echo(f"left out: {n} boxes that {words}{more}", err=True)
