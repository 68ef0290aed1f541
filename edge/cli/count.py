"""``leuko count`` turns frames into a differential count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from edge.base import read
from edge.capture import MAX_MEGAPIXELS, camera_place
from edge.cli.choice import chosen_bundle
from edge.cli.options import (
    NamedPath,
    declared_options,
    grouped,
    json_option,
    leaves,
    log_option,
    parameter_name,
    require_out,
    threads_option,
)
from edge.cli.resuming import NOT_OPTIONS, FirstFrame, count_on, end_refused, given_options
from edge.cli.screen import Screen, counting, follow
from edge.count import CAMERA_CELLS
from edge.run import (
    FROM_BUNDLE,
    CameraConfig,
    CountConfig,
    Instrument,
    ReportSink,
    begin,
    camera_calibration,
    choose_pixel,
    file_names,
    open_camera,
)
from edge.session import unfinished_sessions

SOURCE_OPTIONS = ("name", "size", "sensor_bits")
"""Keys whose options come first: they are of the camera that stands in for SOURCE."""


@click.command()
@click.argument("sources", metavar="[SOURCE...]", nargs=-1, type=NamedPath())
@declared_options(CountConfig, only=SOURCE_OPTIONS)
@declared_options(CountConfig, without=(*NOT_OPTIONS, *SOURCE_OPTIONS))
@click.option("--out", type=NamedPath(file_okay=False, path_type=Path), help="Write the report here.")
@click.option("--force", is_flag=True, help="Replace an earlier count in the --out folder.")
@click.option(
    "--resume",
    is_flag=True,
    help="Resume the newest unfinished session of this camera, if there is one. One that began with other"
    " options is ended, and a new one begins.",
)
@threads_option
@log_option
@json_option
def count(
    sources: tuple[str, ...],
    out: Path | None,
    force: bool,
    resume: bool,
    threads: int | None,
    log_form: str,
    as_json: bool,
    **options: Any,
) -> None:
    """Count the cells of every frame in SOURCE (files, folders, globs, image stacks, videos), or of a camera.

    Folders are read without their subfolders. A 16-megapixel frame takes about 30 ms on two cores. A limit
    (--until-...) ends the count after a whole frame; with a camera and no other limit, 400 leukocytes do. A
    count of a camera, or with --session, --sample, --operator or --keep-crops, is kept as a session, which
    leuko sessions resumes after a power cut.

    Exit code 0 when every frame was read, or a camera's count was stopped; 3 when some were not read, 1 when
    none was or the report could not be written, 130 when the count of files was stopped.
    """
    camera = options["camera"]
    require_out(force, out)
    _check_usage(sources, camera, resume, options)
    with counting(log_form) as screen:
        refusal = None
        place = camera_place(camera, str(Path.cwd())) if resume and camera else ""
        for path in unfinished_sessions(camera=place)[:1] if place else ():
            on_screen = partial(follow, screen, threads=threads, as_json=as_json)
            given = {"sensor_bits": options["sensor_bits"], "buffers": options["camera_buffers"]}
            probe = partial(open_camera, camera, size=options["size"], **given)
            refusal = count_on(path, on_screen, probe, screen, out)
            if refusal is None:
                return
        if camera is not None:
            options["calibration"] = camera_calibration(options["calibration"], camera)
        options["bundle"] = chosen_bundle(options["bundle"])
        instrument = Instrument.load(options["bundle"], options["calibration"])
        config = _configured(sources or (camera,), options, out, instrument, screen)
        ended = FirstFrame(partial(end_refused, refusal, screen))
        if refusal is None or refusal.certain:
            ended.now()
        reports = [_report(out, config, instrument, replace=force)] if out else []
        follow(screen, begin(config, instrument), reports, sinks=[ended], threads=threads, as_json=as_json)


def _report(out: Path, config: CountConfig, instrument: Instrument, *, replace: bool) -> ReportSink:
    analysis = config.analysis
    return ReportSink(
        out,
        instrument.bundle.manifest,
        replace=replace,
        each_once=analysis.each_once is not None,
        pixel_um=analysis.pixel_um,
    )


def _check_usage(
    sources: Sequence[str], camera: str | None, resume: bool, options: Mapping[str, Any]
) -> None:
    if bool(sources) == (camera is not None):
        raise click.UsageError("Give either SOURCE or --camera.")
    if camera is None and resume:
        raise click.UsageError("--resume is for --camera; leuko sessions resume resumes a count of files.")
    of_cameras = [parameter_name(key) for _, key in leaves(CameraConfig)]
    alone = [option for name, option in given_options().items() if name in of_cameras]
    if camera is None and alone:
        raise click.UsageError(f"No --camera for {', '.join(alone)}.")
    of_files = [option for name, option in given_options().items() if name in ("bit_depth", "channel", "z")]
    if camera and not camera.startswith(("watch:", "video:")) and of_files:
        raise click.UsageError(f"{of_files[0]} is for files; a camera's frames have 8 bits and one plane.")
    size, most = options["size"], options["max_megapixels"] or MAX_MEGAPIXELS
    if size is not None and size[0] * size[1] > most * 1e6:
        raise click.UsageError(f"--size {size[0]}x{size[1]} is more than --max-megapixels {most:g}.")


def _configured(
    sources: tuple[str, ...],
    options: Mapping[str, Any],
    out: Path | None,
    instrument: Instrument,
    screen: Screen,
) -> CountConfig:
    """Return what the command line asks for, its gaps filled from the instrument."""
    manifest, values = instrument.bundle.manifest, grouped(CountConfig, options)
    if options["until_halfwidth"] is not None and len(manifest.counted) < 2:
        raise ValueError(
            f"bundle {manifest.name} counts one label, whose fraction is always 1: no --until-halfwidth"
        )
    live = options["camera"] is not None
    pixel_um, pixel_from = choose_pixel(options["pixel_um"], instrument, sources)
    if options["pixel_um"] is None:
        differs = "; pass --pixel-um if yours differs" if pixel_from == FROM_BUNDLE else ""
        screen.say("pixel size", f"pixel {pixel_um:.4g} µm, {pixel_from}{differs}")
    if not live:
        values["camera"] = None
    elif "stop_rule" not in values:
        values["stop_rule"] = {"until_cells": CAMERA_CELLS}
    values["analysis"] = {
        "pixel_um": pixel_um,
        "reject_below": manifest.reject_below,
    } | values["analysis"]
    session = values["session"]
    session["keep"] = live or any(options[name] for name in ("session", "sample", "operator", "keep_crops"))
    own = {
        "sources": sources,
        "folder": str(Path.cwd()),
        "files": None if live else file_names(sources),
        "report": None if out is None else str(out.absolute()),
    }
    return read(CountConfig, values | own | {"pixel_from": pixel_from})
