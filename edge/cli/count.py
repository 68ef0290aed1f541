"""``leuko count`` turns frames into a differential count."""

from __future__ import annotations

import os
from contextlib import ExitStack, chdir
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from edge.calibration import default_calibration_path, read_calibration
from edge.cli.camera import size_option
from edge.cli.options import FiniteRange, NamedPath, bundle_option, json_option, pixel_option
from edge.cli.screen import Screen, counting, follow, log_option, threads_option
from edge.count import CAMERA_CELLS, StopRule
from edge.model import load_bundle
from edge.run import CameraConfig, CountConfig, Instrument, end_unfinished, resumed
from edge.session import Session, SessionError, list_sessions

NAME_LETTERS = 200
"""Longest name of a sample or an operator."""


def _name(context: click.Context, parameter: click.Parameter, text: str | None) -> str:
    """Refuse a name that says nothing, as of an unset shell variable; one left out is an empty one."""
    if text is None:
        return ""
    if not text.strip():
        raise click.BadParameter("an empty name", context, parameter)
    if len(text) > NAME_LETTERS:
        said = f"{len(text)} letters, and {NAME_LETTERS} are the most"
        raise click.BadParameter(said, context, parameter)
    return text


@click.command()
@click.argument("sources", metavar="[SOURCE...]", nargs=-1, type=NamedPath())
@click.option(
    "--camera",
    "camera_name",
    metavar="NAME",
    help="Instead of SOURCE: picamera2, v4l2:N, watch:FOLDER, video:FILE or simulate; see leuko camera list.",
)
@size_option
@click.option("--exposure-us", type=click.IntRange(1), help="Of the camera; by default it settles by itself.")
@click.option("--gain", type=FiniteRange(0, min_open=True), help="Of the camera; likewise.")
@click.option(
    "--buffer-frames",
    type=click.IntRange(1, 1000),
    default=4,
    show_default=True,
    help="Frames of the camera that may wait to be counted.",
)
@click.option(
    "--when-behind",
    type=click.Choice(["drop-oldest", "drop-newest", "wait"]),
    help="What to do when more would wait. By default the oldest is dropped, and files wait.",
)
@click.option(
    "--give-up-seconds",
    type=FiniteRange(0),
    default=60,
    show_default=True,
    help="How long a camera that fails is opened anew before the count ends with an error.",
)
@bundle_option
@click.option("--out", type=NamedPath(file_okay=False, path_type=Path), help="Write the report here.")
@click.option("--force", is_flag=True, help="Replace an earlier count in the --out folder.")
@pixel_option
@click.option(
    "--calibration",
    metavar="FILE",
    type=NamedPath(dir_okay=False),
    help="Calibration of the microscope: pixel size, flat field, volume, limits of quality. A camera's count"
    " takes this device's by default, one of files none.",
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
    "--each-once",
    type=click.Choice(["scan", "flow"]),
    help="Count a cell that several frames show once: frames of a scan that overlap, or cells that flow by.",
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
    "--session", "asked_session", is_flag=True, help="Keep every frame's record; a camera always does."
)
@click.option(
    "--sample", "sample_id", callback=_name, metavar="ID", help="Of the sample; kept in the session."
)
@click.option("--operator", callback=_name, metavar="NAME", help="Who counts; kept in the session.")
@click.option("--keep-crops", is_flag=True, help="Keep each cell's image in the session.")
@click.option(
    "--resume",
    is_flag=True,
    help="Go on with the newest unfinished session of this camera, if there is one. One that was begun with"
    " other options is ended, and another one begins.",
)
@threads_option
@log_option
@json_option
def count(
    sources: tuple[str, ...],
    camera_name: str | None,
    size: tuple[int, int] | None,
    exposure_us: int | None,
    gain: float | None,
    buffer_frames: int,
    when_behind: Any,
    give_up_seconds: float,
    bundle: str,
    out: Path | None,
    force: bool,
    pixel_um: float | None,
    calibration: str | None,
    reject_below: float | None,
    min_diameter_um: float | None,
    max_diameter_um: float | None,
    min_solidity: float | None,
    drop_border: bool,
    max_megapixels: float,
    bit_depth: int,
    each_once: Any,
    until_cells: int | None,
    until_halfwidth: float | None,
    until_seconds: float | None,
    asked_session: bool,
    sample_id: str,
    operator: str,
    keep_crops: bool,
    resume: bool,
    threads: int | None,
    log_form: str,
    as_json: bool,
) -> None:
    """Count the cells of every frame in SOURCE (files, folders, globs, image stacks, videos), or of a camera.

    Folders are read without their subfolders. A limit (--until-...) ends the count after a whole frame; with
    a camera and no other limit, 400 leukocytes do. A count of a camera, or with --session, --sample,
    --operator or --keep-crops, is kept as a session, with which leuko sessions goes on after a power cut.

    Exit code 0 when every frame was read, or a camera's count was stopped; 3 when some were not read, 1 when
    none was or the report could not be written, 130 when the count of files was stopped.
    """
    if bool(sources) == (camera_name is not None):
        raise click.UsageError("Say either SOURCE or --camera.")
    if camera_name is None and (resume or size or exposure_us or gain or when_behind):
        raise click.UsageError("--size, --exposure-us, --gain, --when-behind and --resume need --camera.")
    if size is not None and size[0] * size[1] > max_megapixels * 1e6:
        said = f"--size {size[0]}x{size[1]}"
        raise click.UsageError(f"{said} is more than --max-megapixels {max_megapixels:g}.")

    with counting(log_form) as screen:
        unfinished = _unfinished_of(camera_name) if resume and camera_name else None
        found = _taken_up(unfinished) if unfinished else ""
        if not isinstance(found, str):
            with found[2]:
                if out is not None:
                    screen.say("no report", "no report: the frames before the interruption were not kept")
                follow(screen, *found, threads=threads, as_json=as_json)
            return
        if calibration is None and camera_name is not None and default_calibration_path().exists():
            calibration = str(default_calibration_path())
        instrument = Instrument.load(bundle, calibration)
        manifest = instrument.bundle.manifest
        if until_halfwidth is not None and len(manifest.counted) < 2:
            raise ValueError(
                f"bundle {manifest.name} counts one label, whose fraction is always 1: no --until-halfwidth"
            )
        calibrated_pixel = pixel_um is None and instrument.calibrated
        if pixel_um is None and not calibrated_pixel:
            taken = f"{instrument.pixel_um:.4g} µm"
            said = f"pixel size taken from the bundle, {taken}; say --pixel-um if yours differs"
            screen.say("pixel size", said)
        gates = {
            "min_diameter_um": min_diameter_um,
            "max_diameter_um": max_diameter_um,
            "min_solidity": min_solidity,
            "keep_border": False if drop_border else None,
        }
        camera, plan = None, StopRule(until_cells, until_halfwidth, until_seconds)
        if camera_name is not None:
            camera = CameraConfig(
                camera_name, size, exposure_us, gain, buffer_frames, when_behind, give_up_seconds
            )
            plan = plan if plan.stated() else StopRule(CAMERA_CELLS)
        job = CountConfig(
            bundle=bundle,
            calibration=calibration,
            sources=(camera_name,) if camera_name else sources,
            camera=camera,
            pixel_um=instrument.pixel_um if pixel_um is None else pixel_um,
            calibrated_pixel=calibrated_pixel,
            reject_below=manifest.reject_below if reject_below is None else reject_below,
            segmentation={name: value for name, value in gates.items() if value is not None},
            bit_depth=bit_depth,
            max_megapixels=max_megapixels,
            each_once=each_once,
            keep_crops=keep_crops,
            plan=plan,
        )
        kept = camera or asked_session or sample_id or operator or keep_crops
        header = job.header(instrument, sample_id, operator) if kept else None
        if unfinished:
            _end(unfinished, found, screen)
        follow(screen, job, instrument, header, out=out, force=force, threads=threads, as_json=as_json)


