"""``leuko count`` turns frames into a differential count."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import click

from edge.cli.options import (
    FiniteRange,
    NamedPath,
    json_option,
    one_line_errors,
    quiet_libraries,
    stop_requests,
)
from edge.cli.screen import Screen


@click.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=NamedPath())
@click.option(
    "--bundle", default="phantom3", show_default=True, help="Model: a shipped name or a .tflite file."
)
@click.option("--out", type=NamedPath(file_okay=False, path_type=Path), help="Write the report here.")
@click.option("--force", is_flag=True, help="Replace an earlier count in the --out folder.")
@click.option(
    "--pixel-um",
    type=FiniteRange(0.005, 10),
    help="Side of a frame's pixel in the specimen, µm; by default the bundle's.",
)
@click.option(
    "--reject-below",
    type=FiniteRange(0, 1),
    help="Set aside cells whose best probability is smaller; by default the bundle's.",
)
@click.option("--min-diameter-um", type=FiniteRange(0, min_open=True), help="Smallest cell, with its halo.")
@click.option("--max-diameter-um", type=FiniteRange(0, min_open=True), help="Largest cell, with its halo.")
@click.option("--min-solidity", type=FiniteRange(0, 1), help="Least area over that of the convex hull.")
@click.option("--drop-border", is_flag=True, help="Leave out cells that the frame's edge cuts.")
@click.option(
    "--max-megapixels",
    type=FiniteRange(0, min_open=True),
    default=100,
    show_default=True,
    help="Refuse larger images before decoding them.",
)
@click.option(
    "--bit-depth",
    type=click.IntRange(9, 16),
    default=16,
    show_default=True,
    help="Bits in use of a 16-bit sample.",
)
@click.option(
    "--until-cells",
    type=click.IntRange(1),
    help="Stop once so many leukocytes are counted.",
)
@click.option(
    "--until-halfwidth",
    type=FiniteRange(0, 0.5, min_open=True),
    help="Stop once no fraction's 95 % interval is wider than plus or minus this.",
)
@click.option("--until-seconds", type=FiniteRange(0, min_open=True), help="Stop after this time.")
@click.option(
    "--threads",
    type=click.IntRange(1, 64),
    help="Frames worked on at a time, some two frames of memory each; by default the number of cores.",
)
@click.option(
    "--log",
    "log_form",
    type=click.Choice(["words", "json"]),
    default="words",
    show_default=True,
    help="What is written to stderr: words for a person, or an event a line for a machine.",
)
@json_option
def count(
    sources: tuple[str, ...],
    bundle: str,
    out: Path | None,
    force: bool,
    pixel_um: float | None,
    reject_below: float | None,
    min_diameter_um: float | None,
    max_diameter_um: float | None,
    min_solidity: float | None,
    drop_border: bool,
    max_megapixels: float,
    bit_depth: int,
    until_cells: int | None,
    until_halfwidth: float | None,
    until_seconds: float | None,
    threads: int | None,
    log_form: str,
    as_json: bool,
) -> None:
    """Count the cells of every frame in SOURCE: files, folders, globs, image stacks, videos.

    Exit code 0 when every frame was read, 3 when some were not, 1 when none was, 130 when it was stopped.
    Folders are read without their subfolders. A limit (--until-...) ends the count after a whole frame.
    """
    from edge.bundle import BundleError, load
    from edge.frames import list_files
    from edge.plan import Plan
    from edge.run import Job, carry_out
    from edge.runtime import RuntimeMissingError

    with ExitStack() as stack:
        stack.enter_context(one_line_errors(BundleError, RuntimeMissingError, ValueError))
        stack.enter_context(quiet_libraries())
        screen = stack.enter_context(Screen(log_form == "json"))
        loaded = load(bundle)
        manifest = loaded.manifest
        if until_halfwidth is not None and len(manifest.counted) < 2:
            raise ValueError(
                f"bundle {manifest.name} counts one label, whose fraction is always 1: no --until-halfwidth"
            )
        if pixel_um is None:
            pixel_um = manifest.pixel_um
            screen.say(
                "pixel size",
                f"pixel size taken from the bundle, {pixel_um:.4g} µm; say --pixel-um if yours differs",
            )
        gates = {
            "min_diameter_um": min_diameter_um,
            "max_diameter_um": max_diameter_um,
            "min_solidity": min_solidity,
            "keep_border": False if drop_border else None,
        }
        job = Job(
            sources=sources,
            pixel_um=pixel_um,
            reject_below=manifest.reject_below if reject_below is None else reject_below,
            segmentation={name: value for name, value in gates.items() if value is not None},
            bit_depth=bit_depth,
            max_megapixels=max_megapixels,
            plan=Plan(until_cells, until_halfwidth, until_seconds),
        )
        screen.expect(len(list_files(sources)))
        stop = stack.enter_context(stop_requests())
        run, page = carry_out(job, loaded, stop=stop, observer=screen, out=out, force=force, threads=threads)
        screen.end(run, page, as_json=as_json)
