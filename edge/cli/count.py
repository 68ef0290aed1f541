"""``leuko count`` turns frames into a differential count."""

from __future__ import annotations

import json
import time
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

INTERRUPTED = 130  # what shells report of a program that Ctrl-C ended
SOME_FAILED = 3


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
    as_json: bool,
) -> None:
    """Count the cells of every frame in SOURCE: files, folders, globs, image stacks, videos.

    Exit code 0 when every frame was read, 3 when some were not, 1 when none was, 130 when it was stopped.
    Folders are read without their subfolders.
    """
    import os
    from collections import Counter
    from contextlib import ExitStack
    from dataclasses import replace
    from datetime import UTC, datetime

    from rich.console import Console
    from rich.progress import Progress

    from edge.bundle import BundleError, load
    from edge.classify import Classifier
    from edge.count import CountedFrame, correct, likeliest, tally
    from edge.frames import FailedFrame, list_files, read_frames
    from edge.pipeline import count_frames, identifier
    from edge.report.files import Run, summary
    from edge.report.table import print_table
    from edge.report.writer import ReportWriter
    from edge.runtime import RuntimeMissingError

    started = time.monotonic()
    words = Console(stderr=True, highlight=False, markup=False)
    with ExitStack() as stack:
        stack.enter_context(one_line_errors(BundleError, RuntimeMissingError, ValueError))
        stack.enter_context(quiet_libraries())
        classifier = Classifier(load(bundle), threads=os.cpu_count() or 1)
        manifest = classifier.bundle.manifest
        if pixel_um is None:
            pixel_um = manifest.pixel_um
            words.print(
                f"pixel size taken from the bundle, {pixel_um:.4g} µm; say --pixel-um if yours differs"
            )
        if reject_below is not None:
            manifest = replace(manifest, reject_below=reject_below)
        gates = {
            "min_diameter_um": min_diameter_um,
            "max_diameter_um": max_diameter_um,
            "min_solidity": min_solidity,
            "keep_border": False if drop_border else None,
        }
        segmentation = {name: value for name, value in gates.items() if value is not None}
        parameters = {
            "pixel_um": pixel_um,
            "reject_below": manifest.reject_below,
            "bit_depth": bit_depth,
            "segmentation": segmentation,
        }

        writer = None
        if out is not None:
            writer = stack.enter_context(ReportWriter(out, manifest, replace=force))
        files = len(list_files(sources))
        asked = stack.enter_context(stop_requests())
        progress = stack.enter_context(Progress(console=words, transient=True, disable=not words.is_terminal))
        bar = progress.add_task("counting", total=files)
        frames = read_frames(sources, max_megapixels=max_megapixels, bit_depth=bit_depth)
        results = count_frames(
            frames,
            classifier,
            pixel_um=pixel_um,
            reject_below=manifest.reject_below,
            segmentation=segmentation,
        )
        hashes: list[str] = []
        assigned: list[str] = []
        answers: Counter[str] = Counter()
        failed: list[FailedFrame] = []
        interrupted = False
        for result in results:
            if isinstance(result, CountedFrame):
                if writer is not None:
                    writer.add(result)
                hashes.append(result.sha256)
                assigned += result.assigned
                answers.update(likeliest(result.probabilities, manifest.labels))
            else:
                failed.append(result)
            progress.update(
                bar,
                advance=1,
                total=max(files, len(hashes) + len(failed)),
                description=f"{len(assigned)} cells",
            )
            # a frame is counted whole or not at all, also when a person or a shutdown ends the count
            if asked.is_set():
                interrupted = True
                break
        progress.stop()

        run = Run(
            tally=tally(manifest.labels, manifest.counted, assigned, len(hashes), failed),
            corrected=correct(manifest.labels, manifest.counted, answers, manifest.confusion),
            manifest=manifest,
            bundle_sha256=classifier.bundle.sha256,
            signed=classifier.bundle.signed,
            identifier=identifier(hashes, classifier.bundle.sha256, parameters),
            parameters=parameters,
            sources=sources,
            seconds=time.monotonic() - started,
            finished=datetime.now(UTC),
            stopped=interrupted,
        )
        page = writer.finish(run) if writer is not None and hashes else None

        if as_json:
            click.echo(json.dumps(summary(run)))
        elif hashes:
            print_table(run, Console(highlight=False))
        if page is not None:
            words.print(f"report: {page}", soft_wrap=True)
            words.print(f"annotated frames: {page.parent / 'annotated'}", soft_wrap=True)
        if interrupted:
            words.print(f"stopped after {len(hashes)} frames; they are counted")
        elif not hashes:
            more = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
            raise click.ClickException(f"no frame could be read: {failed[0].name}: {failed[0].reason}{more}")
    if interrupted or failed:
        raise click.exceptions.Exit(INTERRUPTED if interrupted else SOME_FAILED)
