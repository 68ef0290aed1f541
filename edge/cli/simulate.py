"""``leuko simulate``: write a simulated sample with its truth."""

from __future__ import annotations

import json

import click

from edge.cli.options import FiniteRange, NamedPath, json_option, one_line_errors


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


_NUMBER = FiniteRange(0, 2000)


@click.command()
@click.argument("directory", metavar="DIR", type=NamedPath(file_okay=False))
@click.option("--frames", type=click.IntRange(1, 9999), required=True, help="Number of frames.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Same seed, same sample.")
@click.option(
    "--mix",
    callback=_mix,
    default="granulocyte=60,lymphocyte=30,monocyte=10",
    show_default=True,
    help="Shares of the leukocyte classes.",
)
@click.option(
    "--cells-per-frame", type=_NUMBER, default=25, show_default=True, help="Leukocytes, on average."
)
@click.option("--erythrocytes", type=_NUMBER, default=10, show_default=True, help="Erythrocytes, on average.")
@click.option(
    "--debris", type=_NUMBER, default=8, show_default=True, help="Platelets and fragments, on average."
)
@click.option("--fluorescence", is_flag=True, help="Write the paired nuclear-stain frames too.")
@click.option("--separate", is_flag=True, help="Keep all particles apart.")
@click.option("--force", is_flag=True, help="Replace an earlier simulation in DIR.")
@json_option
def simulate(
    directory: str,
    frames: int,
    seed: int,
    mix: tuple[tuple[str, float], ...],
    cells_per_frame: float,
    erythrocytes: float,
    debris: float,
    fluorescence: bool,
    separate: bool,
    force: bool,
    as_json: bool,
) -> None:
    """Simulate bright-field frames of unstained blood cells, with their truth, into DIR."""
    from rich.console import Console
    from rich.progress import track

    from edge.simulate import Scene
    from edge.simulate import simulate as write

    try:
        scene = Scene(
            mix=mix, leukocytes=cells_per_frame, erythrocytes=erythrocytes, debris=debris, separate=separate
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    console = Console(stderr=True)
    with one_line_errors(ValueError):
        written = write(
            directory, frames=frames, seed=seed, scene=scene, fluorescence=fluorescence, force=force
        )
        hidden = not console.is_terminal
        for _ in track(written, "simulating", frames, console=console, disable=hidden, transient=True):
            pass
    console.print(f"simulated frames: {frames}, seed: {seed}", highlight=False)
    click.echo(json.dumps({"directory": directory, "frames": frames, "seed": seed}) if as_json else directory)
