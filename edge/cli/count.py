"""``leuko count`` turns frames into a differential count."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from operator import attrgetter
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edge.base import read
from edge.calibration import read_calibration
from edge.capture import MAX_MEGAPIXELS
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
from edge.cli.screen import Screen, counting, follow
from edge.count import CAMERA_CELLS
from edge.model import load_bundle
from edge.run import (
    FROM_BUNDLE,
    CameraConfig,
    Count,
    CountConfig,
    Instrument,
    ReportSink,
    begin,
    camera_calibration,
    choose_pixel,
    end_unfinished,
    file_names,
)
from edge.run import resume as resume_session
from edge.session import DamagedSessionError, SessionError, set_aside, unfinished_sessions

NOT_OPTIONS = ("sources", "folder", "files", "report", "pixel_from")
"""Keys of the configuration that follow from the arguments and the calibration."""

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
        refused: dict[Path, str] = {}
        for path in unfinished_sessions(source=camera)[:1] if resume else ():
            try:
                resumed = _resume_as_asked(path)
            except (SessionError, ValueError, OSError) as error:
                refused[path] = " ".join(str(error).split())
                continue
            if out is not None:
                screen.say(
                    "no report", f"no report in {out}: the frames before the interruption were not kept"
                )
            try:
                follow(screen, resumed, threads=threads, as_json=as_json)
            except DamagedSessionError as error:  # whose hashes fit, and whose content does not
                refused[path] = str(error)
                continue
            return
        if camera is not None:
            options["calibration"] = camera_calibration(options["calibration"], camera)
        options["bundle"] = chosen_bundle(options["bundle"])
        instrument = Instrument.load(options["bundle"], options["calibration"])
        config = _configured(sources or (camera,), options, out, instrument, screen)
        for path, why in refused.items():
            _end(path, why, screen)
        reports = [_report(out, config, instrument, replace=force)] if out else []
        follow(screen, begin(config, instrument), reports, threads=threads, as_json=as_json)


def _report(out: Path, config: CountConfig, instrument: Instrument, *, replace: bool) -> ReportSink:
    analysis = config.analysis
    return ReportSink(
        out,
        instrument.bundle.manifest,
        replace=replace,
        each_once=analysis.each_once is not None,
        pixel_um=analysis.pixel_um,
    )


def _given() -> dict[str, str]:
    """Return the options on the command line: parameter name → option."""
    context = click.get_current_context()
    return {
        parameter.name or "": parameter.opts[0]
        for parameter in context.command.params
        if context.get_parameter_source(parameter.name or "") is ParameterSource.COMMANDLINE
    }


def _check_usage(
    sources: Sequence[str], camera: str | None, resume: bool, options: Mapping[str, Any]
) -> None:
    if bool(sources) == (camera is not None):
        raise click.UsageError("Give either SOURCE or --camera.")
    if camera is None and resume:
        raise click.UsageError("--resume is for --camera; leuko sessions resume resumes a count of files.")
    of_cameras = [parameter_name(key) for _, key in leaves(CameraConfig)]
    alone = [option for name, option in _given().items() if name in of_cameras]
    if camera is None and alone:
        raise click.UsageError(f"No --camera for {', '.join(alone)}.")
    of_files = [option for name, option in _given().items() if name in ("bit_depth", "channel", "z")]
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


def _resume_as_asked(path: Path) -> Count:
    """Resume a session, see `edge.run.resume`; one that began with other options raises a SessionError."""
    with ExitStack() as stack:
        resumed = resume_session(path)
        stack.callback(resumed.session.close)
        _check_options(resumed)
        stack.pop_all()
        return resumed


def _check_options(resumed: Count) -> None:
    """Refuse an option that differs from the session's; an option that is not given is taken from it.

    A bundle or a calibration is the same if its content is, by whatever path it is named.
    """
    given, values = _given(), click.get_current_context().params
    for place, key in leaves(CountConfig):
        name = parameter_name(key)
        if name not in given or name in NOT_OPTIONS:
            continue
        now, before = values[name], attrgetter(".".join(place))(resumed.config)
        if name == "bundle":
            same = load_bundle(now).sha256 == resumed.instrument.bundle.sha256
        elif name == "calibration":
            same = read_calibration(Path(now)).sha256 == resumed.instrument.calibration_sha256
        else:
            same = now == before
        if not same:
            began = f"with {before}" if before not in (None, "", False) else "without"
            raise SessionError(f"{given[name]} is {now}, and the session began {began}")


def _end(path: Path, why: str, screen: Screen) -> None:
    """End a session that is not resumed: a service that failed here would fail at every start."""
    try:
        words = f"session {path.stem} ends with what it counted, and a new one begins: {why}"
        try:
            end_unfinished(path, f"not resumed: {why}")
        except DamagedSessionError as error:
            aside = set_aside(path)
            words = f"session {path.stem} is not resumed, and a new one begins: {error}; now {aside.name}"
    except SessionError as error:
        words = f"session {path.stem} stays as it is, and a new one begins: {error}"
    screen.say("not resumed", words, "warning", id=path.stem)