def _unfinished_of(camera: str) -> Path | None:
    """Find the newest unfinished session of a camera."""
    for listed in list_sessions():
        meant = listed.header is not None and listed.header.sources == (camera,)
        if listed.state == "unfinished" and listed.frames and meant:
            return listed.path
    return None


def _taken_up(path: Path) -> tuple[CountConfig, Instrument, Session] | str:
    """Take up a session if it can be gone on with as the command line says; else say why not."""
    here = Path.cwd()
    with ExitStack() as stack:
        try:
            job, instrument, session = resumed(path)
            stack.enter_context(session)
            with chdir(here):  # what the command line names
                otherwise = _said_otherwise(job, session)
        except (SessionError, ValueError, OSError) as error:
            otherwise = str(error)
        if otherwise:
            os.chdir(here)
            return otherwise
        stack.pop_all()
        return job, instrument, session


def _said_otherwise(job: CountConfig, session: Session) -> str:
    """Say what the command line says otherwise than a session; empty if nothing.

    A bundle or a calibration is the same if its content is, by whatever path it is named.
    """
    header, gates = session.header, job.segmentation
    begun_with = {
        **vars(job),
        **vars(job.plan),
        **(vars(job.camera) if job.camera else {}),
        **{gate: gates.get(gate) for gate in ("min_diameter_um", "max_diameter_um", "min_solidity")},
        "drop_border": gates.get("keep_border") is False,
        "give_up_seconds": job.camera and job.camera.give_up_s,
        "sample_id": header.sample_id,
        "operator": header.operator,
    }
    context = click.get_current_context()
    for option in context.command.params:
        name = option.name or ""
        if context.get_parameter_source(name) is not ParameterSource.COMMANDLINE or name not in begun_with:
            continue
        said, was = context.params[name], begun_with[name]
        if name == "bundle":
            same = load_bundle(said).sha256 == header.bundle_sha256
        elif name == "calibration":
            same = read_calibration(Path(said)).sha256 == header.calibration_sha256
        else:
            same = said == was
        if not same:
            before = f"with {was}" if was not in (None, "", False) else "without"
            return f"{option.opts[0]} says {said}, and it was begun {before}"
    return ""


def _end(path: Path, why: str, screen: Screen) -> None:
    """End a session that is not gone on with: a service that stopped here would stop so at every start."""
    why = " ".join(why.split())
    try:
        end_unfinished(path, f"not gone on with: {why}")
        said = f"session {path.stem} ends with what it counted, and another one begins: {why}"
    except SessionError as error:
        said = f"session {path.stem} stays as it is, and another one begins: {error}"
    screen.say("not resumed", said, "warning", id=path.stem)
