"""``leuko simulate``: a simulated sample with its truth."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import click

from edge.base import quantity, sole_writer
from edge.cli.errors import one_line_errors
from edge.cli.options import FiniteRange, NamedPath, WholeRange, json_option, parse_pair
from edge.cli.output import echo
from edge.cli.tables import progress, say_duration
from edge.simulate import Flow, Scan, Scene
from edge.simulate import simulate as write


def _mix(context: click.Context, parameter: click.Parameter, text: str) -> tuple[tuple[str, float], ...]:
    """Parse ``label=weight,label=weight``; the scene checks classes and weights."""
    mix: dict[str, float] = {}
    for part in text.split(","):
        label, _, weight = (piece.strip() for piece in part.partition("="))
        if label in mix:
            raise click.BadParameter(f"{label!r} is named twice", context, parameter)
        try:
            mix[label] = float(weight)
        except ValueError:
            raise click.BadParameter(f"{part.strip()!r} is not label=number", context, parameter) from None
    return tuple(mix.items())


SECONDS_PER_FRAME = 0.5
"""With the default numbers of particles."""

_NUMBER = FiniteRange(0, 2000)
_fields = partial(parse_pair, "COLUMNSxROWS, such as 6x4, from 1 to 30 each", 30)


@click.command()
@click.argument("directory", metavar="DIR", type=NamedPath(file_okay=False))
@click.option("--frames", type=WholeRange(1, 9999), help="Number of frames; by default all fields of --scan.")
@click.option(
    "--seed",
    type=WholeRange(0),
    default=0,
    show_default=True,
    help="The same seed gives the same frames.",
)
@click.option(
    "--mix",
    callback=_mix,
    default="granulocyte=60,lymphocyte=30,monocyte=10",
    show_default=True,
    help="Shares of the leukocyte classes.",
)
@click.option(
    "--cells-per-frame",
    "leukocytes",
    type=_NUMBER,
    default=25,
    show_default=True,
    help="Mean leukocytes per frame.",
)
@click.option(
    "--erythrocytes", type=_NUMBER, default=10, show_default=True, help="Mean erythrocytes per frame."
)
@click.option(
    "--debris", type=_NUMBER, default=8, show_default=True, help="Mean platelets and fragments per frame."
)
@click.option("--scan", metavar="CxR", callback=_fields, help="Scan of a slide, in columns and rows.")
@click.option(
    "--overlap",
    type=FiniteRange(0, 0.9),
    help="Share of a field that its neighbour shows too.  [default: 0.3]",
)
@click.option("--flow-um-s", type=FiniteRange(0, 10_000, min_open=True), help="Mean speed of flowing cells.")
@click.option("--fps", type=FiniteRange(1, 1000), help="Frames per second of the flow.  [default: 10]")
@click.option("--fluorescence", is_flag=True, help="Also write the paired nuclear-stain frames.")
@click.option("--separate", is_flag=True, help="Keep all particles apart.")
@click.option("--force", is_flag=True, help="Replace an earlier simulation in DIR.")
@json_option
def simulate(
    directory: str,
    frames: int | None,
    seed: int,
    scan: tuple[int, int] | None,
    overlap: float | None,
    flow_um_s: float | None,
    fps: float | None,
    fluorescence: bool,
    force: bool,
    as_json: bool,
    **particles: Any,
) -> None:
    """Simulate bright-field frames of unstained blood cells and write them with their truth into DIR.

    Each frame is a sample of its own, and takes about half a second. With --scan or --flow-um-s several
    frames show the same cell; the truth then numbers the cells.
    """
    if scan and flow_um_s:
        raise click.UsageError("--scan and --flow-um-s exclude each other")
    if overlap is not None and not scan:
        raise click.UsageError("--overlap belongs to --scan")
    if fps is not None and not flow_um_s:
        raise click.UsageError("--fps belongs to --flow-um-s")

    motion: Scan | Flow | None = None
    if scan:
        motion = Scan(*scan) if overlap is None else Scan(*scan, overlap=overlap)
        frames = frames or motion.frames
    elif flow_um_s:
        motion = Flow(flow_um_s) if fps is None else Flow(flow_um_s, fps=fps)
    if frames is None:
        raise click.UsageError("pass --frames, the number of frames")
    try:
        scene = Scene(**particles)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    say_duration(f"simulating {quantity(frames, 'frame')}", SECONDS_PER_FRAME * frames)
    with one_line_errors(ValueError), sole_writer(Path(directory)), progress() as bar:
        written = write(
            directory,
            frames=frames,
            seed=seed,
            motion=motion,
            scene=scene,
            fluorescence=fluorescence,
            force=force,
        )
        for _ in bar.track(written, frames, description="simulating"):
            pass
    of = f" of the scan's {motion.frames}" if isinstance(motion, Scan) and frames < motion.frames else ""
    echo(f"simulated frames: {frames}{of}, seed: {seed}", err=True)
    echo(json.dumps({"directory": directory, "frames": frames, "seed": seed}) if as_json else directory)
